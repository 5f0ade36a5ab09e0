use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::testing;

fn numbered_peer(number: u8, host: u8) -> Peer {
    Peer {
        name: format!("node{number}"),
        address: [10, 77, 0, host].into(),
    }
}

/// Control planes at their own addresses, 11 for the first.
fn numbered_peers(numbers: &[u8]) -> Vec<Peer> {
    numbers.iter().map(|n| numbered_peer(*n, n + 10)).collect()
}

/// What one look of the second of three control planes makes of its backends.
fn wanted_after(
    absent: &mut AbsentControlPlanes,
    now: &[Peer],
    listed: &[Peer],
    standing: &dyn Fn(u8) -> Standing,
    minutes: u64,
) -> Vec<Peer> {
    let by_address = |address: IpAddr| match address {
        IpAddr::V4(v4) => standing(v4.octets()[3]),
        IpAddr::V6(_) => Standing::Silent,
    };
    let view = BalancerView {
        now,
        listed,
        standing: &by_address,
        at: Duration::from_mins(minutes),
    };
    absent.wanted(&view, &testing::control_plane())
}

#[test]
fn only_who_is_silent_and_unlisted_for_ten_minutes_has_left() {
    let now = numbered_peers(&[1, 2, 3]);
    let all_answer = |_| Standing::Ours;
    let third_is_silent = |host| match host {
        13 => Standing::Silent,
        _ => Standing::Ours,
    };
    type Look<'a> = (u64, &'a [u8], &'a dyn Fn(u8) -> Standing, &'a [u8]);
    let cases: [(&str, &[Look<'_>]); 5] = [
        (
            "down, not gone",
            &[
                (0, &[1, 2, 3], &third_is_silent, &[1, 2, 3]),
                (60, &[1, 2, 3], &third_is_silent, &[1, 2, 3]),
            ],
        ),
        (
            "unlisted, but it answers",
            &[
                (0, &[1, 2], &all_answer, &[1, 2, 3]),
                (60, &[1, 2], &all_answer, &[1, 2, 3]),
            ],
        ),
        (
            "gone",
            &[
                (0, &[1, 2], &third_is_silent, &[1, 2, 3]),
                (9, &[1, 2], &third_is_silent, &[1, 2, 3]),
                (10, &[1, 2], &third_is_silent, &[1, 2]),
            ],
        ),
        (
            "it answered in between",
            &[
                (0, &[1, 2], &third_is_silent, &[1, 2, 3]),
                (9, &[1, 2], &all_answer, &[1, 2, 3]),
                (11, &[1, 2], &third_is_silent, &[1, 2, 3]),
            ],
        ),
        (
            "the API lists nobody",
            &[
                (0, &[1, 2], &third_is_silent, &[1, 2, 3]),
                (60, &[], &third_is_silent, &[1, 2, 3]),
            ],
        ),
    ];
    for (what, looks) in cases {
        let mut absent = AbsentControlPlanes::default();
        for (minutes, listed, standing, expected) in looks {
            let wanted = wanted_after(
                &mut absent,
                &now,
                &numbered_peers(listed),
                standing,
                *minutes,
            );
            assert_eq!(wanted, numbered_peers(expected), "{what}, minute {minutes}");
        }
    }
}

#[test]
fn two_names_never_get_one_address() {
    let only_new_address = |host| match host {
        50 | 12 => Standing::Ours,
        _ => Standing::Silent,
    };
    let listed = [
        numbered_peer(1, 50),
        numbered_peer(3, 50),
        numbered_peer(4, 50),
    ];
    let now = numbered_peers(&[1, 2, 3]);
    let mut absent = AbsentControlPlanes::default();
    let wanted = wanted_after(&mut absent, &now, &listed, &only_new_address, 0);
    assert_eq!(
        wanted,
        [
            numbered_peer(1, 50),
            numbered_peer(2, 12),
            numbered_peer(3, 13)
        ]
    );
}

fn any_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Ours),
        Just(Standing::Stranger),
        Just(Standing::Silent)
    ]
}

proptest! {
    #[test]
    fn only_proof_changes_anything(
        looks in prop::collection::vec((
            prop::collection::vec((1u8..8, 11u8..18), 0..6),
            prop::collection::vec(any_standing(), 8),
            0u64..15,
        ), 1..6),
    ) {
        let me = testing::control_plane();
        let mut absent = AbsentControlPlanes::default();
        let (mut now, mut minute) = (me.control_planes.clone(), 0);
        for (listed, standings, later) in looks {
            minute += later;
            let listed: Vec<Peer> = listed.iter().map(|(n, host)| numbered_peer(*n, *host)).collect();
            let standing = |host: u8| standings[usize::from(host - 11)];
            let of = |p: &Peer| standing(p.address.to_string().rsplit('.').next().unwrap().parse().unwrap());
            let before = now.clone();
            now = wanted_after(&mut absent, &before, &listed, &standing, minute);
            let names: BTreeSet<_> = now.iter().map(|p| &p.name).collect();
            let addresses: BTreeSet<_> = now.iter().map(|p| p.address).collect();
            prop_assert_eq!((names.len(), addresses.len()), (now.len(), now.len()), "twice: {:?}", now);
            prop_assert!(!now.is_empty());
            for new in now.iter().filter(|p| !before.contains(p)) {
                prop_assert_eq!(of(new), Standing::Ours, "{} is not proved", new.name);
            }
            for lost in before.iter().filter(|p| !names.contains(&p.name)) {
                let is_listed = listed.iter().any(|p| p.name == lost.name);
                let left = !is_listed && !listed.is_empty() && of(lost) == Standing::Silent && lost.name != me.name;
                prop_assert!(of(lost) == Standing::Stranger || left, "{} was taken out", lost.name);
            }
            let own = now.iter().find(|p| p.name == me.name);
            prop_assert!(own.is_none_or(|p| p.address == me.address), "it moved itself");
            let again = wanted_after(&mut absent, &now, &listed, &standing, minute);
            prop_assert_eq!(&again, &now, "the same cluster asks for no change");
        }
    }
}
