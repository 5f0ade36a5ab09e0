//! What the nodes say about themselves, asked through the provider.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ha_spec::cluster::{Cluster, Node};
use ha_spec::paths;
use ha_spec::status::Status;

use crate::provider::Provider;

/// Reading one small file takes milliseconds; a node that hangs must not hold up the others.
const DEADLINE: Duration = Duration::from_secs(3);
/// How often the end of the command is looked for.
const POLL: Duration = Duration::from_millis(20);

/// The node's own status; none if it cannot be had.
pub fn node_status(provider: &dyn Provider, node: &Node) -> Option<Status> {
    let mut command = provider.exec(node, &["cat", paths::STATUS_FILE]).ok()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let begun = Instant::now();
    let mut stdout = child.stdout.take()?;
    // The file is smaller than a pipe's buffer: the command ends without a reader.
    while child.try_wait().ok()?.is_none() {
        if begun.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(POLL);
    }
    let mut text = String::new();
    stdout.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Every node's own status, asked side by side, in the order of the nodes.
pub fn statuses(cluster: &Cluster, provider: &dyn Provider) -> Vec<Option<Status>> {
    std::thread::scope(|scope| {
        let ask = |n| scope.spawn(move || node_status(provider, n));
        let asked: Vec<_> = cluster.nodes.iter().map(ask).collect();
        asked.into_iter().map(|h| h.join().ok().flatten()).collect()
    })
}

/// Which node says that it holds the VIP.
pub fn vip_holder(cluster: &Cluster, provider: &dyn Provider) -> Option<String> {
    let says = |node: &&Node| node_status(provider, node).is_some_and(|s| s.vip.here);
    cluster.control_planes().find(says).map(|n| n.name.clone())
}
