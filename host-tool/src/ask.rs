//! What the nodes say about themselves, asked through the provider: works before their network does.

use std::time::Duration;

use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::command;
use ha_providers::Provider;
use ha_wire::paths;
use ha_wire::status::Status;

/// Reading something small takes milliseconds; a node that hangs must not hold up the others.
const DEADLINE: Duration = Duration::from_secs(3);

/// What a short command on a node prints; none if it fails, hangs or the node is off.
fn ask(provider: &dyn Provider, node: &Node, argv: &[&str]) -> Option<String> {
    let mut command = provider.exec(node, argv).ok()?;
    let finished = command::run_within(&mut command, "", DEADLINE).ok()?;
    finished.into_stdout().ok()
}

/// Every node's own status, asked side by side, in the order of the nodes.
pub fn statuses(cluster: &Cluster, provider: &dyn Provider) -> Vec<Option<Status>> {
    std::thread::scope(|scope| {
        let one = |n| serde_json::from_str(&ask(provider, n, &["cat", paths::STATUS_FILE])?).ok();
        let asked: Vec<_> = cluster
            .nodes
            .iter()
            .map(|n| scope.spawn(move || one(n)))
            .collect();
        asked.into_iter().map(|h| h.join().ok().flatten()).collect()
    })
}

/// Which node says that it holds the VIP.
pub fn vip_holder(cluster: &Cluster, said: &[Option<Status>]) -> Option<String> {
    let here = |said: &Option<Status>| said.as_ref().is_some_and(|s| s.vip.here);
    let pairs = cluster.nodes.iter().zip(said);
    pairs
        .into_iter()
        .find(|(_, said)| here(said))
        .map(|(node, _)| node.name.clone())
}

/// The last lines that the agent, or systemd about it, wrote to the journal.
pub fn agent_words(provider: &dyn Provider, node: &Node, lines: usize) -> Vec<String> {
    let lines = format!("--lines={lines}");
    let argv = [
        "journalctl",
        "--no-pager",
        "--output=cat",
        "--unit=ha-agent",
        &lines,
    ];
    ask(provider, node, &argv)
        .unwrap_or_default()
        .lines()
        .map(ha_host_base::text::printable)
        .collect()
}
