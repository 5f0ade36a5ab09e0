use super::*;
use crate::eventually::wait_until;

fn shell_command(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn streams_and_code_are_kept() {
    let done = run_to_end(
        shell_command("echo out; echo err >&2; exit 3"),
        Duration::from_secs(10),
    )
    .unwrap();
    assert_eq!(
        (done.code, done.stdout.as_str(), done.stderr.as_str()),
        (Some(3), "out\n", "err\n")
    );
    assert!(!done.held);
    assert!(format!("{:#}", done.ok().unwrap_err()).contains("exit code 3, wanted 0"));
}

/// The name of a process; none if it is gone or only waits to be asked for its exit code.
fn process_name(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let name = status.strip_prefix("Name:\t")?.lines().next()?.to_owned();
    (!status.contains("State:\tZ")).then_some(name)
}

fn dies_when_dropped(command: Command) {
    let limit = Duration::from_secs(10);
    let running = RunningProcess::start(command).unwrap();
    let pid = wait_until("it sleeps", limit, || {
        let pid = running.pid();
        ensure!(
            process_name(pid).as_deref() == Some("sleep"),
            "{:?}",
            process_name(pid)
        );
        Ok(pid)
    })
    .unwrap();
    drop(running);
    wait_until("it is gone", limit, || {
        ensure!(process_name(pid).is_none(), "{:?}", process_name(pid));
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_nobody_waits_for_any_more_is_killed_and_so_is_what_nsenter_started() {
    dies_when_dropped(shell_command("exec sleep 1000"));
    if !ha_test_support::real::is_root("enters a namespace of processes") {
        return;
    }
    let mut command = Command::new("nsenter");
    let own = std::process::id().to_string();
    command.args(["-t", &own, "-p", "--", "sleep", "1000"]);
    dies_when_dropped(command);
}

#[test]
fn a_deadline_ends_it_and_tells_the_output() {
    let error = run_to_end(
        shell_command("echo here; exec sleep 60"),
        Duration::from_millis(300),
    )
    .unwrap_err();
    assert!(format!("{error:#}").contains("here"), "{error:#}");
}

#[test]
fn json_is_an_object_a_line_and_never_nothing() {
    let said = |text: &str| {
        let done = run_to_end(
            shell_command(&format!("printf '{text}'")),
            Duration::from_secs(10),
        );
        done.unwrap().json_lines()
    };
    assert_eq!(said("{}\\n{}\\n").unwrap().len(), 2);
    for text in ["", "{}\\nwords\\n", "7\\n"] {
        assert!(said(text).is_err(), "{text:?}");
    }
}
