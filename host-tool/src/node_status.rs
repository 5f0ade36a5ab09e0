//! What the nodes say about themselves, asked through the provider: works before their network does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::command;
use ha_host_base::text::printable_line;
use ha_providers::Provider;
use ha_wire::format::FormatError;
use ha_wire::paths;
use ha_wire::status::Status;
use serde::Deserialize;

/// How questions to several nodes are asked.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// So many at a time: each is a few processes of this machine.
    pub at_a_time: usize,
    /// For one node: reading something small takes milliseconds, and one that hangs must not hold up the others.
    pub each: Duration,
    /// For all of them: people wait.
    pub all: Duration,
}

const ASKING: Asking = Asking {
    at_a_time: 8,
    each: Duration::from_secs(3),
    all: Duration::from_secs(8),
};

/// Prints the node's clock and how much room /run has (a block's size, all blocks, free ones), then its agent's status, or, if there
/// is none, the units that failed: the age of a word is judged by the clock of whoever wrote it, and nobody writes to a full /run.
const STATUS_SCRIPT: &str = r#"echo "$(date +%s%3N) $(stat -f -c '%S %b %a' /run)"; if [ -e "$1" ]; then cat "$1"; else systemctl list-units --failed --output=json; fi"#;

/// A unit as `systemctl list-units --output=json` has it.
#[derive(Debug, Deserialize)]
struct ListedUnit {
    unit: String,
}

/// What a node says about itself.
#[derive(Debug)]
pub enum NodeAnswer {
    /// It is off, hangs, or cannot be asked.
    Silent,
    /// It answers, and its agent has not written anything since it booted.
    NoStatus { failed_units: Vec<String> },
    /// Its status.
    Status {
        status: Box<Status>,
        /// The node's own clock when it was read, milliseconds since 1970.
        now_ms: u64,
        /// What its /run still takes, KiB; none: not known.
        run_left_kib: Option<u64>,
    },
    /// Its agent writes a status that this program does not know.
    OtherVersion(u64),
}

impl NodeAnswer {
    /// What [`STATUS_SCRIPT`] prints.
    fn parse(text: &str) -> Self {
        let Some((first, text)) = text.split_once('\n') else {
            return Self::Silent;
        };
        let (now_ms, run) = first.split_once(' ').unwrap_or((first, ""));
        let Ok(now_ms) = now_ms.parse() else {
            return Self::Silent;
        };
        if let Ok(failed) = serde_json::from_str::<Vec<ListedUnit>>(text) {
            let failed_units = failed
                .into_iter()
                .map(|u| printable_line(&u.unit))
                .collect();
            return Self::NoStatus { failed_units };
        }
        match Status::parse(text) {
            Ok(status) => Self::Status {
                status: Box::new(status),
                now_ms,
                run_left_kib: left_kib(run),
            },
            Err(FormatError::Version { found, .. }) => Self::OtherVersion(found),
            Err(FormatError::Shape { .. }) => Self::Silent,
        }
    }

    /// The status, if there is one that can be read.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status { status, .. } => Some(status),
            Self::Silent | Self::NoStatus { .. } | Self::OtherVersion(_) => None,
        }
    }
}

/// Of a block's size, all blocks and free ones; none where a file system has no limit, which says that it has no blocks.
fn left_kib(said: &str) -> Option<u64> {
    let numbers: Vec<u64> = said.split(' ').map_while(|n| n.parse().ok()).collect();
    match numbers[..] {
        [size, all, free] if all > 0 => Some(free.saturating_mul(size) / 1024),
        _ => None,
    }
}

/// Runs a short command on a node and returns what it prints; an error if it fails or takes longer.
pub fn run_on_node(
    provider: &dyn Provider,
    node: &Node,
    argv: &[&str],
    deadline: Duration,
) -> Result<String> {
    let mut command = provider.exec(node, argv)?;
    let finished = command::run_within(&mut command, "", deadline)?;
    finished
        .into_stdout()
        .with_context(|| format!("`{}` on {}", argv.join(" "), node.name))
}

impl Asking {
    /// Asks every node, and gives each question the time it has. In the order of the nodes; none: it was not asked in time.
    pub fn ask<T: Send>(
        self,
        nodes: &[&Node],
        question: impl Fn(&Node, Duration) -> T + Sync,
    ) -> Vec<Option<T>> {
        let (end, next) = (Instant::now() + self.all, AtomicUsize::new(0));
        let work = || {
            let mut answers = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let left = end.saturating_duration_since(Instant::now());
                match nodes.get(index) {
                    Some(node) if !left.is_zero() => {
                        answers.push((index, question(node, self.each.min(left))));
                    }
                    _ => return answers,
                }
            }
        };
        let mut all: Vec<Option<T>> = nodes.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            let workers = self.at_a_time.min(nodes.len());
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            for (index, answer) in workers.into_iter().filter_map(|w| w.join().ok()).flatten() {
                all[index] = Some(answer);
            }
        });
        all
    }
}

/// Runs the same short command on each of these nodes, side by side; what each prints, in their order.
pub fn run_on_nodes(
    provider: &dyn Provider,
    nodes: &[&Node],
    argv: &[&str],
) -> Vec<Result<String>> {
    let ask = |node: &Node, patience| run_on_node(provider, node, argv, patience);
    let answers = ASKING.ask(nodes, ask).into_iter();
    let late = || Err(anyhow!("there was no time left to ask it"));
    answers.map(|answer| answer.unwrap_or_else(late)).collect()
}

/// Every node's own status, in the order of the nodes.
pub fn node_statuses(cluster: &Cluster, provider: &dyn Provider) -> Vec<NodeAnswer> {
    let nodes: Vec<&Node> = cluster.nodes.iter().collect();
    let argv = ["sh", "-c", STATUS_SCRIPT, "sh", paths::STATUS_FILE];
    let ask = |node: &Node, patience| match run_on_node(provider, node, &argv, patience) {
        Ok(text) => NodeAnswer::parse(&text),
        Err(_) => NodeAnswer::Silent,
    };
    let answers = ASKING.ask(&nodes, ask).into_iter();
    answers.map(|a| a.unwrap_or(NodeAnswer::Silent)).collect()
}

/// The last lines that the agent, or systemd about it, wrote to the journal of each of these nodes; none of those that do not
/// answer.
pub fn agent_journals(
    nodes: &[&Node],
    provider: &dyn Provider,
    lines: usize,
) -> BTreeMap<String, Vec<String>> {
    let lines = format!("--lines={lines}");
    let argv = [
        "journalctl",
        "--no-pager",
        "--output=cat",
        "--unit=ha-agent",
        &lines,
    ];
    let ask = |node: &Node, patience| run_on_node(provider, node, &argv, patience).ok();
    let texts = ASKING.ask(nodes, ask).into_iter().map(Option::flatten);
    let journal = |(node, text): (&&Node, Option<String>)| {
        Some((
            node.name.clone(),
            text?.lines().map(printable_line).collect(),
        ))
    };
    nodes.iter().zip(texts).filter_map(journal).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use ha_test_support::demo_cluster;

    use super::*;

    fn numbered_nodes(count: usize) -> Vec<Node> {
        let node = &demo_cluster().nodes[0];
        let named = |i| Node {
            name: format!("node{i}"),
            ..node.clone()
        };
        (0..count).map(named).collect()
    }

    #[test]
    fn so_many_nodes_are_asked_at_a_time_and_no_more() {
        let nodes = numbered_nodes(12);
        let asking = Asking {
            at_a_time: 4,
            each: Duration::from_secs(60),
            all: Duration::from_secs(60),
        };
        let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Passed only by four at once: less would hang, more would be counted.
        let four = Barrier::new(4);
        let answers = asking.ask(&nodes.iter().collect::<Vec<_>>(), |node, _| {
            let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            four.wait();
            four.wait();
            at_once.fetch_sub(1, Ordering::SeqCst);
            node.name.clone()
        });
        assert_eq!(most.into_inner(), 4);
        let names: Vec<String> = answers.into_iter().flatten().collect();
        let expected: Vec<String> = nodes.iter().map(|n| n.name.clone()).collect();
        assert_eq!(names, expected, "every node, in order");
    }

    #[test]
    fn one_deadline_holds_for_all_and_what_comes_after_it_is_not_asked() {
        let nodes = numbered_nodes(6);
        let asking = Asking {
            at_a_time: 2,
            each: Duration::from_secs(60),
            all: Duration::from_secs(1),
        };
        // Nodes that hang: each question takes all the time it has.
        let answers = asking.ask(&nodes.iter().collect::<Vec<_>>(), |_, patience| {
            assert!(patience <= asking.all);
            std::thread::sleep(patience);
        });
        let asked: Vec<bool> = answers.iter().map(Option::is_some).collect();
        assert_eq!(asked, [true, true, false, false, false, false]);
    }

    #[test]
    fn what_a_node_prints_is_read_with_its_own_clock() {
        let answer = NodeAnswer::parse("1795273242000\n{\"version\":2,\"nodes\":\"whatever\"}");
        assert!(matches!(answer, NodeAnswer::OtherVersion(2)), "{answer:?}");
        for strange in [
            "cat: no such file",
            "1795273242000\ncat: no such file",
            "%s%3N\n[]",
        ] {
            let answer = NodeAnswer::parse(strange);
            assert!(matches!(answer, NodeAnswer::Silent), "{answer:?}");
        }
    }

    #[test]
    fn how_much_a_node_s_run_still_takes_is_read() {
        let status = include_str!("../../crates/wire/tests/fixtures/status-v1.json");
        let left = |first: &str| match NodeAnswer::parse(&format!("{first}\n{status}")) {
            NodeAnswer::Status {
                now_ms: 1_795_273_242_000,
                run_left_kib,
                ..
            } => run_left_kib,
            answer => panic!("{answer:?}"),
        };
        assert_eq!(left("1795273242000 4096 16384 12"), Some(48));
        assert_eq!(left("1795273242000 4096 16384 0"), Some(0));
        // A tmpfs without a limit, and a node whose `stat` says nothing.
        assert_eq!(left("1795273242000 4096 0 0"), None);
        assert_eq!(left("1795273242000 "), None);
        assert_eq!(left("1795273242000"), None);
    }

    #[test]
    fn a_machine_without_its_agent_names_its_failed_units() {
        let failed = r#"[{"unit":"systemd-sysext.service","load":"loaded","active":"failed"}]"#;
        let answer = NodeAnswer::parse(&format!("1795273242000\n{failed}\n"));
        let NodeAnswer::NoStatus { failed_units } = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(failed_units, ["systemd-sysext.service"]);
    }

    #[test]
    fn the_script_prints_clock_and_status() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("status.json");
        std::fs::write(&file, r#"{"version":7}"#).unwrap();
        let mut command = std::process::Command::new("sh");
        let output = command
            .args(["-c", STATUS_SCRIPT, "sh"])
            .arg(&file)
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let answer = NodeAnswer::parse(&text);
        assert!(matches!(answer, NodeAnswer::OtherVersion(7)), "{text}");
    }
}
