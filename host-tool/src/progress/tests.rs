//! What people and programs see of a launch, in each form.

use std::sync::{Arc, Mutex};

use ha_flatcar_image::{Bar, Step};
use ha_test_support::demo_cluster;
use ha_wire::event::Event;
use indicatif::ProgressDrawTarget;
use serde_json::{Value, json};

use super::*;
use crate::api::ClusterView;
use crate::launch::node_progress::NodeProgress;
use crate::launch::report::LaunchEvent;

pub mod ends;
mod screen;
mod terminal;

use screen::Screen;

/// The version of a launch's JSON.
const VERSION: u32 = 2;

/// A pipe that keeps what was written into it; what went to standard error begins with `! `.
#[derive(Debug, Clone, Default)]
pub struct Pipe(Arc<Mutex<String>>);

impl Pipe {
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// Each line as a program takes it; an empty output is none.
    pub fn objects(&self, version: u32) -> Vec<Value> {
        let text = self.text();
        assert!(!text.is_empty(), "nothing was printed");
        let parse = |line: &str| -> Value {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
        };
        let objects: Vec<Value> = text.lines().map(parse).collect();
        for object in &objects {
            assert_eq!(object["version"], version, "{object}");
            assert!(object["type"].is_string(), "{object}");
        }
        objects
    }
}

impl Printer for Pipe {
    fn print(&self, line: &str) {
        *self.0.lock().unwrap() += &format!("{}\n", without_colours(line));
    }
    fn print_error(&self, line: &str) {
        for line in line.lines() {
            self.print(&format!("! {line}"));
        }
    }
}

/// Tests may run on a terminal, where errors are red.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + part.split_once('m').map_or(part, |(_, rest)| rest)
    })
}

/// `41 s` is `N s`: how long a test takes is not its subject.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let next_is_s = |i: usize| {
            words
                .get(i + 1)
                .is_some_and(|w| w.trim_end_matches(':') == "s")
        };
        let word = |(i, w): (usize, &String)| match w.parse::<u32>() {
            Ok(_) if next_is_s(i) => "N".to_owned(),
            _ => w.clone(),
        };
        let words: Vec<String> = words.iter().enumerate().map(word).collect();
        out += words.join(" ").trim_start();
        out += "\n";
    }
    out
}

pub fn json_report() -> (json::JsonReport, Pipe) {
    let pipe = Pipe::default();
    (json::JsonReport::new(Box::new(pipe.clone())), pipe)
}

pub fn line_report() -> (lines::LineReport, Pipe) {
    let pipe = Pipe::default();
    (lines::LineReport::new(Box::new(pipe.clone())), pipe)
}

pub fn bar_report() -> (bars::BarReport, Screen) {
    let screen = Screen::default();
    let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
    let bars = MultiProgress::with_draw_target(target);
    (
        bars::BarReport::new(Box::new(screen.clone()), bars, || screen::WIDTH),
        screen,
    )
}

fn event_of_node1(json: &str) -> Event {
    let text = format!("{{\"version\":1,\"seq\":1,\"timeMs\":0,\"node\":\"node1\",{json}}}");
    Event::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// What is told of a launch of the demo in which node1 waits, node2 fails and node3 is Ready.
fn tell_failing_launch(report: &mut dyn Report) {
    let cluster = demo_cluster();
    let now = std::time::Instant::now();
    let mut nodes: Vec<NodeProgress> = cluster
        .nodes
        .iter()
        .map(|n| NodeProgress::new(n, now))
        .collect();
    report.tell(&LaunchEvent::Begun(&cluster));
    report.tell(&LaunchEvent::StepBegun("preflight"));
    let facts = ["root".to_owned(), "22 GiB free".to_owned()];
    report.tell(&LaunchEvent::StepDone("preflight", &facts));
    report.tell(&LaunchEvent::Warning("node4: its clock\x1b[31m is off"));
    let story = [
        (0, r#""event":"started","phase":"gate","attempt":1"#),
        (
            0,
            r#""event":"waiting","phase":"gate","what":"/readyz","lastError":"refused\u001b[2J""#,
        ),
        (1, r#""event":"started","phase":"join","attempt":1"#),
        (
            1,
            r#""event":"failed","phase":"join","attempt":1,"error":"boom","tail":["a"],"retryMs":100"#,
        ),
        (2, r#""event":"steady""#),
    ];
    for (index, json) in story {
        let event = event_of_node1(json);
        let change = nodes[index].apply(&event, now);
        report.tell(&LaunchEvent::NodeSaid(&event));
        if let Some(change) = change {
            report.tell(&LaunchEvent::NodeChanged(&nodes[index], change));
        }
    }
    let mut view = ClusterView {
        vip: Ok(()),
        ..ClusterView::default()
    };
    let ready = ha_health::cluster::NodeView {
        ready: true,
        ..Default::default()
    };
    view.nodes.insert("node3".to_owned(), ready);
    report.tell(&LaunchEvent::ClusterChanged(&view, &cluster));
    let awaited = ["a pod of CoreDNS to serve".to_owned()];
    report.tell(&LaunchEvent::ClusterAwaited(&awaited));
    report.tell(&LaunchEvent::Tick(&nodes.iter().collect::<Vec<_>>()));
}

#[test]
fn a_pipe_gets_a_line_a_change() {
    let (mut report, pipe) = line_report();
    tell_failing_launch(&mut report);
    assert_eq!(
        without_times(&pipe.text()),
        "demo: 3 control planes, 2 workers, VIP 10.77.0.30:6444, Kubernetes 1.36.3, libvirt\n\
         N s  preflight   ok   root, 22 GiB free\n\
         ! warning: node4: its clock [31m is off\n\
         N s  node1  control plane  gate\n\
         N s  node2  control plane  join\n\
         N s  node2  control plane  join       failed: boom\n\
         N s  node3  control plane  steady\n\
         N s  1 of 5 nodes are Ready\n\
         N s  waiting for a pod of CoreDNS to serve\n"
    );
}

#[test]
fn a_terminal_has_a_line_a_node() {
    let (mut report, screen) = bar_report();
    tell_failing_launch(&mut report);
    let line = |head: &str, words: &str| format!("{head}{words:<79}{:>10}\n", "N s");
    let expected = [
        "demo: 3 control planes, 2 workers, VIP 10.77.0.30:6444, Kubernetes 1.36.3, libvirt\n\
         preflight   ok   root, 22 GiB free\n\
         warning: node4: its clock [31m is off\n\
         waiting for a pod of CoreDNS to serve\n"
            .to_owned(),
        line(
            "node1  control plane  gate       ███████░░░░░░░  ",
            "/readyz: refused [2J",
        ),
        line(
            "node2  control plane  join       █████████░░░░░  ",
            "failed: boom",
        ),
        "node3  control plane  steady     ██████████████  Ready\n".to_owned(),
        line("node4  worker         waiting    ░░░░░░░░░░░░░░  ", ""),
        line("node5  worker         waiting    ░░░░░░░░░░░░░░  ", ""),
    ];
    assert_eq!(without_times(&screen.text()), expected.concat());
}

#[test]
fn a_program_gets_an_object_a_line() {
    let (mut report, pipe) = json_report();
    tell_failing_launch(&mut report);
    let objects = pipe.objects(VERSION);
    let kinds: Vec<&str> = objects
        .iter()
        .map(|o| o["type"].as_str().unwrap())
        .collect();
    let expected = [
        "begin", "step", "warning", "event", "node", "event", "event", "node", "event", "node",
        "event", "node", "look", "awaited",
    ];
    assert_eq!(kinds, expected);
    let nodes = ["node1", "node2", "node3", "node4", "node5"];
    for (index, object) in [
        (
            0,
            json!({
                "version": 2, "type": "begin", "cluster": "demo", "nodes": nodes, "vip": "10.77.0.30:6444",
                "kubernetes": "1.36.3",
            }),
        ),
        (
            1,
            json!({"version": 2, "type": "step", "step": "preflight", "seen": ["root", "22 GiB free"]}),
        ),
        (
            9,
            json!({"version": 2, "type": "node", "node": "node2", "phase": "join", "words": "failed: boom"}),
        ),
        (
            12,
            json!({
                "version": 2, "type": "look", "vip": true, "ready": ["node3"],
                "missing": [
                    "node1 has not joined", "node2 has not joined", "node4 has not joined", "node5 has not joined",
                ],
            }),
        ),
        (
            13,
            json!({"version": 2, "type": "awaited", "missing": ["a pod of CoreDNS to serve"]}),
        ),
    ] {
        assert_eq!(objects[index], object);
    }
}

#[test]
fn an_error_of_this_program_is_an_object_too() {
    let (mut report, pipe) = json_report();
    let error = anyhow::anyhow!("no such pool").context("cannot make the disk");
    report.tell(&LaunchEvent::Broken(&error));
    let expected =
        json!({"version": 2, "type": "error", "message": "cannot make the disk: no such pool"});
    assert_eq!(pipe.objects(VERSION), [expected]);
}

#[test]
fn more_nodes_than_lines_are_counted() {
    let (mut report, screen) = bar_report();
    let (node, now) = (demo_cluster().nodes[0].clone(), std::time::Instant::now());
    let mut nodes: Vec<NodeProgress> = (0..41).map(|_| NodeProgress::new(&node, now)).collect();
    nodes[0].apply(&event_of_node1(r#""event":"steady""#), now);
    nodes[1].apply(
        &event_of_node1(
            r#""event":"failed","phase":"join","attempt":1,"error":"boom","tail":[],"retryMs":9"#,
        ),
        now,
    );
    report.tell(&LaunchEvent::Tick(&nodes.iter().collect::<Vec<_>>()));
    assert_eq!(screen.text(), "  0 Ready, 1 steady, 1 failing, 41 in all");
}

/// Half a download, a break, the rest.
fn tell_download(bar: &mut dyn Bar) {
    bar.note("current of stable is 1.2.3");
    bar.begin(Step::Download, Some(2_000_000));
    for done in [0, 1000, 500_000, 1_000_000, 2_000_000] {
        bar.at(done);
    }
    bar.end();
    bar.at(2_000_000);
}

#[test]
fn a_download_is_told_in_a_pipe_and_to_a_program() {
    let pipe = Pipe::default();
    tell_download(&mut pull::LineBar::new(Box::new(pipe.clone())));
    assert_eq!(
        pipe.text(),
        "current of stable is 1.2.3\ndownload  2.00 MB\ndownload   20 %\ndownload   50 %\ndownload  100 %\n"
    );
    let pipe = Pipe::default();
    tell_download(&mut pull::JsonBar::new(Box::new(pipe.clone())));
    let done: Vec<Value> = pipe
        .objects(1)
        .iter()
        .map(|o| json!([o["type"], o["step"], o["done"]]))
        .collect();
    let step = |done: u64| json!(["progress", "download", done]);
    assert_eq!(
        done,
        [
            json!(["note", null, null]),
            json!(["step", "download", null]),
            step(0),
            step(500_000),
            step(1_000_000),
            step(2_000_000),
        ]
    );
}
