//! What the nodes say about themselves, asked through the provider: works before their network does.

use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::command;
use ha_host_base::text::printable;
use ha_providers::Provider;
use ha_wire::format::FormatError;
use ha_wire::paths;
use ha_wire::status::Status;

/// Reading something small takes milliseconds; a node that hangs must not hold up the others.
const READ: Duration = Duration::from_secs(3);

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
    let mut command = provider.exec(node, argv)?;
    let finished = command::run_within(&mut command, "", deadline)?;
    finished
        .into_stdout()
        .with_context(|| format!("`{}` on {}", argv.join(" "), node.name))
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
