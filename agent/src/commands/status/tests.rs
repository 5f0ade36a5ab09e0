use ha_wire::phase::Phase;
use ha_wire::status::{Answer, CertificateExpiry};

use super::*;
use crate::testing;

const NOW: u64 = 1_700_000_000_000;

/// What the agent of a fresh control plane wrote.
fn fresh_status() -> Status {
    let machine = testing::fake_machine(testing::control_plane());
    machine.cx.report.started();
    let mut status = machine.status();
    status.agent.version = "0.1.0".into();
    status
}

/// It ends in so many days, and is late so many before.
fn certificate_expiry(name: &str, days: u64, late: u64) -> CertificateExpiry {
    let at_ms = NOW + days * 86_400_000;
    CertificateExpiry {
        name: name.into(),
        at_ms,
        late_ms: Some(at_ms - late * 86_400_000),
    }
}

fn steady_status() -> Status {
    let mut status = fresh_status();
    (status.phase, status.state, status.since_ms) =
        (Phase::Steady, PhaseState::Steady, NOW - 3 * 3_600_000);
    status.vip.holder = "node1".into();
    status.backends = [("node1", "UP"), ("node2", "UP"), ("node3", "DOWN")]
        .map(|(name, state)| Backend {
            name: name.into(),
            state: state.into(),
            check: String::new(),
            seconds: None,
        })
        .to_vec();
    let members = ["node1", "node2", "node3"].map(str::to_owned).to_vec();
    status.etcd = Some(EtcdStatus {
        endpoints: Vec::new(),
        expected: 3,
        members,
        voter: true,
        leader: "node1".into(),
        alarms: Vec::new(),
        database_bytes: None,
        quota_bytes: None,
        elections_ms: Vec::new(),
    });
    (status.kubelet, status.node_ready, status.network) =
        ("active".into(), Some(true), "cilium 1.18.1 ready".into());
    status.certificates = [("apiserver", 364), ("etcd-peer", 364), ("ca", 3650)]
        .map(|(name, days)| certificate_expiry(name, days, 30))
        .to_vec();
    status.agent.rss_kib = 3174;
    status
}

#[test]
fn a_steady_node() {
    assert_eq!(
        describe_status(&steady_status(), NOW),
        "node2   control plane of demo   steady since 19:13:20 UTC (3 h)
vip     10.77.0.30 held by node1 (not here)     haproxy: node1 up, node2 up, node3 down
etcd    3 of 3 members, this one a voter, leader node1
kubelet active, node Ready                      cilium 1.18.1 ready
certs   ends in 364 d: apiserver, etcd-peer     agent 0.1.0, 3.1 MiB
        ends in 3650 d: ca
"
    );
}

#[test]
fn ends_are_told_with_a_warning_from_the_limit_on_and_as_ended_after_the_end() {
    let mut status = steady_status();
    status.certificates = vec![
        certificate_expiry("apiserver", 0, 15),
        certificate_expiry("scheduler.conf", 14, 15),
        certificate_expiry("kubelet", 17, 15),
    ];
    status.renewal.words = "node3: kube-apiserver: connection refused".into();
    let text = describe_status(&status, NOW + 3_600_000 * 24);
    let (_, certs) = text.split_once("certs   ").unwrap();
    assert_eq!(
        certs,
        "ended 24 h ago: apiserver               agent 0.1.0, 3.1 MiB
        ends in 13 d, LATE: scheduler.conf
        ends in 16 d: kubelet
        renewal: node3: kube-apiserver: connection refused
"
    );
}

#[test]
fn apiservers_of_another_cluster_are_named() {
    let mut status = steady_status();
    status.strangers = vec!["node1".into(), "node3".into()];
    let line = "\ncluster another one is shown by node1, node3: not behind the VIP\n";
    let text = describe_status(&status, NOW);
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_reboot_that_is_needed_is_told_in_every_phase() {
    for (flatcar, told) in [
        (
            "4459.2.1",
            "reboot  Flatcar 4459.2.1 is installed, reboot needed",
        ),
        (
            "",
            "reboot  needed, for what was installed and is not booted yet",
        ),
    ] {
        for mut status in [fresh_status(), steady_status()] {
            assert!(!describe_status(&status, NOW).contains("reboot"));
            status.reboot_needed = Some(RebootNeeded {
                flatcar: flatcar.into(),
            });
            let text = describe_status(&status, NOW);
            assert_eq!(text.lines().last(), Some(told), "{text}");
        }
    }
}

#[test]
fn long_names_and_addresses_stay_apart_from_what_follows() {
    let mut status = steady_status();
    status.node = "control-plane-1".into();
    status.vip.address = "2001:db8:0:77::30".parse().unwrap();
    status.vip.holder = "control-plane-2".into();
    let text = describe_status(&status, NOW);
    for part in [
        "control-plane-1 control plane of demo ",
        "(not here) haproxy: ",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn a_node_that_waits() {
    let mut status = fresh_status();
    (status.phase, status.since_ms) = (Phase::Gate, NOW - 42_000);
    status.waiting_for = "https://10.77.0.30:6444/readyz to answer 200".into();
    status.last_try_ms = Some(NOW - 400);
    status.last_error = "connection refused".into();
    assert_eq!(
        describe_status(&status, NOW),
        "node2   control plane of demo   gate for 42 s
waiting for https://10.77.0.30:6444/readyz to answer 200; last try 0.4 s ago: connection refused
"
    );
}

#[test]
fn a_failed_node_shows_the_programs_own_words() {
    let mut status = fresh_status();
    (status.phase, status.state, status.since_ms) = (Phase::Join, PhaseState::Failed, NOW - 7000);
    status.last_error = "etcd-join: timeout".into();
    status.tail = vec!["dial tcp 10.77.0.11:2379: i/o timeout".into()];
    let text = describe_status(&status, NOW);
    assert!(
        text.contains("join failed 7.0 s ago: a person must act\n"),
        "{text}"
    );
    assert!(
        text.contains("        | dial tcp 10.77.0.11:2379: i/o timeout\n"),
        "{text}"
    );
}

#[test]
fn exit_codes() {
    let cases = [
        (PhaseState::Working, Exit::Working),
        (PhaseState::Retrying, Exit::Working),
        (PhaseState::Failed, Exit::Failed),
        (PhaseState::Steady, Exit::Done),
        (PhaseState::Degraded, Exit::Failed),
    ];
    for (state, exit) in cases {
        let mut status = steady_status();
        status.state = state;
        assert_eq!(exit_of(&status, NOW), exit, "{state:?}");
        status.agent.pid = 0;
        assert_eq!(
            exit_of(&status, NOW),
            Exit::Failed,
            "{state:?}, the agent is dead"
        );
    }
}

/// The file stays as it was when /run is full, whatever happens afterwards.
#[test]
fn words_that_were_not_renewed_are_told_as_old_and_are_a_failure() {
    let status = steady_status();
    let text = describe_status(&status, NOW + 29_000);
    assert!(!text.contains("not heard of"), "{text}");
    let text = describe_status(&status, NOW + 240_000);
    assert!(
        text.starts_with(
            "node2   control plane of demo   not heard of since 22:13:20 UTC (4 min): what follows is old\n\
             \x20       its agent runs and cannot write /run/ha-agent/status.json\n\
             \x20       -> df -h /run; journalctl -t ha-agent -n 20\n\
             \x20       steady since 19:13:20 UTC (3 h)\n\
             vip     10.77.0.30 held by node1 (not here) "
        ),
        "{text}"
    );
    // A clock that was put back: what was written in its future is not known to be new.
    let text = describe_status(&status, NOW - 240_000);
    assert!(text.contains("not heard of since"), "{text}");
}

#[test]
fn old_words_end_with_another_exit_code_than_new_ones() {
    let machine = testing::fake_machine(testing::control_plane());
    machine.cx.report.started();
    machine.file(&format!("/proc/{}/comm", std::process::id()), "ha-agent\n");
    let written = machine.cx.sys.clock.now_ms();
    for (now, exit) in [
        (written + 1000, Exit::Working),
        (written + 31_000, Exit::Failed),
    ] {
        for json in [false, true] {
            let read = read_status(&machine.cx.sys.files, json, now).unwrap();
            assert_eq!(read.1, exit, "{} s later", (now - written) / 1000);
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_with_the_next_command() {
    let mut status = steady_status();
    status.state = PhaseState::Degraded;
    status.faults = vec![
        "API: not Ready: container runtime is down".into(),
        "machine: disk: 1.0 GiB free".into(),
    ];
    status.last_error = status.faults[0].clone();
    status.runtime = Some(Answer {
        at_ms: NOW,
        since_ms: NOW - 60_000,
        error: "containerd.sock: connection refused".into(),
    });
    let text = describe_status(&status, NOW);
    let lines: Vec<&str> = text.lines().skip(1).take(4).collect();
    assert!(lines[0].contains("connection refused"), "{text}");
    assert!(lines[1].starts_with("        -> "), "{text}");
    assert_eq!(
        lines[2],
        "        API: not Ready: container runtime is down"
    );
    assert_eq!(lines[3], "        machine: disk: 1.0 GiB free");
}

#[test]
fn a_dead_agent_is_told_by_its_process_id() {
    let machine = testing::fake_machine(testing::control_plane());
    machine.cx.report.started();
    let (text, exit) = read_status(&machine.cx.sys.files, false, NOW).unwrap();
    assert!(text.contains("the agent is not running"), "{text}");
    assert_eq!(exit, Exit::Failed);
    machine.file(&format!("/proc/{}/comm", std::process::id()), "ha-agent\n");
    let (text, exit) = read_status(&machine.cx.sys.files, false, NOW).unwrap();
    assert!(!text.contains("not running"), "{text}");
    assert_eq!(exit, Exit::Working);
}

#[test]
fn before_the_first_run_and_after_an_update() {
    let machine = testing::fake_machine(testing::control_plane());
    let (text, exit) = read_status(&machine.cx.sys.files, false, NOW).unwrap();
    assert!(text.starts_with("the agent has not run"), "{text}");
    assert_eq!(exit, Exit::Working);
    machine.file(paths::STATUS_FILE, r#"{"version": 2}"#);
    let error = read_status(&machine.cx.sys.files, false, NOW).unwrap_err();
    assert!(
        error.to_string().contains("version 2 of a status"),
        "{error}"
    );
}

#[test]
fn the_json_form_is_what_the_spec_crate_reads() {
    let machine = testing::fake_machine(testing::control_plane());
    machine.cx.report.started();
    let (text, _) = read_status(&machine.cx.sys.files, true, NOW).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap().agent.pid, 0);
}

#[test]
fn spans_in_their_largest_sensible_unit() {
    for (ms, text) in [
        (5000, "5 s"),
        (180_000, "3 min"),
        (10_800_000, "3 h"),
        (864_000_000, "10 d"),
    ] {
        assert_eq!(human_span(ms), text);
    }
    assert_eq!(describe_end(4_000, 10_000), "ended 6 s ago");
}

#[test]
fn an_endpoint_of_somebody_else_has_no_holder() {
    let mut status = steady_status();
    status.vip.external = "k8s-api.example.org:6443".into();
    status.vip.holder.clear();
    status.backends.clear();
    let line = "\napi     k8s-api.example.org:6443 by a balancer outside of the cluster\n";
    let text = describe_status(&status, NOW);
    assert!(text.contains(line), "{text}");
}
