use super::*;

/// The first looks see the old pods, and from then on the new ones are there.
fn restarts_later(fixture: &RenewalFixture, component: &str) {
    let later = pod_since("2023-11-15T00:00:00Z").to_string();
    fixture
        .api
        .on(&format!("{POD}/{component}-node2"), 200, &later);
}

fn scheduler_is_left_alone(fixture: &RenewalFixture) {
    let files = &fixture.machine.cx.sys.files;
    let manifest = files.read(&pod_manifest("kube-scheduler"));
    let manifest = manifest.unwrap().unwrap();
    assert!(!manifest.contains("annotations"), "{manifest}");
}

#[test]
fn a_component_that_runs_with_the_certificate_before_is_restarted_once_and_then_the_next() {
    run_local(async {
        let fixture = RenewalFixture::new(180).await.all_ready();
        // Files of tests are written after 2020.
        fixture.pods_run_since("2020-01-01T00:00:00Z");
        let mut watch = RenewalWatch::new(&fixture.machine.cx);
        for component in ["kube-controller-manager", "kube-scheduler"] {
            // One look outside of the Lease, one inside.
            let old = pod_since("2020-01-01T00:00:00Z").to_string();
            fixture
                .api
                .on(&format!("{POD}/{component}-node2"), 200, &old);
            restarts_later(&fixture, component);
        }
        assert_eq!(watch.observe().await.unwrap(), RenewalOutcome::Renewed);
        for component in ["kube-controller-manager", "kube-scheduler"] {
            let manifest = fixture.machine.cx.sys.files.read(&pod_manifest(component));
            let manifest = manifest.unwrap().unwrap();
            assert!(
                manifest.contains("flatcar-ha/certificate-ends: "),
                "{manifest}"
            );
        }
        assert_eq!(fixture.commands_run(), [""; 0], "kubeadm was not needed");
        let asked = fixture.api.asked(POD).len();
        assert_eq!(watch.observe().await.unwrap(), RenewalOutcome::NothingDue);
        assert_eq!(
            fixture.api.asked(POD).len(),
            asked,
            "nobody is asked any more"
        );
    });
}

#[test]
fn a_component_that_was_started_after_its_certificate_is_asked_for_once_and_left_alone() {
    run_local(async {
        let fixture = RenewalFixture::new(181).await.all_ready();
        fixture.pods_run_since("2100-01-01T00:00:00Z");
        let mut watch = RenewalWatch::new(&fixture.machine.cx);
        for _ in 0..3 {
            assert_eq!(watch.observe().await.unwrap(), RenewalOutcome::NothingDue);
        }
        assert_eq!(fixture.api.asked(POD).len(), 2);
        scheduler_is_left_alone(&fixture);
    });
}

#[test]
fn one_that_does_not_come_back_is_said_and_holds_up_the_next() {
    run_local(async {
        let fixture = RenewalFixture::new(182).await.all_ready();
        fixture.pods_run_since("2020-01-01T00:00:00Z");
        let error = fixture.observe().await.unwrap_err().to_string();
        assert_eq!(
            error,
            "kube-controller-manager did not come back within 180 s"
        );
        scheduler_is_left_alone(&fixture);
    });
}
