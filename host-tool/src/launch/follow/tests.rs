//! How a launch over machines that only pretend ends, and what is seen of it.

use std::path::Path;
use std::sync::Arc;

use ha_host_base::exit::Exit;
use ha_providers::{Made, Provider};
use ha_test_support::parse_cluster;

use super::super::tests::fake::{FakeProvider, GAVE_UP, TestEnv};
use super::super::{Launch, Options};
use super::*;
use crate::progress::tests::{bar_report, json_report, line_report};

fn launch_with(
    env: &TestEnv,
    provider: FakeProvider,
    timeout: u64,
    report: &mut dyn Report,
) -> Exit {
    let provider: Arc<dyn Provider> = Arc::new(provider);
    let make_provider = |_: &Cluster| Ok(provider.clone());
    let options = Options {
        timeout: Duration::from_secs(timeout),
        parallel: 20,
        found: false,
    };
    let launch = Launch::begin(&env.source, env.state(), &make_provider, options).unwrap();
    launch.run(report).unwrap()
}

#[test]
fn silent_nodes_are_asked_side_by_side_when_the_time_is_up() {
    let mut env = TestEnv::new();
    let more = |n| {
        format!(
            "  - {{name: node{n}, role: worker, address: 192.0.2.{}}}\n",
            100 + n
        )
    };
    env.source.text = (6..=20).fold(env.source.text.clone(), |text, n| text + &more(n));
    env.source.cluster = parse_cluster(&env.source.text, Path::new("/"));
    let provider = FakeProvider {
        hangs: true,
        ..env.provider()
    };
    let (mut report, pipe) = line_report();
    let begun = Instant::now();
    let exit = launch_with(&env, provider, 12, &mut report);
    let took = begun.elapsed();
    assert_eq!(exit, Exit::TimedOut);
    // One after another they would take a minute more.
    assert!(took < Duration::from_secs(60), "{took:?}");
    for n in 1..=20 {
        assert!(
            pipe.text()
                .contains(&format!("!   node{n} is in boot for ")),
            "{}",
            pipe.text()
        );
    }
}

#[test]
fn an_agent_that_gave_up_and_cannot_be_told_to_try_again_is_a_warning() {
    let env = TestEnv::new();
    std::fs::write(env.dir.path().join("node3.events"), GAVE_UP).unwrap();
    let provider = FakeProvider {
        made: Made::Running,
        deaf: true,
        ..env.provider()
    };
    let (mut report, pipe) = line_report();
    let exit = launch_with(&env, provider, 2, &mut report);
    let text = pipe.text();
    assert_eq!(exit, Exit::TimedOut, "the launch went on: {text}");
    let warning = "! warning: node3: its agent gave up in an earlier launch and could not be told to try again (nobody there \
                   answers): launch again once node3 answers, or restart its machine";
    assert!(text.contains(warning), "{text}");
}

/// A node whose join fails for good, seen in each form: node, phase, the program's own words, the next command.
#[test]
fn a_failing_node_is_named_in_a_pipe_on_a_terminal_and_to_a_program() {
    let fail = |report: &mut dyn Report| {
        let env = TestEnv::new();
        let provider = FakeProvider {
            says: GAVE_UP,
            ..env.provider()
        };
        assert_eq!(launch_with(&env, provider, 60, report), Exit::Failed);
    };
    let lines = [
        "error: node3 (control plane): join failed",
        "  dial tcp 192.0.2.11:2379: i/o timeout",
        "  [etcd] Announced",
        "  look     ha-host logs demo node3 --unit ha-agent",
        "  others   0 of the 4 other nodes are Ready",
        "  go on    mend it and run  ha-host launch demo.yaml  again: it continues with node3",
    ];
    let (mut report, pipe) = line_report();
    fail(&mut report);
    let text = pipe.text();
    let end: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("! ")).collect();
    assert_eq!(end, lines, "{text}");
    let changed = |line: &str| {
        line.contains("  node3  ")
            && line.ends_with("failed: dial tcp 192.0.2.11:2379: i/o timeout")
    };
    assert!(text.lines().any(changed), "{text}");

    let (mut report, screen) = bar_report();
    fail(&mut report);
    let text = screen.text();
    assert!(text.ends_with(&lines.join("\n")), "{text}");
    for n in 1..=5 {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("  node{n}  "))),
            "{text}"
        );
    }

    let (mut report, pipe) = json_report();
    fail(&mut report);
    let objects = pipe.objects(2);
    let last = objects.last().unwrap();
    assert_eq!(
        (&objects[0]["type"], &last["type"]),
        (&"begin".into(), &"failed".into())
    );
    assert_eq!(
        (&last["node"], &last["phase"]),
        (&"node3".into(), &"join".into())
    );
    assert_eq!(
        last["words"],
        serde_json::json!(["dial tcp 192.0.2.11:2379: i/o timeout", "[etcd] Announced"])
    );
    assert_eq!(last["look"], "ha-host logs demo node3 --unit ha-agent");
    let failed = |o: &&serde_json::Value| o["type"] == "event" && o["event"]["event"] == "failed";
    assert_eq!(
        objects.iter().filter(failed).count(),
        1,
        "the node's own word is passed on"
    );
}
