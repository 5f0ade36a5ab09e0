use super::ends::Validity;
use super::*;

const MINUTE_MS: u64 = 60_000;

#[test]
fn a_certificate_is_due_below_thirty_days_or_a_third_of_its_life() {
    let end = 2_000_000_000_000;
    // Life, and what is left when it is due, when waiting for others has an end.
    for (life, due, pressing) in [
        (365 * DAY_MS, 30 * DAY_MS, 10 * DAY_MS),
        (90 * DAY_MS, 30 * DAY_MS, 10 * DAY_MS),
        // kubeadm's validity of ten minutes begins five minutes ago.
        (15 * MINUTE_MS, 5 * MINUTE_MS, 100_000),
    ] {
        let validity = Validity {
            from_ms: end - life,
            until_ms: end,
        };
        assert!(!validity.is_due(end - due), "{life}");
        assert!(validity.is_due(end - due + 1), "{life}");
        assert!(!validity.is_pressing(end - pressing), "{life}");
        assert!(validity.is_pressing(end - pressing + 1), "{life}");
        assert!(!validity.has_ended(end - 1) && validity.has_ended(end));
        assert!(
            validity.is_due(end - life - 1),
            "made while the clock was ahead"
        );
    }
}

#[test]
fn every_end_is_told_the_nearest_first_and_a_late_one_is_a_fault() {
    run_local(async {
        let fixture = RenewalFixture::silent(190);
        assert!(ends::check_ends(&fixture.machine.cx).is_ok());
        let told = fixture.machine.status().certificates;
        let names: Vec<&str> = told.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(told.len(), 11 + 3, "{names:?}");
        assert_eq!(&names[11..], ["ca", "front-proxy-ca", "etcd-ca"]);
        fixture.has_days_left("etcd-peer", 16);
        assert!(
            ends::check_ends(&fixture.machine.cx).is_ok(),
            "time is left for the agent"
        );
        assert_eq!(
            fixture.machine.status().first_expiry.unwrap().name,
            "etcd-peer"
        );
        fixture.has_days_left("etcd-peer", 15);
        let fault = ends::check_ends(&fixture.machine.cx)
            .unwrap_err()
            .to_string();
        assert!(
            fault.starts_with("etcd-peer ends in 15 d; by hand on this node: "),
            "{fault}"
        );
        fixture
            .machine
            .clock
            .0
            .set(fixture.machine.clock.0.get() + 18 * DAY_MS);
        let fault = ends::check_ends(&fixture.machine.cx)
            .unwrap_err()
            .to_string();
        assert!(fault.starts_with("etcd-peer ended 3 d ago; "), "{fault}");
    });
}
