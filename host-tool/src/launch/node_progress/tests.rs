use ha_test_support::demo_cluster;

use super::*;
use crate::progress::describe::waiting_for;

fn parse_event(json: &str) -> Event {
    let text = format!("{{\"version\":1,\"seq\":1,\"timeMs\":0,\"node\":\"node2\",{json}}}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn failed_event(phase: &str, retry: Option<u64>) -> Event {
    let retry = retry.map_or_else(|| "null".to_owned(), |ms| ms.to_string());
    parse_event(&format!(
        r#""event":"failed","phase":"{phase}","attempt":1,"error":"boom","tail":["a","b"],"retryMs":{retry}"#
    ))
}

fn booting_node() -> (NodeProgress, Instant) {
    let now = Instant::now();
    let mut node = NodeProgress::new(&demo_cluster().nodes[1], now);
    node.machine_begun(now);
    node.machine_runs(true, now);
    (node, now)
}

/// Never changes: facts of launches are kept with these names, and programs read them in `--json`.
#[test]
fn stages_are_kept_and_told_by_their_names() {
    let before = [Stage::Waiting, Stage::Making, Stage::Booting];
    let phases = Phase::ALL
        .into_iter()
        .filter(|phase| *phase != Phase::Steady);
    let all = before.into_iter().chain(phases.map(Stage::Working));
    let all: Vec<Stage> = all.chain([Stage::Steady]).collect();
    let text = r#"["waiting","making","boot","preflight","images","balancer","gate","init","join","network","finish","steady"]"#;
    assert_eq!(serde_json::to_string(&all).unwrap(), text);
    assert_eq!(serde_json::from_str::<Vec<Stage>>(text).unwrap(), all);
    let names: Vec<&str> = all.iter().map(|stage| stage.name()).collect();
    assert_eq!(serde_json::to_string(&names).unwrap(), text);
    // What is told of the last phase reads back as where it leads.
    let last = serde_json::to_string(&Stage::Working(Phase::Steady)).unwrap();
    assert_eq!(serde_json::from_str::<Stage>(&last).unwrap(), Stage::Steady);
    assert!(serde_json::from_str::<Stage>(r#""elsewhere""#).is_err());
}

#[test]
fn a_node_s_way() {
    let (mut node, now) = booting_node();
    assert_eq!(node.stage, Stage::Booting);
    let story = [
        (
            r#""event":"hello","agent":"0.1.0","role":"control-plane","boot":"x""#,
            "preflight",
            "",
        ),
        (
            r#""event":"started","phase":"images","attempt":1"#,
            "preflight",
            "",
        ),
        (
            r#""event":"progress","phase":"images","done":3,"total":4"#,
            "preflight",
            "images: 3 of 4",
        ),
        (
            r#""event":"started","phase":"gate","attempt":1"#,
            "gate",
            "images: 3 of 4",
        ),
        (
            r#""event":"waiting","phase":"gate","what":"/readyz","lastError":"refused""#,
            "gate",
            "/readyz: refused",
        ),
        (
            r#""event":"done","phase":"gate","tookMs":5,"skipped":false"#,
            "gate",
            "/readyz: refused",
        ),
        (
            r#""event":"started","phase":"join","attempt":1"#,
            "join",
            "images: 3 of 4",
        ),
        (
            r#""event":"done","phase":"images","tookMs":5,"skipped":false"#,
            "join",
            "",
        ),
        (
            r#""event":"done","phase":"join","tookMs":5,"skipped":false"#,
            "join",
            "",
        ),
        (r#""event":"steady""#, "steady", ""),
    ];
    for (json, place, words) in story {
        node.apply(&parse_event(json), now);
        assert_eq!(
            (node.stage.name(), waiting_for(&node).as_str()),
            (place, words),
            "{json}"
        );
    }
    let phases: Vec<_> = node
        .spans
        .iter()
        .map(|s| (s.phase, s.end.is_some()))
        .collect();
    assert_eq!(
        phases,
        [
            (None, true),
            (Some(Phase::Gate), true),
            (Some(Phase::Join), true)
        ]
    );
}

#[test]
fn only_lasting_trouble_ends_a_launch() {
    let (mut node, now) = booting_node();
    for _ in 0..MAX_ATTEMPTS {
        node.apply(&failed_event("join", Some(500)), now);
    }
    assert!(
        node.hopeless(now).is_none(),
        "five quick failures may be one short outage"
    );
    assert!(node.hopeless(now + MIN_FAILING).is_some());
    node.apply(
        &parse_event(r#""event":"done","phase":"join","tookMs":5,"skipped":false"#),
        now,
    );
    assert!(
        node.hopeless(now + MAX_FAILING).is_none(),
        "a success ends the trouble"
    );
    node.apply(&failed_event("join", Some(500)), now);
    assert!(
        node.hopeless(now + MIN_FAILING).is_none() && node.hopeless(now + MAX_FAILING).is_some()
    );
}

fn waiting_event(phase: &str, what: &str) -> Event {
    parse_event(&format!(
        r#""event":"waiting","phase":"{phase}","what":"{what}","lastError":"""#
    ))
}

/// Cilium's real installer failed once, went well at the next attempt, and the node waited for its pods: the launch ended
/// all the same, with the first attempt's error.
#[test]
fn a_phase_that_waits_again_after_a_failure_does_not_end_a_launch() {
    let (mut node, now) = booting_node();
    node.apply(&failed_event("network", Some(500)), now);
    let what = "the pod network to come up on this node";
    node.apply(&waiting_event("network", what), now);
    assert!(node.hopeless(now + MAX_FAILING).is_none());
    assert_eq!(waiting_for(&node), what);
    assert!(node.trouble.is_none() && node.has_failed());
    let later = now + MAX_FAILING;
    node.apply(&failed_event("network", Some(500)), later);
    assert!(node.hopeless(later).is_none(), "its clock began anew");
    let trouble = node.hopeless(later + MAX_FAILING).unwrap();
    assert_eq!(trouble.attempts, 2);
}

#[test]
fn failures_count_on_over_the_waits_between_them() {
    let (mut node, now) = booting_node();
    for _ in 0..MAX_ATTEMPTS {
        node.apply(&waiting_event("join", "kubeadm join"), now);
        node.apply(&failed_event("join", Some(500)), now);
    }
    assert!(node.hopeless(now).is_none());
    assert!(node.hopeless(now + MIN_FAILING).is_some());
    let done = r#""event":"done","phase":"join","tookMs":5,"skipped":false"#;
    node.apply(&parse_event(done), now);
    assert!(!node.has_failed());
}

#[test]
fn what_needs_a_person_ends_a_launch_at_once() {
    let (mut node, now) = booting_node();
    node.apply(&failed_event("preflight", None), now);
    let trouble = node.hopeless(now).unwrap();
    assert_eq!(
        (trouble.phase, trouble.error.as_str(), trouble.tail.len()),
        (Phase::Preflight, "boom", 2)
    );
}

#[test]
fn old_failures_do_not_count_but_gave_up_is_told() {
    let (mut node, now) = booting_node();
    assert!(
        node.replay(&[Ok(failed_event("join", None))], now),
        "its agent must be told to try again"
    );
    assert!(node.hopeless(now + MAX_FAILING).is_none());
    assert!(!node.heard);
    assert!(!node.replay(&[Ok(failed_event("join", Some(10)))], now));
}
