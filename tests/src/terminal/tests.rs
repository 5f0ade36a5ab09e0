use std::time::Duration;

use super::*;
use crate::process::run_to_end;

#[test]
fn a_program_finds_a_terminal_and_its_exit_code_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    let text = "test -t 1 && test -t 2 && stty size && exit 7\n";
    std::fs::write(&program, text).unwrap();
    let operator = Operator::here_with(dir.path(), "true".into());
    let command = on_terminal(&operator, &["sh".into(), program.into()]).unwrap();
    let done = run_to_end(command, Duration::from_secs(10)).unwrap();
    let done = done.expect_exit_code(7).unwrap();
    assert_eq!(done.stdout.trim(), "40 120");
    assert!(on_terminal(&operator, &["a b".into()]).is_err());
}

#[test]
fn sequences_are_left_out() {
    let text = "\u{1b}[31merror:\u{1b}[0m a\u{1b}[2Kb\u{1b}[1Ac";
    assert_eq!(without_sequences(text), "error: abc");
}
