use super::*;
use crate::kube::testing::{Script, node_identity, run_local, test_authority};
use crate::phases::balancer;
use crate::render::{haproxy, keepalived};
use crate::testing;

mod balancer_follows;
mod elections;
mod hour;

fn etcd_member(id: &str, name: &str, is_learner: bool) -> Member {
    Member {
        id: id.into(),
        name: name.into(),
        peer_urls: Vec::new(),
        is_learner,
        ..Member::default()
    }
}

/// What its member says that follows this leader.
fn led_by(leader: &str) -> MemberStatus {
    MemberStatus {
        leader: leader.into(),
        ..MemberStatus::default()
    }
}

#[test]
fn etcd_is_told_by_names() {
    let machine = testing::fake_machine(testing::control_plane());
    let members = [
        etcd_member("11", "node1", false),
        etcd_member("12", "node2", false),
        etcd_member("13", "", true),
    ];
    let told = |members, leader| etcd_status(&machine.cx, members, &led_by(leader), &[]).unwrap();
    let seen = told(&members, "11");
    assert_eq!(seen.members, ["node1", "node2", ""]);
    assert_eq!(
        (seen.expected, seen.voter, seen.leader.as_str()),
        (3, true, "node1")
    );
    assert_eq!(etcd_fault(&seen), None);
    let leaderless = etcd_fault(&told(&members, "0"));
    assert_eq!(leaderless.as_deref(), Some("no leader"));
    assert!(etcd_fault(&told(&members[..1], "11")).is_some());
}

#[test]
fn a_fault_is_degraded_and_its_end_is_steady() {
    let machine = testing::fake_machine(testing::worker());
    let report = &machine.cx.report;
    report.phase_started(ha_wire::phase::Phase::Steady, 1);
    let faults = |faults: &[&str], now| {
        let seen = |what: &&str| SeenFault {
            about: About::Etcd,
            what: (*what).to_owned(),
        };
        let faults = faults.iter().map(seen).collect();
        report.update_status(|s| update_state(s, faults, now));
        let status = machine.status();
        (
            status.state,
            status.since_ms,
            status.last_error,
            status.faults,
        )
    };
    let all = ["etcd: no leader".to_owned(), "API: not Ready".to_owned()];
    let told = faults(&["etcd: no leader", "API: not Ready"], 2);
    assert_eq!(
        told,
        (PhaseState::Degraded, 2, all[0].clone(), all.to_vec())
    );
    let told = faults(&["etcd: no leader"], 3);
    assert_eq!(
        told,
        (PhaseState::Degraded, 2, all[0].clone(), all[..1].to_vec())
    );
    assert_eq!(
        faults(&[], 4),
        (PhaseState::Steady, 4, String::new(), Vec::new())
    );
}

/// Row 1 of the public reports: `anonymous-auth: false`, every check gets 401, and the agent stayed steady.
#[test]
fn facts_that_show_a_fault_are_degraded_with_their_own_words() {
    let machine = testing::fake_machine(testing::control_plane());
    let report = &machine.cx.report;
    report.phase_started(ha_wire::phase::Phase::Steady, 1);
    report.update_status(|s| {
        s.backends = vec![ha_wire::status::Backend {
            name: "node2".into(),
            state: "DOWN".into(),
            check: "L7STS/401".into(),
            seconds: Some(30),
        }];
        update_state(s, Vec::new(), 1000);
    });
    let status = machine.status();
    assert_eq!(
        (status.state, status.faults.len()),
        (PhaseState::Degraded, 1)
    );
    assert!(
        status.last_error.contains("anonymous requests are refused"),
        "{}",
        status.last_error
    );
    // Judged again, it is the same fault.
    report.update_status(|s| update_state(s, Vec::new(), 9000));
    assert_eq!(machine.status().faults, status.faults);
}

#[test]
fn a_full_etcd_is_told_by_the_names_of_its_members() {
    let machine = testing::fake_machine(testing::control_plane());
    let members = [
        etcd_member("11", "node1", false),
        etcd_member("12", "node2", false),
    ];
    let told = |status: MemberStatus, alarms: &[Alarm]| {
        let etcd = etcd_status(&machine.cx, &members, &status, alarms).unwrap();
        (etcd.alarms, etcd.database_bytes, etcd.quota_bytes)
    };
    let alarms = [("12", "NOSPACE"), ("77", "CORRUPT")].map(|(member, kind)| Alarm {
        member: member.to_owned(),
        kind: kind.to_owned(),
    });
    let full = MemberStatus {
        database_bytes: Some(7),
        quota_bytes: Some(8),
        ..led_by("11")
    };
    let names = ["NOSPACE of node2", "CORRUPT of member 77"];
    let names = names.map(|text| EtcdAlarm::from(text.to_owned()));
    assert_eq!(told(full, &alarms), (names.to_vec(), Some(7), Some(8)));
    // An etcd that does not say its quota is started with it, or has its own.
    let without = || told(led_by("11"), &[]);
    assert_eq!(without(), (Vec::new(), None, Some(2 << 30)));
    machine.file(
        &kube::pod_manifest("etcd"),
        "  - command:\n    - --quota-backend-bytes=8589934592\n",
    );
    assert_eq!(without().2, Some(8 << 30));
}

#[test]
fn a_worker_looks_at_its_own_node_and_is_degraded_after_three_bad_looks() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let mut node = testing::worker();
        node.endpoint.vip = [127, 161, 0, 30].into();
        node.kubernetes.service_cidr = "127.161.96.0/24".parse().unwrap();
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

/// It asks nobody who belongs to the cluster: what somebody else changed comes back, and there is no Node to be Ready.
#[test]
fn a_balancer_of_its_own_keeps_what_it_was_told() {
    run_local(async {
        let machine = testing::fake_machine(testing::balancer_machine());
        machine.file(ha_wire::paths::CA_CERT, &testing::ca_pem());
        for unit in [haproxy::UNIT, keepalived::UNIT] {
            machine.systemd.unit(unit, "active");
        }
        balancer_follows::serve_health(&machine);
        balancer::run(&machine.cx).await.unwrap();
        machine
            .cx
            .report
            .phase_started(ha_wire::phase::Phase::Steady, 1);
        let mut watch = SteadyWatch::begin(&machine.cx);
        machine.orders();
        watch.observe().await;
        assert_eq!(machine.orders(), [""; 0]);
        machine.file(haproxy::CONFIG, "# somebody's\n");
        watch.observe().await;
        assert_eq!(
            machine.orders(),
            [""; 0],
            "haproxy runs with what it was told"
        );
        let text = machine.cx.sys.files.read(haproxy::CONFIG).unwrap().unwrap();
        assert_eq!(
            haproxy::parse_servers(&text),
            machine.cx.node.control_planes
        );
        let status = machine.status();
        assert_eq!(
            (status.state, status.node_ready),
            (PhaseState::Steady, None)
        );
    });
}
