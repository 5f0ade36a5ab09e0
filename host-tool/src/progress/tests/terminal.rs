//! A launch as it is seen: a process of its own tells it on a real pseudo-terminal, and what stands on the screen is compared
//! with golden text.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ha_test_support::demo_cluster;
use ha_wire::phase::Phase;
use nix::pty::{OpenptyResult, Winsize, openpty};

use super::super::choose_report;
use super::ends::{demo_summary, failed_end};
use super::{event_of_node1, without_times};
use crate::launch::node_progress::NodeProgress;
use crate::launch::report::{End, LaunchEvent, Report};

/// What the child tells, in its environment.
const STORY: &str = "HA_TEST_STORY";
const CHILD: &str = "progress::tests::terminal::tells_a_story";
/// The screen as it was before the child begins is libtest's.
const CLEAR: &str = "\x1b[2J\x1b[H";
/// Set to write the golden files anew; look at the difference before you commit it.
const BLESS: &str = "HA_BLESS";

/// The child's part; without a story it has none.
#[test]
#[ignore = "the tests below run it, on a terminal of their own"]
#[allow(clippy::exit, reason = "libtest has nothing to add on this screen")]
fn tells_a_story() {
    let Ok(story) = std::env::var(STORY) else {
        return;
    };
    let mut out = std::io::stdout();
    let begin = if matches!(&*story, "json" | "pipe") {
        "\n"
    } else {
        CLEAR
    };
    out.write_all(begin.as_bytes()).unwrap();
    out.flush().unwrap();
    tell_story(&story, &mut *choose_report(story == "json"));
    out.flush().unwrap();
    std::process::exit(0);
}

fn tell_story(story: &str, report: &mut dyn Report) {
    let cluster = demo_cluster();
    // Of the future: whatever a busy machine does, no time passes in it.
    let soon = Instant::now() + Duration::from_secs(3600);
    let nodes = cluster.nodes.iter().map(|n| NodeProgress::new(n, soon));
    let mut nodes: Vec<NodeProgress> = nodes.collect();
    report.tell(&LaunchEvent::Begun(&cluster));
    let facts = [
        "root",
        "programs",
        "image lab/out/image",
        "4 sysexts as images",
        "22.62 GiB memory free",
        "29.23 GiB disk free",
        "overlay",
        "inotify 8192",
        "cgroup v1",
    ];
    report.tell(&LaunchEvent::StepDone(
        "preflight",
        &facts.map(str::to_owned),
    ));
    for (index, json) in SAID {
        let event = event_of_node1(json);
        let change = nodes[index].apply(&event, soon);
        if let Some(change) = change {
            report.tell(&LaunchEvent::NodeChanged(&nodes[index], change));
        }
    }
    let nodes: Vec<&NodeProgress> = nodes.iter().collect();
    report.tell(&LaunchEvent::Tick(&nodes));
    report.tell(&LaunchEvent::PictureWritten(Path::new(
        "/state/demo/launch.html",
    )));
    report.tell(&LaunchEvent::Ended(&match story {
        "failed" => failed_end(),
        "interrupted" => End::Interrupted("demo.yaml".into()),
        _ => End::Ready(demo_summary()),
    }));
}

/// What nodes say in it, by their index.
const SAID: [(usize, &str); 6] = [
    (
        0,
        r#""event":"waiting","phase":"init","what":"kubeadm mark-control-plane: Marking the node node1 as control-plane by adding the labels: [node-role.kubernetes.io/control-plane node.kubernetes.io/exclude-from-external-load-balancers]","lastError":"""#,
    ),
    (
        1,
        r#""event":"waiting","phase":"gate","what":"no apiserver answers at 10.77.0.30:6444 yet","lastError":"Connection refused""#,
    ),
    (
        2,
        r#""event":"waiting","phase":"join","what":"its turn to join etcd: node2 does it now","lastError":"","on":{"kind":"lease","name":"ha-agent-etcd-join","holder":"node2"}"#,
    ),
    (
        3,
        r#""event":"waiting","phase":"network","what":"ネットワークがまだありませんのでこのノードはお待ちください、もう少しかかりますネットワークがまだありません","lastError":"""#,
    ),
    (4, r#""event":"started","phase":"preflight","attempt":1"#),
    (
        4,
        r#""event":"failed","phase":"preflight","attempt":1,"error":"port 10250: taken by busybox","tail":[],"retryMs":100"#,
    ),
];

/// The child's program: this test binary, with that one test.
fn child_command(story: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            CHILD,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(STORY, story)
        .env("TERM", "xterm-256color");
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"] {
        command.env_remove(variable);
    }
    command
}

/// A child on a terminal of so many columns.
struct OnTerminal {
    child: Child,
    master: File,
    slave: File,
    columns: u16,
    bytes: Vec<u8>,
}

const ROWS: u16 = 40;

/// The lines of a screen, each to its last letter.
fn screen_text(terminal: &vt100::Parser) -> String {
    let (_, columns) = terminal.screen().size();
    let rows = terminal.screen().rows(0, columns);
    let rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n").trim_end().to_owned() + "\n"
}

impl OnTerminal {
    fn start(story: &str, columns: u16) -> Self {
        let size = Winsize {
            ws_row: ROWS,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let slave = File::from(slave);
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let mut command = child_command(story);
        command.stdin(Stdio::null()).stdout(stdio()).stderr(stdio());
        let child = command.spawn().unwrap();
        Self {
            child,
            master: File::from(master),
            slave,
            columns,
            bytes: Vec::new(),
        }
    }

    /// What stands on the screen at its end.
    fn screen(self) -> String {
        let mut terminal = vt100::Parser::new(ROWS, self.columns, 0);
        terminal.process(&self.all_bytes());
        screen_text(&terminal)
    }

    /// All that the child wrote.
    fn all_bytes(mut self) -> Vec<u8> {
        drop(self.slave);
        loop {
            let mut some = [0; 4096];
            // EIO is how a terminal says that nobody has it open any more.
            match self.master.read(&mut some) {
                Ok(0) | Err(_) => break,
                Ok(read) => self.bytes.extend_from_slice(&some[..read]),
            }
        }
        assert!(self.child.wait().unwrap().success());
        self.bytes
    }
}

fn assert_golden(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/progress/tests/golden");
    let path: PathBuf = path.join(format!("{name}.txt"));
    if std::env::var_os(BLESS).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, seen).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(seen, golden, "{}", path.display());
}

#[test]
fn every_end_is_seen_on_a_narrow_and_on_a_wide_terminal() {
    for columns in [80, 200] {
        for story in ["ready", "failed", "interrupted"] {
            let screen = OnTerminal::start(story, columns).screen();
            assert_golden(&format!("{story}-{columns}"), &screen);
        }
    }
}

#[test]
fn words_that_do_not_fit_never_push_the_time_out_of_the_line() {
    for columns in [80, 120, 200] {
        let screen = OnTerminal::start("ready", columns).screen();
        let lines: Vec<&str> = screen.lines().filter(|l| l.starts_with("  node")).collect();
        assert_eq!(lines.len(), 5, "a node is a line:\n{screen}");
        let ends: Vec<usize> = lines
            .iter()
            .map(|l| console::measure_text_width(l))
            .collect();
        let time = usize::from(columns).min(140);
        assert!(
            ends.iter().all(|end| *end == time),
            "{ends:?}, {columns} columns:\n{screen}"
        );
        assert!(lines.iter().all(|l| l.ends_with(" 0 s")), "{screen}");
        assert!(
            lines[0].contains("…") && !lines[2].contains("busybox…"),
            "{screen}"
        );
    }
}

#[test]
fn a_pipe_and_a_program_are_told_by_the_same_choice() {
    let run = |story: &str| {
        let out = child_command(story).stdin(Stdio::null()).output().unwrap();
        assert!(out.status.success());
        // Before it, libtest says what it runs.
        let lines: Vec<String> = BufReader::new(&out.stdout[..])
            .lines()
            .map(Result::unwrap)
            .collect();
        lines
    };
    let lines = run("pipe");
    let told = |part: &str| lines.iter().any(|line| without_times(line).contains(part));
    assert!(
        told(
            "N s  node2  control plane  gate       no apiserver answers at 10.77.0.30:6444 yet: Connection refused"
        ),
        "{lines:?}"
    );
    assert!(
        told("report: /state/demo/launch.html") && !lines.concat().contains('\x1b'),
        "{lines:?}"
    );
    let objects = run("json");
    let objects: Vec<serde_json::Value> = objects
        .iter()
        .filter_map(|l| serde_json::from_str(l).ok())
        .collect();
    let kinds: Vec<&str> = objects.iter().filter_map(|o| o["type"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "begin", "step", "node", "node", "node", "node", "node", "node", "picture", "ready"
        ]
    );
    assert_eq!(objects[2]["phase"], Phase::Init.name());
}
