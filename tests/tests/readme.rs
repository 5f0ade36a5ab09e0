//! Every verb, option and make target that the README shows exists.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use ha_tests::lab::{built_ha_host, workspace_root};
use ha_tests::process::{FinishedProcess, run_to_end};

const SHORT: Duration = Duration::from_secs(10);

/// What stands after each `program` in the text's code blocks, up to the next one or the line's end.
fn calls_of<'a>(text: &'a str, program: &'a str) -> impl Iterator<Item = &'a str> {
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines);
    lines.flat_map(move |line| line.split(program).skip(1))
}

/// The word after `program` in each of them.
fn verbs_after(text: &str, program: &str) -> BTreeSet<String> {
    let words = calls_of(text, program).filter_map(|call| call.split_whitespace().next());
    words
        .filter(|w| w.chars().all(|c| c.is_ascii_lowercase()))
        .map(Into::into)
        .collect()
}

/// Verb and option of each option that a call of `program`, or the comment after it, shows.
fn options_after(text: &str, program: &str) -> BTreeSet<(String, String)> {
    let mut options = BTreeSet::new();
    for call in calls_of(text, program) {
        let mut words = call.split_whitespace();
        let verb = words.next().unwrap_or_default().to_owned();
        let shown = words.filter(|w| w.starts_with('-') && w.len() > 1);
        options.extend(shown.map(|option| (verb.clone(), option.to_owned())));
    }
    options
}

fn readme_text() -> String {
    std::fs::read_to_string(workspace_root().join("README.md")).expect("README.md")
}

fn help_of(verb: Option<&str>) -> String {
    let mut command = Command::new(built_ha_host().expect("ha-host builds"));
    command.args(verb).arg("--help");
    run_to_end(command, SHORT)
        .and_then(FinishedProcess::ok)
        .expect("--help")
        .stdout
}

#[test]
fn every_verb_of_the_readme_is_in_the_help() {
    let (help, verbs) = (help_of(None), verbs_after(&readme_text(), "ha-host "));
    assert!(
        verbs.contains("launch"),
        "the README shows no launch: {verbs:?}"
    );
    for verb in verbs {
        let listed = help
            .lines()
            .any(|l| l.split_whitespace().next() == Some(verb.as_str()));
        assert!(
            listed,
            "the README says `ha-host {verb}`, the help does not know it:\n{help}"
        );
    }
}

#[test]
fn every_option_of_the_readme_is_in_its_verbs_help() {
    let options = options_after(&readme_text(), "ha-host ");
    assert!(options.len() >= 2, "the README shows only {options:?}");
    for (verb, option) in options {
        let help = help_of(Some(&verb));
        let words = help.split([' ', ',', '\n', '=', '[']);
        assert!(
            words.into_iter().any(|word| word == option),
            "the README says `ha-host {verb} {option}`, its help does not know it:\n{help}"
        );
    }
}

#[test]
fn every_make_target_of_the_readme_exists() {
    let makefile = std::fs::read_to_string(workspace_root().join("Makefile")).expect("Makefile");
    let targets = verbs_after(&readme_text(), "make ");
    assert!(
        targets.contains("test"),
        "the README shows only {targets:?}"
    );
    for target in targets {
        let found = makefile
            .lines()
            .any(|l| l.starts_with(&format!("{target}:")));
        assert!(
            found,
            "the README says `make {target}`, the Makefile has no such target"
        );
    }
}

/// A user's PATH on Debian has no sbin, and what make hands on to root is this one.
#[test]
fn make_finds_roots_programs_for_a_user_who_does_not() {
    let mut make = Command::new("make");
    let seek = "where: ; @command -v chroot";
    make.args(["--silent", "--eval", seek, "where"]);
    make.current_dir(workspace_root()).env_remove("MAKEFLAGS");
    let done = make.env("PATH", "/usr/local/bin:/usr/bin:/bin").output();
    let done = done.expect("make");
    assert!(done.status.success(), "{done:?}");
}

/// Half an hour into the tests the providers would say it of the last ones' machines.
#[test]
fn a_disk_that_the_tests_would_fill_is_named_before_they_begin() {
    let need = workspace_root().join("lab/need.sh");
    let small = "mount -t tmpfs -o size=64m none /mnt && mkdir /mnt/lab && cp \"$0\" /mnt/lab && exec /mnt/lab/need.sh disk";
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", small]).arg(need);
    let done = run_to_end(shell, SHORT).expect("unshare");
    assert_eq!(done.code, Some(1), "{done:?}");
    let words = "need: 0 GiB disk free here, the tests fill up to";
    assert!(done.stderr.contains(words), "{done:?}");
}

#[test]
fn verbs_and_options_are_found_in_code_blocks() {
    let text = "x ha-host no\n```\n$ ha-host launch demo.yaml # --parallel N\n  ha-host status x   ha-host logs a b -f\n```\n";
    assert_eq!(
        verbs_after(text, "ha-host "),
        ["launch", "status", "logs"].map(String::from).into()
    );
    let option = |verb: &str, option: &str| (verb.to_owned(), option.to_owned());
    assert_eq!(
        options_after(text, "ha-host "),
        [option("launch", "--parallel"), option("logs", "-f")].into()
    );
}
