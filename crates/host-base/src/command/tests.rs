use super::*;

const SOON: Duration = Duration::from_secs(20);

fn shell_command(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn failure_of_script(script: &str, deadline: Duration) -> CommandFailed {
    let finished = run_within(&mut shell_command(script), "", deadline).unwrap();
    finished.into_stdout().unwrap_err()
}

#[test]
fn an_error_names_the_command_and_its_last_lines() {
    let error = run_for_stdout(&mut shell_command(
        "echo no such thing >&2; seq 1 100; exit 3",
    ))
    .unwrap_err();
    let failed = error.downcast_ref::<CommandFailed>().unwrap();
    assert_eq!(
        (failed.status.code(), failed.timed_out, failed.tail.len()),
        (Some(3), None, TAIL_LINES)
    );
    let end: Vec<&str> = failed
        .tail
        .iter()
        .rev()
        .map(String::as_str)
        .take(2)
        .collect();
    assert_eq!(
        end,
        ["no such thing", "100"],
        "a flood of output hides no error"
    );
    let text = format!("{error:#}");
    assert!(
        text.starts_with("sh -c echo no such") && text.contains("failed (exit status: 3): "),
        "{text}"
    );
}

#[test]
fn the_streams_are_kept_apart() {
    let finished = run_within(
        &mut shell_command("echo out; echo err >&2; exit 7"),
        "",
        SOON,
    )
    .unwrap();
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(finished.status.code(), Some(7));
}

#[test]
fn the_deadline_ends_the_whole_group() {
    let begun = Instant::now();
    let script = "sleep 1000 & echo $!; wait";
    let finished = run_within(&mut shell_command(script), "", Duration::from_millis(300)).unwrap();
    let grandchild = finished.stdout.trim().to_owned();
    let failed = finished.into_stdout().unwrap_err();
    assert_eq!(failed.timed_out, Some(Duration::from_millis(300)));
    assert!(
        failed.to_string().contains("did not end within 300ms"),
        "{failed}"
    );
    assert!(begun.elapsed() < SOON);
    wait_until_gone(&grandchild);
}

fn wait_until_gone(pid: &str) {
    let begun = Instant::now();
    // Its new parent may take its time to notice.
    let lives = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    while lives() {
        assert!(begun.elapsed() < SOON, "the grandchild lives on");
        std::thread::sleep(POLL);
    }
}

#[test]
fn the_deadline_ends_what_the_child_started_in_a_group_of_its_own() {
    // As `guest-exec` starts virsh.
    let script = "setsid sleep 1000 & echo $!; wait";
    let finished = run_within(&mut shell_command(script), "", Duration::from_millis(500)).unwrap();
    assert!(finished.timed_out.is_some());
    wait_until_gone(finished.stdout.trim());
}

#[test]
fn an_attached_command_ends_with_its_own_status() {
    let status = run_attached(&mut shell_command("read -r line || exit 7"), Input::Empty).unwrap();
    assert_eq!(status.code(), Some(7), "nothing is there to be read");
    let error = run_attached(&mut Command::new("/no/such"), Input::Ours).unwrap_err();
    assert_eq!(error.to_string(), "cannot start /no/such");
}

#[test]
fn a_grandchild_that_holds_the_streams_does_not_hang_it() {
    let begun = Instant::now();
    // The number is the grandchild's, to end it.
    let said = run_for_stdout(&mut shell_command("sleep 1000 & echo $!")).unwrap();
    assert!(begun.elapsed() < SOON);
    run_for_stdout(Command::new("kill").arg(said.trim())).unwrap();
}

#[test]
fn input_reaches_the_program_and_an_unread_one_does_no_harm() {
    let much = "x".repeat(300_000);
    assert_eq!(
        run_with_input(&mut Command::new("cat"), &much).unwrap(),
        much
    );
    assert_eq!(
        run_with_input(&mut shell_command("exit 0"), &much).unwrap(),
        ""
    );
    assert_eq!(run_for_stdout(&mut Command::new("cat")).unwrap(), "");
}

#[test]
fn a_signal_is_named() {
    let failed = failure_of_script("kill -9 $$", SOON);
    assert!(failed.to_string().contains("signal: 9"), "{failed}");
}

#[test]
fn a_child_that_stays_is_ready_late_or_gone() {
    let mut child = shell_command("read -r line; exit 4")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let soon = Duration::from_millis(20);
    assert_eq!(
        wait_until_ready(&mut child, soon, || true).unwrap(),
        Startup::Ready
    );
    assert_eq!(
        wait_until_ready(&mut child, soon, || false).unwrap(),
        Startup::Late
    );
    drop(child.stdin.take());
    let Startup::Ended(status) = wait_until_ready(&mut child, SOON, || false).unwrap() else {
        panic!("it has ended")
    };
    assert_eq!(status.code(), Some(4));
}

#[test]
fn a_tail_starts_with_a_whole_line() {
    let text = (0..1000).map(|i| format!("line {i}\n")).collect::<String>();
    let cut = last_lines(&text);
    assert!(cut.len() <= TAIL_BYTES && cut.starts_with("line ") && cut.ends_with("line 999"));
    assert_eq!(last_lines("short\n"), "short");
}

#[test]
fn a_missing_program_is_none() {
    assert!(find_program("sh").is_some());
    assert!(find_program("no-such-program-anywhere").is_none());
}
