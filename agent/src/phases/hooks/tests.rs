use crate::sys::CommandFailed;
use crate::testing::{self, FakeMachine};

use super::*;

const SECRET: &str = "curl -H 'token: hush'";
const DONE: &str = "/var/lib/ha-agent/hook-before-join.done";

fn machine_with_hooks() -> FakeMachine {
    let machine = testing::fake_machine(testing::worker());
    // Nothing is left of an agent that was killed.
    machine.commands.succeed("systemctl stop");
    machine
}

fn let_next_line_fail(machine: &FakeMachine, why: &str) {
    let failed = CommandFailed {
        command: "systemd-run --quiet".into(),
        outcome: "exit code 7".into(),
        code: Some(7),
        tail: vec![why.into()],
    };
    machine.commands.answer("systemd-run", Err(failed.into()));
}

async fn run(machine: &FakeMachine, lines: &[&str]) -> Result<()> {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    run_once(&machine.cx, "before-join", &lines, Phase::Join).await
}

/// The lines that ran since the last look.
pub fn lines_that_ran(machine: &FakeMachine) -> Vec<String> {
    let inputs = std::mem::take(&mut *machine.commands.inputs.borrow_mut());
    let line = |input: String| input.rsplit_once("; ").unwrap().1.to_owned();
    inputs.into_iter().map(line).collect()
}

#[tokio::test]
async fn a_line_is_told_by_its_place_and_never_shown() {
    let machine = machine_with_hooks();
    machine.commands.succeed("systemd-run");
    run(&machine, &[SECRET, "true"]).await.unwrap();
    let told = serde_json::to_string(&machine.events()).unwrap();
    assert!(told.contains("\"hook before-join, line 1 of 2\""), "{told}");
    let argv = machine.orders().join("\n");
    for seen in [told, argv, format!("{:?}", machine.status())] {
        assert!(!seen.contains("hush"), "{seen}");
    }
}

#[tokio::test]
async fn a_failure_names_the_place_the_outcome_and_what_the_line_said() {
    let machine = machine_with_hooks();
    let_next_line_fail(&machine, "no route to host");
    let error = run(&machine, &[SECRET]).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "hook before-join, line 1 of 1: exit code 7: no route to host"
    );
    let failed: CommandFailed = error.downcast().unwrap();
    assert_eq!(failed.tail, ["no route to host"], "for the status file");
}

#[tokio::test]
async fn a_list_goes_on_at_the_line_that_failed() {
    let machine = machine_with_hooks();
    let lines = ["mkfs", "mount", "ls"];
    machine.commands.answer("systemd-run", Ok(<_>::default()));
    let_next_line_fail(&machine, "no such device");
    assert!(run(&machine, &lines).await.is_err());
    assert_eq!(lines_that_ran(&machine), ["mkfs", "mount"]);
    assert!(!machine.cx.sys.files.exists(DONE));
    let_next_line_fail(&machine, "no such device");
    assert!(run(&machine, &lines).await.is_err());
    assert_eq!(lines_that_ran(&machine), ["mount"]);
    machine.commands.succeed("systemd-run");
    run(&machine, &lines).await.unwrap();
    assert_eq!(lines_that_ran(&machine), ["mount", "ls"]);
    run(&machine, &lines).await.unwrap();
    assert_eq!(
        lines_that_ran(&machine),
        [""; 0],
        "each once in a node's life"
    );
}

#[tokio::test]
async fn a_node_whose_list_ran_under_an_older_agent_runs_none_of_it() {
    let machine = machine_with_hooks();
    machine.file(DONE, "");
    run(&machine, &["mkfs"]).await.unwrap();
    assert_eq!(machine.orders(), [""; 0]);
}

#[tokio::test]
async fn a_line_runs_beyond_the_agents_confinement_in_a_unit_of_its_own() {
    let machine = machine_with_hooks();
    machine.commands.succeed("systemd-run");
    run(&machine, &["true"]).await.unwrap();
    let order = machine.orders().pop().unwrap();
    for part in [
        "run systemd-run --quiet --wait --collect --pipe ",
        "--property=RuntimeMaxSec=600 ",
        "--unit=ha-agent-hook-before-join-1 ",
    ] {
        assert!(order.contains(part), "{order}");
    }
}

/// An agent that was killed leaves the unit: the line must not run twice at the same time.
#[tokio::test]
async fn what_is_left_of_a_line_is_ended_before_it_runs_again() {
    let machine = machine_with_hooks();
    machine.commands.succeed("systemd-run");
    let ended = machine
        .commands
        .lasts("systemctl stop ha-agent-hook-before-join-1");
    let ends = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(machine.orders(), [""; 0]);
        ended.notify_one();
    };
    let (done, ()) = tokio::join!(run(&machine, &["true"]), ends);
    done.unwrap();
    assert_eq!(lines_that_ran(&machine), ["true"]);
}

/// As systemd starts it, in the real shell.
async fn in_shell(line: &str) -> Result<String> {
    let environment = [("FIRST", "it's 1"), ("not-a-name", "x"), ("N2", "$2\\")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut cmd = Cmd::new("/bin/sh", &["-c", SHELL], Duration::from_secs(20));
    cmd.stdin = with_environment(environment.into_iter(), line).into_bytes();
    let commands: &dyn crate::sys::Commands = &crate::sys::command::ChildProcesses;
    Ok(commands.run(cmd).await?.stdout)
}

#[tokio::test]
async fn the_shell_has_the_environment_and_an_empty_standard_input() {
    let line = r#"cat; printf '%s|' "$FIRST" "$(printenv N2)" "$s"; exit"#;
    assert_eq!(in_shell(line).await.unwrap(), r"it's 1|$2\||");
}

#[tokio::test]
async fn the_shell_ends_as_the_line_does() {
    for (line, outcome, why) in [
        ("echo no >&2; exit 7", "exit code 7", "no"),
        ("set -e; false; true", "exit code 1", ""),
        ("exec sh -c 'kill -TERM $$'", "exit code 143", "Terminated"),
        // A shutdown ends the whole unit.
        ("kill -TERM $$; sleep 1", "exit code 143", ""),
        // bash would show it.
        ("token hush (", "exit code 2", "syntax error"),
    ] {
        let error = in_shell(line).await.unwrap_err();
        let failed: CommandFailed = error.downcast().unwrap();
        assert_eq!(failed.outcome, outcome, "{line}: {failed}");
        assert_eq!(failed.why(), why, "{line}");
    }
}

#[tokio::test]
async fn a_pipe_whose_reader_is_gone_ends_its_writer() {
    let said = in_shell("yes 2>&1 | head -n 1").await.unwrap();
    assert_eq!(said, "y\n");
}
