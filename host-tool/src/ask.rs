//! What the nodes say about themselves, asked through the provider: works before their network does.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::command::tail;
use ha_host_base::text::printable;
use ha_providers::Provider;
use ha_wire::format::FormatError;
use ha_wire::paths;
use ha_wire::status::Status;

/// Reading something small takes milliseconds; a node that hangs must not hold up the others.
const READ: Duration = Duration::from_secs(3);
/// How often the end of the command is looked for.
const POLL: Duration = Duration::from_millis(10);
/// No answer is longer than a pipe's buffer, so a command ends without a reader.
const LIMIT: u64 = 60 * 1024;

/// What a node says about itself.
#[derive(Debug)]
pub enum NodeAnswer {
    /// It is off, hangs, or has no agent yet.
    Silent,
    Status(Box<Status>),
    /// Its agent writes a status that this program does not know.
    OtherVersion(u64),
}

impl NodeAnswer {
    fn parse(text: &str) -> Self {
        match Status::parse(text) {
            Ok(status) => Self::Status(Box::new(status)),
            Err(FormatError::Version { found, .. }) => Self::OtherVersion(found),
            Err(FormatError::Shape { .. }) => Self::Silent,
        }
    }

    /// The status, if there is one that can be read.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Silent | Self::OtherVersion(_) => None,
        }
    }
}

/// Runs a short command on a node and returns what it prints; an error if it fails or takes longer.
pub fn run_on_node(
    provider: &dyn Provider,
    node: &Node,
    argv: &[&str],
    deadline: Duration,
) -> Result<String> {
    let what = || format!("`{}` on {}", argv.join(" "), node.name);
    let mut command = provider.exec(node, argv)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", what()))?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if begun.elapsed() < deadline => std::thread::sleep(POLL),
            None => {
                // It may have ended meanwhile; either way it is no more.
                let _ = child.kill();
                let _ = child.wait();
                bail!("{} did not end within {} s", what(), deadline.as_secs());
            }
        }
    };
    let (mut output, mut errors) = (String::new(), String::new());
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        stdout.take(LIMIT).read_to_string(&mut output)?;
        stderr.take(LIMIT).read_to_string(&mut errors)?;
    }
    if !status.success() {
        bail!("{} failed ({status}): {}", what(), tail(&errors));
    }
    Ok(output)
}

/// Every node's own status, asked side by side, in the order of the nodes.
pub fn node_statuses(cluster: &Cluster, provider: &dyn Provider) -> Vec<NodeAnswer> {
    let ask = |node| match run_on_node(provider, node, &["cat", paths::STATUS_FILE], READ) {
        Ok(text) => NodeAnswer::parse(&text),
        Err(_) => NodeAnswer::Silent,
    };
    std::thread::scope(|scope| {
        let nodes = cluster.nodes.iter();
        let asked: Vec<_> = nodes.map(|n| scope.spawn(move || ask(n))).collect();
        let answers = asked.into_iter().map(|thread| thread.join());
        answers
            .map(|answer| answer.unwrap_or(NodeAnswer::Silent))
            .collect()
    })
}

/// Which node says that it holds the VIP.
pub fn vip_holder(cluster: &Cluster, answers: &[NodeAnswer]) -> Option<String> {
    let mut pairs = cluster.nodes.iter().zip(answers);
    let holder = pairs.find(|(_, answer)| answer.status().is_some_and(|s| s.vip.here));
    holder.map(|(node, _)| node.name.clone())
}

/// The last lines that the agent, or systemd about it, wrote to the journal; none if nobody answers.
pub fn agent_journal(provider: &dyn Provider, node: &Node, lines: usize) -> Vec<String> {
    let lines = format!("--lines={lines}");
    let argv = [
        "journalctl",
        "--no-pager",
        "--output=cat",
        "--unit=ha-agent",
        &lines,
    ];
    let text = run_on_node(provider, node, &argv, READ).unwrap_or_default();
    text.lines().map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_another_version_is_named() {
        let answer = NodeAnswer::parse(r#"{"version":2,"nodes":"whatever"}"#);
        assert!(matches!(answer, NodeAnswer::OtherVersion(2)), "{answer:?}");
        assert!(matches!(
            NodeAnswer::parse("cat: no such file"),
            NodeAnswer::Silent
        ));
    }
}
