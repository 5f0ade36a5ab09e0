use super::*;
use crate::testing::{self, FakeMachine};

fn started_machine() -> FakeMachine {
    let machine = testing::fake_machine(testing::control_plane());
    machine.cx.report.started();
    machine
}

fn event_names(machine: &FakeMachine) -> Vec<String> {
    machine
        .events()
        .iter()
        .map(|e| e["event"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_phase_is_told_from_begin_to_end() {
    let machine = started_machine();
    let report = &machine.cx.report;
    report.phase_started(Phase::Gate, 1);
    report.waiting(Phase::Gate, "/readyz", "connection refused");
    let status = machine.status();
    assert_eq!(
        (status.phase, status.waiting_for.as_str()),
        (Phase::Gate, "/readyz")
    );
    machine.clock.0.set(machine.clock.0.get() + 1500);
    report.phase_done(Phase::Gate, false);
    assert_eq!(
        event_names(&machine),
        ["hello", "started", "waiting", "done"]
    );
    let events = machine.events();
    assert_eq!(events[3]["tookMs"], 1500);
    assert_eq!(
        events
            .iter()
            .map(|e| e["seq"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(
        machine.status().last_error,
        "",
        "a success forgets the errors on the way"
    );
}

/// A launch counts a phase as failing until it hears that it waits for something again.
#[test]
fn a_new_attempt_tells_its_wait_in_the_words_of_the_one_before() {
    let machine = started_machine();
    let report = &machine.cx.report;
    for attempt in 1..=2 {
        report.phase_started(Phase::Network, attempt);
        report.waiting(Phase::Network, "the pod network", "");
        report.phase_failed(Phase::Network, attempt, Failure::default());
        machine.clock.0.set(machine.clock.0.get() + 1000);
    }
    let told = event_names(&machine)
        .iter()
        .filter(|n| *n == "waiting")
        .count();
    assert_eq!(told, 2);
}

#[test]
fn repeated_words_are_told_once_and_changing_ones_five_times_a_second() {
    let machine = started_machine();
    let report = &machine.cx.report;
    for i in 0..100 {
        report.waiting(Phase::Gate, "/readyz", &format!("try {}", i / 2));
        machine.clock.0.set(machine.clock.0.get() + 20);
    }
    let told = event_names(&machine)
        .iter()
        .filter(|n| *n == "waiting")
        .count();
    assert!((9..=11).contains(&told), "{told} in two seconds");
    machine.clock.0.set(machine.clock.0.get() + 1000);
    report.waiting(Phase::Gate, "/readyz", "last");
    report.waiting(Phase::Gate, "/readyz", "last");
    assert_eq!(machine.status().last_error, "last");
    assert_eq!(machine.events().last().unwrap()["lastError"], "last");
}

#[test]
fn a_failure_stands_in_the_status_until_the_next_success() {
    let machine = started_machine();
    let report = &machine.cx.report;
    report.phase_started(Phase::Join, 1);
    let failure = Failure {
        error: "etcd-join: timeout".into(),
        tail: vec!["I1".into()],
        retry_ms: Some(500),
        beneath: None,
    };
    report.phase_failed(Phase::Join, 1, failure.clone());
    let status = machine.status();
    assert_eq!(
        (status.state, status.last_error.as_str()),
        (PhaseState::Retrying, "etcd-join: timeout")
    );
    report.phase_started(Phase::Join, 2);
    assert_eq!(machine.status().state, PhaseState::Working);
    assert_eq!(
        machine.status().last_error,
        "etcd-join: timeout",
        "still what was last known"
    );
    report.phase_failed(
        Phase::Join,
        2,
        Failure {
            retry_ms: None,
            beneath: None,
            ..failure
        },
    );
    assert_eq!(machine.status().state, PhaseState::Failed);
    assert_eq!(
        machine.events().last().unwrap()["retryMs"],
        serde_json::Value::Null
    );
    report.phase_done(Phase::Join, false);
    assert!(machine.status().tail.is_empty());
}

#[test]
fn what_runs_aside_does_not_take_the_place_of_the_phase() {
    let machine = started_machine();
    let report = &machine.cx.report;
    report.phase_started(Phase::Gate, 1);
    report.phase_started(Phase::Images, 1);
    report.progress(Phase::Images, 1, 4);
    report.phase_failed(
        Phase::Images,
        1,
        Failure {
            error: "no space".into(),
            ..Failure::default()
        },
    );
    let status = machine.status();
    assert_eq!(
        (status.phase, status.state, status.last_error.as_str()),
        (Phase::Gate, PhaseState::Working, "")
    );
    assert_eq!(status.phases.len(), 2);
}

#[test]
fn steady_is_degraded_by_a_failure_and_steady_again() {
    let machine = started_machine();
    let report = &machine.cx.report;
    report.phase_started(Phase::Steady, 1);
    report.steady();
    assert_eq!(machine.status().state, PhaseState::Steady);
    report.phase_failed(
        Phase::Steady,
        1,
        Failure {
            error: "etcd: no leader".into(),
            tail: vec![],
            retry_ms: Some(1),
            beneath: None,
        },
    );
    assert_eq!(machine.status().state, PhaseState::Degraded);
    report.phase_started(Phase::Steady, 2);
    assert_eq!(machine.status().state, PhaseState::Steady);
}

#[test]
fn facts_that_do_not_change_write_nothing() {
    let machine = started_machine();
    let written = || machine.status().updated_ms;
    let before = written();
    machine.clock.0.set(before + 5000);
    machine.cx.report.update_status(|s| s.kubelet.clear());
    assert_eq!(written(), before);
    machine
        .cx
        .report
        .update_status(|s| s.kubelet = "active".into());
    assert_eq!(written(), before + 5000);
}

#[test]
fn the_line_for_systemctl_status_names_what_it_waits_for() {
    let machine = started_machine();
    machine.cx.report.phase_started(Phase::Gate, 1);
    machine
        .cx
        .report
        .waiting(Phase::Gate, "/readyz", "connection refused");
    assert_eq!(
        status::status_line(&machine.status()),
        "gate: waiting for /readyz: connection refused"
    );
}

#[test]
fn events_are_what_the_spec_crate_reads() {
    let machine = started_machine();
    machine.cx.report.phase_started(Phase::Gate, 1);
    for event in machine.events() {
        serde_json::from_value::<Event>(event).unwrap();
    }
}

/// Who reads the file tells old words from new ones by their age.
#[test]
fn a_status_is_written_anew_although_nothing_changed() {
    let machine = started_machine();
    let written = machine.status().updated_ms;
    let look_after = |ms| {
        machine.clock.0.set(machine.clock.0.get() + ms);
        machine.cx.report.update_status(|_| ());
        machine.status().updated_ms
    };
    assert_eq!(look_after(1000), written, "not each second");
    assert_eq!(look_after(10_000), written + 11_000);
}

/// As with a full /run.
#[test]
fn a_status_that_could_not_be_written_is_written_as_soon_as_it_can_be() {
    let machine = started_machine();
    let files = &machine.cx.sys.files;
    files.remove_file(paths::STATUS_FILE).unwrap();
    files
        .make_dir(&format!("{}/in-the-way", paths::STATUS_FILE))
        .unwrap();
    machine
        .cx
        .report
        .update_status(|s| s.kubelet = "active".into());
    files.remove_dir(paths::STATUS_FILE).unwrap();
    machine.cx.report.update_status(|_| ());
    assert_eq!(machine.status().kubelet, "active");
}
