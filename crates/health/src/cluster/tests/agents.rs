use super::*;

#[test]
fn agents_are_heard_and_their_words_are_young() {
    check_rows(&[
        (
            "old words: whatever they say",
            |view| view.status("node4").updated_ms = NOW - 61_000,
            &["node4: its agent says nothing any more: what it last said is old"],
        ),
        (
            "young enough",
            |view| view.status("node4").updated_ms = NOW - 30_000,
            &[],
        ),
        (
            "an agent of before, which wrote changes alone",
            |view| {
                view.status("node4").service = None;
                view.status("node4").updated_ms = NOW - 6_000_000;
            },
            &[],
        ),
        (
            "a machine that booted without its agent",
            |view| {
                let failed_units = vec!["systemd-sysext.service".to_owned()];
                view.agents.get_mut("node4").unwrap().word = AgentWord::NoStatus { failed_units };
            },
            &["node4: its machine runs without its agent: failed units: systemd-sysext.service"],
        ),
        (
            "what an agent finds wrong by itself",
            |view| view.status("node4").faults = vec!["machine: disk: 1.0 GiB free".to_owned()],
            &["node4: machine: disk: 1.0 GiB free"],
        ),
        (
            "an agent of before, degraded",
            |view| {
                view.status("node4").state = PhaseState::Degraded;
                view.status("node4").last_error = "etcd: no leader".to_owned();
            },
            &["node4: its agent is degraded: etcd: no leader"],
        ),
        (
            "a node that hangs in a phase",
            |view| {
                let status = view.status("node4");
                (status.phase, status.state) = (Phase::Finish, PhaseState::Retrying);
                status.waiting_for = "the kubelet's certificate".to_owned();
            },
            &["node4: it is not done: in finish: waits for the kubelet's certificate"],
        ),
        (
            "a node that boots",
            |view| {
                let status = view.status("node4");
                (status.phase, status.state) = (Phase::Balancer, PhaseState::Working);
                status.since_ms = NOW - 20_000;
            },
            &[],
        ),
    ]);
}

#[test]
fn how_old_a_word_is_and_where_to_look_is_told() {
    let finding = only_finding(|view| view.status("node4").updated_ms = NOW - 180_000);
    assert_eq!(finding.seconds, Some(180));
    assert_eq!(finding.next, "ha-host logs demo node4 --unit ha-agent");
}

#[test]
fn a_full_run_is_told_before_any_word_is_old() {
    let with = |left| {
        move |view: &mut ClusterView| {
            view.agents.get_mut("node4").unwrap().run_left_kib = left;
        }
    };
    let finding = only_finding(with(Some(0)));
    assert!(
        finding.what.starts_with("/run of node4 is full"),
        "{finding:?}"
    );
    assert!(
        finding
            .next
            .starts_with("ha-host exec demo node4 -- sh -c 'du -xh /run"),
        "{finding:?}"
    );
    for left in [Some(32), None] {
        let mut view = healthy_view();
        with(left)(&mut view);
        assert_eq!(cluster_findings(&demo_cluster(), &view), []);
    }
}

#[test]
fn the_age_is_by_the_clock_of_whoever_wrote() {
    let mut view = healthy_view();
    let agent = view.agents.get_mut("node4").unwrap();
    let AgentWord::Status { status, now_ms } = &mut agent.word else {
        panic!("{agent:?}")
    };
    // A clock that is a day behind everybody else's.
    (status.updated_ms, *now_ms) = (NOW - 86_402_000, Some(NOW - 86_400_000));
    assert_eq!(cluster_findings(&demo_cluster(), &view), []);
}
