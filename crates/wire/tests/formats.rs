//! Formats that live on disks and wires. The files in `fixtures/` never change: every later version must read them.

use ha_wire::doctor::{Examination, PortTrials, TrialOutcome, Verdict, is_unfit};
use ha_wire::event::{Beneath, Event, EventKind, Origin};
use ha_wire::node::NodeFile;
use ha_wire::phase::{Phase, Role};
use ha_wire::settings::{Cni, KubeProxy, LbMode};
use ha_wire::status::Status;
use serde_json::Value;

const NODE: &str = include_str!("fixtures/node-v1.json");
const NODE_LEAST: &str = include_str!("fixtures/node-v1-least.json");
const STATUS: &str = include_str!("fixtures/status-v1.json");
const EVENTS: &str = include_str!("fixtures/event-v1.jsonl");
const DOCTOR: &str = include_str!("fixtures/doctor-v1.json");
const PORT_TRIALS: &str = include_str!("fixtures/port-trials-v1.json");

fn parse_json(text: &str) -> Value {
    serde_json::from_str(text).expect("a fixture is JSON")
}

#[test]
fn node_v1_is_read_and_written() {
    let node = NodeFile::parse(NODE).unwrap();
    assert_eq!(
        (node.name.as_str(), node.role, node.vrid),
        ("node1", Role::ControlPlane, 42)
    );
    assert!(node.is_control_plane());
    assert_eq!(node.founder.unwrap().until, 1_795_273_200);
    assert_eq!(
        node.peers()
            .map(|peer| peer.name.as_str())
            .collect::<Vec<_>>(),
        ["node2", "node3"]
    );
    assert_eq!(serde_json::to_value(&node).unwrap(), parse_json(NODE));
}

#[test]
fn what_a_worker_needs_least_is_read() {
    let node = NodeFile::parse(NODE_LEAST).unwrap();
    assert!(!node.is_control_plane() && node.founder.is_none());
    assert_eq!(node.kubernetes.proxy, KubeProxy::Nftables);
    assert_eq!(
        node.cni,
        Cni::Manifests {
            sources: vec!["00-net.yaml".to_owned()]
        }
    );
    assert!(node.labels.is_empty() && node.taints.is_empty() && node.report.is_empty());
    let again = NodeFile::parse(&serde_json::to_string(&node).unwrap()).unwrap();
    assert_eq!(again, node);
}

/// An agent of before refuses it by the new key's name; a node of one family is told nothing new.
#[test]
fn the_second_family_is_read_and_written() {
    let mut text = parse_json(NODE_LEAST);
    assert_eq!(NodeFile::parse(NODE_LEAST).unwrap().secondary, None);
    text["secondary"] = serde_json::json!({
        "address": "fd00:77::14", "prefix": 64, "podCIDR": "fd00:10:244::/56", "serviceCIDR": "fd00:10:96::/112",
        "controlPlanes": ["fd00:77::11"],
    });
    let node = NodeFile::parse(&text.to_string()).unwrap();
    assert!(node.has_ipv6() && node.addresses().count() == 2);
    let networks: Vec<String> = node.networks().map(|net| net.to_string()).collect();
    assert_eq!(networks[1], "fd00:77::/64");
    assert_eq!(
        serde_json::to_value(&node).unwrap()["secondary"],
        text["secondary"]
    );
}

#[test]
fn balancers_are_the_control_planes_unless_they_have_machines() {
    let mut node = NodeFile::parse(NODE).unwrap();
    let names = |node: &NodeFile| -> Vec<String> {
        let peers = node.balancer_peers();
        peers.map(|peer| peer.name.clone()).collect()
    };
    assert!(node.runs_balancer());
    assert_eq!(names(&node), ["node2", "node3"]);
    node.load_balancer.mode = LbMode::Machines;
    node.balancers = node.control_planes.split_off(2);
    assert!(!node.runs_balancer());
    assert_eq!(names(&node), ["node3"]);
    (node.role, node.name) = (Role::LoadBalancer, "node3".into());
    assert!(node.runs_balancer() && !node.is_control_plane());
    assert_eq!(names(&node), [""; 0]);
    let text = serde_json::to_string(&node).unwrap();
    assert!(text.contains(r#""role":"load-balancer""#) && text.contains(r#""mode":"machines""#));
    assert_eq!(NodeFile::parse(&text).unwrap(), node);
}

#[test]
fn status_v1_is_read_and_written() {
    let status = Status::parse(STATUS).unwrap();
    assert_eq!(
        (status.phase, status.attempt, status.node_ready),
        (Phase::Gate, 3, None)
    );
    assert_eq!(serde_json::to_value(&status).unwrap(), parse_json(STATUS));
}

#[test]
fn doctor_v1_is_read_and_written() {
    let seen = Examination::parse(DOCTOR).unwrap();
    let verdicts: Vec<Verdict> = seen.checks.iter().map(|check| check.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail]);
    assert!(is_unfit(&seen.checks) && !is_unfit(&seen.checks[..1]));
    assert_eq!(serde_json::to_value(&seen).unwrap(), parse_json(DOCTOR));
    let error = Examination::parse(r#"{"version":2}"#).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn port_trials_v1_are_read_and_written() {
    let trials = PortTrials::parse(PORT_TRIALS).unwrap();
    let outcomes: Vec<TrialOutcome> = trials.trials.iter().map(|trial| trial.outcome).collect();
    let all = [
        TrialOutcome::Open,
        TrialOutcome::Silent,
        TrialOutcome::Refused,
        TrialOutcome::Unreachable,
    ];
    assert_eq!(outcomes, all);
    assert_eq!(
        serde_json::to_value(&trials).unwrap(),
        parse_json(PORT_TRIALS)
    );
}

#[test]
fn event_v1_is_read_and_written() {
    for (i, line) in EVENTS.lines().enumerate() {
        let event = Event::parse(line).unwrap();
        assert_eq!(event.seq, i as u64 + 1);
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            line,
            "the order of the fields is part of what people see"
        );
    }
    let last = Event::parse(EVENTS.lines().last().unwrap()).unwrap();
    assert_eq!(last.what, EventKind::Steady);
}

/// An agent of before sends no origin, one of tomorrow may send another kind.
#[test]
fn what_failed_beneath_is_read_whichever_agent_says_it() {
    let read = |origin: &str| {
        let beneath = format!(r#"{{"part":"etcd","does":"exits","word":"bad"{origin}}}"#);
        serde_json::from_str::<Beneath>(&beneath).unwrap().origin
    };
    assert_eq!(read(""), None);
    let path = "a.b".to_owned();
    let field = read(r#","origin":{"kind":"field","path":"a.b"}"#);
    assert_eq!(field, Some(Origin::Field { path }));
    let of_tomorrow = read(r#","origin":{"kind":"image","digest":"x"}"#);
    assert_eq!(of_tomorrow, Some(Origin::Other));
}

#[test]
fn another_version_is_called_by_its_name() {
    let tomorrow = |text: &str| {
        text.replacen("\"version\": 1", "\"version\": 2", 1)
            .replacen("\"version\":1", "\"version\":2", 1)
    };
    let remedy =
        "is not supported (supported: 1): update whichever of ha-host and ha-agent is older";
    let node = NodeFile::parse(&tomorrow(NODE)).unwrap_err().to_string();
    assert_eq!(node, format!("version 2 of a node file {remedy}"));
    let status = Status::parse(&tomorrow(STATUS)).unwrap_err().to_string();
    assert_eq!(status, format!("version 2 of a status {remedy}"));
    let event = Event::parse(&tomorrow(EVENTS.lines().next().unwrap()))
        .unwrap_err()
        .to_string();
    assert_eq!(event, format!("version 2 of an event {remedy}"));
    // Its shape does not matter then.
    assert!(
        NodeFile::parse("{\"version\": 2, \"new\": true}")
            .unwrap_err()
            .to_string()
            .contains("version 2")
    );
}

/// Also a reader that never heard of `parse_versioned` refuses what it would misread.
#[test]
fn no_reader_can_forget_the_version() {
    let line = EVENTS.lines().last().unwrap();
    assert!(serde_json::from_str::<Event>(line).is_ok());
    let line = line.replacen("\"version\":1", "\"version\":2", 1);
    let error = serde_json::from_str::<Event>(&line)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("version 2 is not supported (supported: 1)"),
        "{error}"
    );
}

#[test]
fn a_node_file_says_what_is_wrong_with_it() {
    for (from, to, told) in [
        (
            "\"prefix\": 24",
            "\"prefix\": 24, \"prefx\": 1",
            "unknown field `prefx`",
        ),
        (
            "\"port\": 6444",
            "\"port\": 6444, \"prot\": 1",
            "unknown field `prot`",
        ),
        (
            "\"sources\": [\"00-net.yaml\"]",
            "\"sources\": [], \"extra\": 1",
            "unknown field `extra`",
        ),
        (
            "\"role\": \"worker\"",
            "\"role\": \"master\"",
            "unknown variant `master`",
        ),
        ("\"version\": 1,", "", "missing field `version`"),
        ("\"vrid\": 42", "\"vrid\": 256", "expected u8"),
        ("{\n", "[\n", "not a node file"),
    ] {
        let text = NODE_LEAST.replacen(from, to, 1);
        assert_ne!(text, NODE_LEAST, "{from}");
        let error = NodeFile::parse(&text).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn phases_are_called_the_same_everywhere() {
    for phase in Phase::ALL {
        assert_eq!(
            serde_json::to_value(phase).unwrap(),
            Value::from(phase.name())
        );
        assert_eq!(format!("{phase:>10}").len(), 10);
    }
}
