use super::*;
use crate::kube::testing::{Script, node_identity, run_local, test_authority};
use crate::testing;

mod balancer_follows;
mod hour;

fn member(id: &str, name: &str, is_learner: bool) -> Member {
    Member {
        id: id.into(),
        name: name.into(),
        peer_urls: Vec::new(),
        is_learner,
        ..Member::default()
    }
}

#[test]
fn etcd_is_told_by_names() {
    let machine = testing::fake_machine(testing::control_plane());
    let members = [
        member("11", "node1", false),
        member("12", "node2", false),
        member("13", "", true),
    ];
    let seen = etcd_status(&machine.cx, &members, "11");
    assert_eq!(seen.members, ["node1", "node2", ""]);
    assert_eq!(
        (seen.expected, seen.voter, seen.leader.as_str()),
        (3, true, "node1")
    );
    assert_eq!(etcd_fault(&seen), None);
    assert_eq!(
        etcd_fault(&etcd_status(&machine.cx, &members, "0")).as_deref(),
        Some("no leader")
    );
    assert!(etcd_fault(&etcd_status(&machine.cx, &members[..1], "11")).is_some());
}

#[test]
fn a_fault_is_degraded_and_its_end_is_steady() {
    let machine = testing::fake_machine(testing::worker());
    let report = &machine.cx.report;
    report.phase_started(ha_wire::phase::Phase::Steady, 1);
    report.update_status(|s| update_state(s, false, "one look failed", 1));
    assert_eq!(
        (machine.status().state, machine.status().last_error.as_str()),
        (PhaseState::Steady, "")
    );
    report.update_status(|s| update_state(s, true, "etcd: no leader", 2));
    assert_eq!(
        (machine.status().state, machine.status().since_ms),
        (PhaseState::Degraded, 2)
    );
    assert_eq!(machine.status().last_error, "etcd: no leader");
    report.update_status(|s| update_state(s, false, "", 3));
    assert_eq!(
        (machine.status().state, machine.status().last_error.as_str()),
        (PhaseState::Steady, "")
    );
}

#[test]
fn a_worker_looks_at_its_own_node_and_is_degraded_after_three_bad_looks() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let mut node = testing::worker();
        node.endpoint.vip = [127, 161, 0, 30].into();
        node.cni = Cni::Manifests {
            sources: Vec::new(),
        };
        let machine = testing::fake_machine(node);
        machine.file(&kube::pki_file("ca.crt"), ca.cert());
        let own = node_identity(&ca, "node4");
        machine.file(kube::KUBELET_PEM, own.joint_pem().expose());
        let script = Script::default();
        let ready = |status: &str| {
            let message = r#""message":"kubelet stopped posting node status""#;
            format!(
                r#"{{"status":{{"conditions":[{{"type":"Ready","status":"{status}",{message}}}]}}}}"#
            )
        };
        for status in ["True", "Unknown", "Unknown", "Unknown", "True"] {
            script.on("GET /api/v1/nodes/node4", 200, &ready(status));
        }
        script.serve_at(&ca, "127.161.0.30:6444").await;
        machine
            .cx
            .report
            .phase_started(ha_wire::phase::Phase::Steady, 1);
        let mut watch = SteadyWatch::begin(&machine.cx);
        let mut states = Vec::new();
        for _ in 0..5 {
            watch.observe().await;
            states.push((machine.status().state, machine.status().node_ready));
        }
        use PhaseState::{Degraded, Steady};
        let [yes, no] = [Some(true), Some(false)];
        assert_eq!(
            states,
            [
                (Steady, yes),
                (Steady, no),
                (Steady, no),
                (Degraded, no),
                (Steady, yes)
            ]
        );
        assert_eq!(script.asked("GET").len(), 5, "one request a look");
        assert_eq!(machine.status().first_expiry.unwrap().name, "kubelet");
    });
}
