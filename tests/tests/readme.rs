//! The README and the program say the same.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use ha_tests::lab::{built_ha_host, workspace_root};
use ha_tests::process::{FinishedProcess, run_to_end};

const SHORT: Duration = Duration::from_secs(10);

/// The word after `program` in each command line of the text's code blocks, prompts stripped.
fn verbs_after(text: &str, program: &str) -> BTreeSet<String> {
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks
        .flat_map(str::lines)
        .map(|l| l.trim_start_matches(['$', '#', ' ']));
    let words = lines.filter_map(|l| l.split_once(program)?.1.split_whitespace().next());
    words
        .filter(|w| w.chars().all(|c| c.is_ascii_lowercase()))
        .map(Into::into)
        .collect()
}

#[test]
fn every_verb_of_the_readme_is_in_the_help() {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).expect("README.md");
    let mut command = Command::new(built_ha_host().expect("ha-host builds"));
    command.arg("--help");
    let help = run_to_end(command, SHORT)
        .and_then(FinishedProcess::ok)
        .expect("ha-host --help")
        .stdout;
    let verbs = verbs_after(&readme, "ha-host ");
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
fn every_make_target_of_the_readme_exists() {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).expect("README.md");
    let makefile = std::fs::read_to_string(workspace_root().join("Makefile")).expect("Makefile");
    for target in verbs_after(&readme, "make ") {
        let found = makefile
            .lines()
            .any(|l| l.starts_with(&format!("{target}:")));
        assert!(
            found,
            "the README says `make {target}`, the Makefile has no such target"
        );
    }
}

#[test]
fn verbs_are_found_behind_prompts() {
    let text = "x ha-host no\n```\n$ ha-host launch demo.yaml\n  ha-host status demo   ha-host logs\n```\n";
    assert_eq!(
        verbs_after(text, "ha-host "),
        ["launch", "status"].map(String::from).into()
    );
}
