use super::*;
use proptest::prelude::*;

fn own_holder() -> Holder {
    Holder {
        node: "node2".into(),
        boot: "b2".into(),
    }
}

fn milliseconds_of(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn held_by(identity: &str, renewed: &str) -> Lease {
    let mut lease = claimed_lease("x", None, &own_holder(), 0);
    lease.spec.holder_identity = Some(identity.into());
    lease.spec.renew_time = Some(renewed.into());
    lease
}

/// What it is about, the lease, what was seen before, our clock, and what is to be done.
type Case = (
    &'static str,
    Option<Lease>,
    Option<LeaseObservation>,
    u64,
    Decision,
);

#[test]
fn every_case_has_its_decision() {
    let wait = || Decision::Wait {
        holder: "node1".into(),
    };
    let seen = |lease: &Lease, at| observe_lease(None, Some(lease), milliseconds_of(at));
    let other = held_by("node1/b1", "t0");
    let renewed = held_by("node1/b1", "t1");
    let cases: Vec<Case> = vec![
        ("there is none", None, None, 0, Decision::Create),
        (
            "nobody holds it",
            Some(held_by("", "t0")),
            None,
            0,
            Decision::Take,
        ),
        (
            "ours",
            Some(held_by("node2/b2", "t0")),
            None,
            0,
            Decision::Renew,
        ),
        (
            "ours, though it looks old",
            Some(held_by("node2/b2", "t0")),
            seen(&other, 0),
            99_000,
            Decision::Renew,
        ),
        (
            "of our life before the reboot",
            Some(held_by("node2/b1", "t0")),
            None,
            0,
            Decision::Take,
        ),
        (
            "seen for the first time",
            Some(other.clone()),
            None,
            99_000,
            wait(),
        ),
        (
            "a moment before its time",
            Some(other.clone()),
            seen(&other, 1_000),
            20_999,
            wait(),
        ),
        (
            "unchanged for its whole time",
            Some(other.clone()),
            seen(&other, 1_000),
            21_000,
            Decision::Take,
        ),
        (
            "renewed meanwhile",
            Some(renewed.clone()),
            seen(&other, 1_000),
            99_000,
            wait(),
        ),
        (
            "a name that begins like ours",
            Some(held_by("node22/b", "t0")),
            None,
            0,
            Decision::Wait {
                holder: "node22".into(),
            },
        ),
    ];
    for (what, lease, seen, now, expected) in cases {
        assert_eq!(
            decide_on_lease(
                lease.as_ref(),
                &own_holder(),
                seen.as_ref(),
                milliseconds_of(now)
            ),
            expected,
            "{what}"
        );
    }
}

#[test]
fn a_duration_of_its_own_counts() {
    let mut lease = held_by("node1/b1", "t0");
    lease.spec.lease_duration_seconds = Some(15);
    let seen = observe_lease(None, Some(&lease), milliseconds_of(0));
    assert_eq!(
        decide_on_lease(
            Some(&lease),
            &own_holder(),
            seen.as_ref(),
            milliseconds_of(15_000)
        ),
        Decision::Take
    );
}

#[test]
fn a_duration_without_measure_is_bounded_on_both_sides() {
    for (written, taken_after) in [(0, 10_000), (1, 10_000), (u32::MAX, 60_000)] {
        let mut lease = held_by("node1/b1", "t0");
        lease.spec.lease_duration_seconds = Some(written);
        let seen = observe_lease(None, Some(&lease), milliseconds_of(0));
        let at = |now| {
            decide_on_lease(
                Some(&lease),
                &own_holder(),
                seen.as_ref(),
                milliseconds_of(now),
            )
        };
        let wait = Decision::Wait {
            holder: "node1".into(),
        };
        assert_eq!(at(taken_after - 1), wait, "{written} s");
        assert_eq!(at(taken_after), Decision::Take, "{written} s");
    }
}

#[test]
fn a_look_that_failed_starts_the_watch_anew() {
    let lease = held_by("node1/b1", "t0");
    let seen = observe_lease(None, Some(&lease), milliseconds_of(0));
    assert_eq!(
        observe_lease(seen.clone(), Some(&lease), milliseconds_of(9_000)),
        seen,
        "unchanged: since the first look"
    );
    assert_eq!(observe_lease(seen, None, milliseconds_of(10_000)), None);
    let again = observe_lease(None, Some(&lease), milliseconds_of(15_000));
    assert_eq!(
        decide_on_lease(
            Some(&lease),
            &own_holder(),
            again.as_ref(),
            milliseconds_of(30_000)
        ),
        Decision::Wait {
            holder: "node1".into()
        },
        "the API was away, its holder could not renew"
    );
}

#[test]
fn taking_counts_and_renewing_does_not() {
    let first = claimed_lease("x", None, &own_holder(), 1_700_000_000_123);
    assert_eq!(
        first.spec.renew_time.as_deref(),
        Some("2023-11-14T22:13:20.123000Z")
    );
    assert_eq!(first.spec.lease_transitions, Some(1));
    let renewed = claimed_lease("x", Some(&first), &own_holder(), 1_700_000_004_000);
    assert_eq!(renewed.spec.lease_transitions, Some(1));
    assert_eq!(renewed.spec.acquire_time, first.spec.acquire_time);
    assert!(is_held_by(&renewed, &own_holder()));
    let stolen = claimed_lease("x", Some(&held_by("node1/b1", "t0")), &own_holder(), 0);
    assert_eq!(stolen.spec.lease_transitions, Some(2));
    assert_eq!(
        decide_on_lease(
            Some(&lease_without_holder(&stolen)),
            &own_holder(),
            None,
            milliseconds_of(0)
        ),
        Decision::Take
    );
}

/// What happens between two looks of a waiting node: time passes, and the holder may have said that it lives.
fn any_waits() -> impl Strategy<Value = Vec<(u64, bool, bool)>> {
    prop::collection::vec(
        (
            0..9_000_u64,
            prop::bool::weighted(0.3),
            prop::bool::weighted(0.9),
        ),
        1..40,
    )
}

proptest! {
    /// The waiting node's clock begins anywhere; the holder's is never looked at.
    #[test]
    fn a_lease_is_taken_only_when_it_stood_still_for_twenty_seconds_of_looks(begin in 0..u64::MAX / 2, story in any_waits()) {
        let (mut now, mut renewals, mut seen) = (begin, 0, None);
        // The moments of all looks since the lease last changed or could not be read.
        let mut unchanged: Vec<u64> = Vec::new();
        for (passed, renewed, readable) in story {
            now += passed;
            renewals += u32::from(renewed);
            let lease = held_by("node1/b1", &format!("t{renewals}"));
            if renewed || !readable {
                unchanged.clear();
            }
            seen = observe_lease(seen, readable.then_some(&lease), milliseconds_of(now));
            if !readable {
                continue;
            }
            unchanged.push(now);
            let decision = decide_on_lease(Some(&lease), &own_holder(), seen.as_ref(), milliseconds_of(now));
            let stood_still = now - unchanged[0] >= 20_000;
            let wanted = if stood_still { Decision::Take } else { Decision::Wait { holder: "node1".into() } };
            prop_assert_eq!(decision, wanted, "{:?}", unchanged);
        }
    }

    #[test]
    fn who_holds_it_is_never_in_doubt(transitions: Option<u32>, now in 0..4_000_000_000_000_u64, holder in "(|node[12]/b[12])") {
        let mut before = held_by(&holder, "t0");
        before.spec.lease_transitions = transitions.map(|t| t / 2);
        let claimed = claimed_lease("x", Some(&before), &own_holder(), now);
        prop_assert!(is_held_by(&claimed, &own_holder()));
        prop_assert!(!is_held_by(&lease_without_holder(&claimed), &own_holder()));
        let changed_hands = u32::from(holder != "node2/b2");
        let then = claimed.spec.lease_transitions.unwrap_or(0);
        prop_assert_eq!(then, before.spec.lease_transitions.unwrap_or(0) + changed_hands);
        prop_assert_eq!(&claimed.metadata, &before.metadata, "the version that guards the update stays");
    }
}
