//! Whole launches over machines that only pretend.

use std::sync::{Mutex, mpsc};

use ha_providers::Made;
use ha_test_support::PATIENCE;

use super::node_watch::NodeWatch;
use super::report::{FailureCause, Failures};
use super::*;
use crate::progress::tests::line_report;
use crate::silent_node::explain_silence;

mod edited;
mod edits;
pub(super) mod fake;
mod first_boot;
mod founding;
mod joining;
mod upgraded;

use fake::{FakeProvider, GAVE_UP, Gate, TestEnv};

#[test]
fn a_machine_that_is_not_fit_is_left_alone() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        fit: false,
        ..env.provider()
    });
    let (exit, end) = env.try_launch(&provider, 5);
    let error = exit.unwrap_err();
    assert!(matches!(
        error.downcast_ref(),
        Some(Stop::Said(Exit::Failed))
    ));
    assert!(
        end.contains("not fit") && end.contains("free some memory"),
        "{end}"
    );
    assert!(provider.calls.lock().unwrap().is_empty());
    assert!(!env.state().path().exists(), "nothing was written");
}

#[test]
fn a_node_that_gives_up_ends_the_launch_with_its_words_and_is_told_to_try_again_by_the_next() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        says: GAVE_UP,
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 30);
    assert_eq!(exit, Exit::Failed);
    for words in [
        "node3 (control plane): join failed",
        "i/o timeout",
        "[etcd] Announced",
        "--unit ha-agent",
    ] {
        assert!(end.contains(words), "{words}: {end}");
    }
    assert_eq!(
        env.state().record().unwrap().unwrap().life,
        state::ClusterLife::Launching
    );
    let ca = env.state().pki().unwrap().unwrap();
    let provider = Arc::new(FakeProvider {
        made: Made::Running,
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 30);
    assert_eq!(exit, Exit::Failed, "its agent gave up again: {end}");
    assert_eq!(
        env.state().pki().unwrap().unwrap().files(),
        ca.files(),
        "the same cluster"
    );
    let calls = provider.calls.lock().unwrap();
    assert!(
        calls.contains(&"exec node3 systemctl restart --no-block ha-agent.service".to_owned()),
        "{calls:?}"
    );
}

#[test]
fn a_machine_that_cannot_be_made_is_named_once_the_others_are_made() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        broken: Some("node2"),
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 30);
    assert_eq!(exit, Exit::Failed);
    assert!(
        end.contains("node2") && end.contains("no space left on device"),
        "{end}"
    );
    let calls = provider.calls.lock().unwrap();
    assert_eq!(
        calls.iter().filter(|c| c.starts_with("ensure ")).count(),
        5,
        "{calls:?}"
    );
}

#[test]
fn no_more_machines_are_made_at_a_time_than_asked_for() {
    let env = TestEnv::new();
    let (entered, at_the_gate) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    let go_on = Mutex::new(go_on);
    let provider: Arc<dyn Provider> = Arc::new(FakeProvider {
        gate: Some(Gate { entered, go_on }),
        ..env.provider()
    });
    let ignition = env.dir.path().join("node.ign");
    std::fs::write(&ignition, "{}").unwrap();
    let nodes = env.source.cluster.nodes.iter().cloned().enumerate();
    let jobs = nodes.map(|(index, node)| observe::MachineJob {
        index,
        node,
        ignition: ignition.clone(),
        gave_up: false,
    });
    let (to, _observed) = tokio::sync::mpsc::unbounded_channel();
    observe::make_machines(&provider, jobs.collect(), 2, &to);
    let mut first: Vec<String> = (0..2)
        .map(|_| at_the_gate.recv_timeout(PATIENCE).unwrap())
        .collect();
    first.sort();
    assert_eq!(first, ["node1", "node2"]);
    let third = at_the_gate.recv_timeout(Duration::from_millis(200));
    assert!(
        third.is_err(),
        "{third:?} did not wait for one of the first"
    );
    for next in ["node3", "node4", "node5"] {
        let_go.send(()).unwrap();
        assert_eq!(at_the_gate.recv_timeout(PATIENCE).unwrap(), next);
    }
    for _ in 0..2 {
        let_go.send(()).unwrap();
    }
}

#[test]
fn a_machine_that_goes_off_is_named_with_its_console() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        machine: Machine::Off,
        console: "Out of memory\r\n",
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 60);
    assert_eq!(exit, Exit::Failed);
    assert!(
        end.contains("its machine went off") && end.contains("Out of memory"),
        "{end}"
    );
}

#[test]
fn an_ignition_failure_on_the_console_ends_the_launch_with_its_cause() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        console: "ignition[6]: CRITICAL : Ignition failed: hash verification failed\r\nPress Enter for emergency shell",
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 60);
    assert_eq!(exit, Exit::Failed);
    for words in [
        "Ignition failed on its first boot",
        "hash verification failed",
        "node1.console",
        "nothing of node1, node2, node3, node4, node5 ever ran",
        "ha-host launch demo.yaml  again: it makes node1, node2, node3, node4, node5 anew",
    ] {
        assert!(end.contains(words), "{words}: {end}");
    }
    let at = |node: &str| end.find(&format!("{node} ("));
    let places: Vec<_> = ["node1", "node2", "node3", "node4", "node5"]
        .into_iter()
        .map(at)
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "every node that failed, in the file's order: {end}"
    );
}

#[test]
fn an_agent_of_another_version_is_named() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        says: "{\"version\":2,\"seq\":1,\"node\":\"node3\",\"says\":\"hello\"}\n",
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 5);
    assert_eq!(exit, Exit::TimedOut);
    assert!(
        end.contains("node3 is in boot for") && end.contains("speaks version 2"),
        "{end}"
    );
}

/// Its agent is restarted for ever, and reads the same node file each time.
#[test]
fn an_agent_that_is_older_than_its_node_file_ends_the_launch_in_plain_words() {
    let env = TestEnv::new();
    let cluster = &env.source.cluster;
    let silence = "agent\nunit ha-agent.service auto-restart 2\nsaid error: /etc/ha-agent/node.json: not a node file: unknown field \
                   `interface`, expected one of `vip`, `port`\nanswered\n";
    let provider = FakeProvider {
        silence,
        ..env.provider()
    };
    let node = &cluster.nodes[0];
    let (mut report, pipe) = line_report();
    let mut watch = NodeWatch::new(node, &provider, Instant::now());
    watch.machine_made(Ok(Made::PoweredOn), &mut report);
    let why = explain_silence(&provider, &[node]);
    watch.silence_explained(why.get("node1"), &mut report);
    let failure = watch.failure().unwrap();
    assert_eq!(failure.cause, FailureCause::NodeFileRefused);
    watch.silence_explained(None, &mut report);
    assert!(watch.failure().is_none(), "it has another agent now");
    let failures = Failures {
        cluster: "demo".to_owned(),
        file: "demo.yaml".into(),
        nodes: vec![failure],
        others_ready: 0,
        others: 4,
    };
    report.tell(&LaunchEvent::Ended(&End::Failed(failures)));
    let text = pipe.text();
    for line in [
        "! error: node1 (control plane): its agent refuses its node file",
        "!   its agent cannot use its node file: it may be of another release than this ha-host",
        "!   error: /etc/ha-agent/node.json: not a node file: unknown field `interface`, expected one of `vip`, `port`",
        "!   look     ha-host logs demo node1 --unit ha-agent",
        "!   go on    take the ha-agent sysext of this ha-host's release, or build it anew (make sysext), for node1 and run  ha-host \
         launch demo.yaml  again; a machine keeps the agent that it was made with, until  ha-host destroy demo",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
}

#[test]
fn a_silent_node_is_shown_with_its_consoles_last_line() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        console: "EXT4-fs (vda9): unmounting filesystem\r\n",
        deaf: true,
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 5);
    assert_eq!(exit, Exit::TimedOut);
    assert!(
        end.contains("unmounting filesystem (so Flatcar's console ends when Ignition fails"),
        "{end}"
    );
}

#[test]
fn a_node_that_booted_without_its_agent_is_named_as_that() {
    let env = TestEnv::new();
    let provider = Arc::new(FakeProvider {
        console: "node5 login: ",
        silence: "unit systemd-sysext.service auto-restart\nsaid Device or resource busy\nanswered\n",
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 5);
    assert_eq!(exit, Exit::TimedOut);
    assert!(
        end.contains(
            "it has booted, but its system extensions did not merge: systemd-sysext.service failed: Device or resource busy; it \
             is tried again every 2 s"
        ),
        "{end}"
    );
    assert!(!end.contains("login"), "{end}");
}

#[test]
fn a_launch_that_takes_too_long_says_what_everybody_waits_for() {
    let env = TestEnv::new();
    let (exit, end) = env.launch(&Arc::new(env.provider()), 5);
    assert_eq!(exit, Exit::TimedOut);
    for words in [
        "node1 is in boot for",
        "Failed with result 'exit-code'",
        "the API at 192.0.2.30:6444",
    ] {
        assert!(end.contains(words), "{words}: {end}");
    }
}
