//! From a running node to nothing, whatever state it is in: each step looks for what is there by the cluster's own names and
//! files, and may be repeated.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::layout::{Layout, NETNS_DIR, NodeDir, Wiring};
use super::network::{self, NamespaceOwner, Segment};
use super::root::remove_dir;
use super::{cgroup, disk, ignition};
use crate::process::ProcessIdentity;
use crate::shared::lock::MachineLock;
use crate::shared::this_boot::read_of_this_boot;

/// How long a keeper may clean up behind a node whose plug was pulled.
const KEEPER_PATIENCE: Duration = Duration::from_secs(10);
/// How long the kernel may need for a killed process with thousands of pages and mounts.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Pulls the plug: the link first, so that nothing is heard of the node while it dies. A disk that is an image loses what was not
/// synced.
pub fn power_off(dir: &NodeDir, wiring: &Wiring) -> Result<()> {
    network::set_port_down(wiring)?;
    let runs = ProcessIdentity::alive(&dir.join(NodeDir::LEADER_PID)).is_some();
    let loses = runs && disk::freeze_and_copy(dir)?;
    stop_node(dir, wiring)?;
    if loses {
        disk::take_copy(dir)?;
    }
    Ok(())
}

/// Ends a node whatever becomes of its disk.
fn stop_node(dir: &NodeDir, wiring: &Wiring) -> Result<()> {
    network::set_port_down(wiring)?;
    let known = |file: &str| ProcessIdentity::alive(&dir.join(file));
    let (leader, nspawn, keeper) = (
        known(NodeDir::LEADER_PID),
        known(NodeDir::NSPAWN_PID),
        known(NodeDir::KEEPER_PID),
    );
    match (&leader, &keeper) {
        (Some(leader), _) => leader.kill(),
        // It is at Ignition, or between two boots: nothing of it is worth waiting for.
        (None, Some(keeper)) => keeper.kill_group(),
        (None, None) => {}
    }
    if let Some(keeper) = keeper.filter(|keeper| !keeper.gone_within(KEEPER_PATIENCE)) {
        keeper.kill_group();
    }
    // Without a keeper these have nobody who waits for them.
    for orphan in [known(NodeDir::NSPAWN_PID), known(NodeDir::LEADER_PID)]
        .into_iter()
        .flatten()
    {
        orphan.kill();
    }
    for process in [leader, nspawn, known(NodeDir::KEEPER_PID)]
        .into_iter()
        .flatten()
    {
        if !process.gone_within(KILL_PATIENCE) {
            bail!(
                "process {} of {} cannot be killed; is its storage stuck?",
                process.pid(),
                dir.0.display()
            );
        }
    }
    clean_up(dir, wiring)
}

/// Removes a node with its disk.
pub fn remove_node(dir: &NodeDir, wiring: &Wiring) -> Result<()> {
    stop_node(dir, wiring)?;
    // Without the mark the disk is no disk any more, should we be interrupted.
    let mark = dir.join(NodeDir::MADE);
    if mark.exists() {
        std::fs::remove_file(&mark).with_context(|| format!("cannot remove {}", mark.display()))?;
    }
    remove_dir(&dir.0)
}

/// Removes the whole cluster. Everything is tried; the first fault is reported.
pub fn remove_cluster(layout: &Layout, segment: &Segment, interface: &str) -> Result<()> {
    let nodes = layout.machines.nodes()?;
    let mut results: Vec<Result<()>> = std::thread::scope(|scope| {
        let remove = |node: &String| {
            let _lock = MachineLock::of_node(&layout.machines, node)?;
            remove_node(&layout.node(node), &layout.wiring(node, interface))
        };
        let threads: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(move || remove(node)))
            .collect();
        let lost = |_| {
            Err(anyhow::anyhow!(
                "the thread that removes a node has panicked"
            ))
        };
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(lost))
            .collect()
    });
    for node in stray_namespaces(layout)? {
        results.push(network::disconnect_node(&layout.wiring(&node, interface)));
    }
    results.push(segment.remove());
    results.into_iter().collect::<Result<()>>()?;
    remove_dir(layout.machines.path())
}

/// What a keeper does in the end, for a keeper that could not.
fn clean_up(dir: &NodeDir, wiring: &Wiring) -> Result<()> {
    // They carry the cluster's name as its network does: where that is another's by now, so are they.
    if network::bridge_owner(&wiring.bridge, &wiring.record) != NamespaceOwner::Other {
        let groups = read_of_this_boot(&dir.join(NodeDir::CGROUPS)).unwrap_or_default();
        let groups: Vec<PathBuf> = groups.lines().map(PathBuf::from).collect();
        cgroup::remove_groups(&groups)?;
    }
    network::disconnect_node(wiring)?;
    for file in [
        NodeDir::LEADER_PID,
        NodeDir::NSPAWN_PID,
        NodeDir::KEEPER_PID,
        NodeDir::CGROUPS,
    ] {
        let _ = std::fs::remove_file(dir.join(file));
    }
    remove_dir(&dir.join(ignition::WORK))
}

/// Nodes that have a namespace and no directory any more.
fn stray_namespaces(layout: &Layout) -> Result<Vec<String>> {
    let prefix = format!("{}.", layout.bridge_namespace());
    let entries = match std::fs::read_dir(NETNS_DIR) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {NETNS_DIR}"))?,
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names
        .filter_map(|name| name.strip_prefix(&prefix).map(String::from))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::layout::make_dir;
    use super::super::root;
    use super::*;

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        remove_dir(&dir.path().join("no/such")).unwrap();
        let layout = Layout::new("no-such-cluster-here", dir.path());
        remove_node(&layout.node("node1"), &layout.wiring("node1", "eth0")).unwrap();
        assert_eq!(stray_namespaces(&layout).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_half_made_node_goes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new("no-such-cluster-here", dir.path());
        root::lay_out(&layout.node("node1")).unwrap();
        remove_node(&layout.node("node1"), &layout.wiring("node1", "eth0")).unwrap();
        assert!(!layout.node("node1").0.exists());
    }

    #[test]
    fn a_cgroup_list_of_another_boot_is_not_obeyed() {
        let dir = tempfile::tempdir().unwrap();
        // Stands for /sys/fs/cgroup, where by now a cluster of another state directory has a node of this name.
        let cluster = dir.path().join("cgroup/ha-demo");
        let group = cluster.join("node1");
        std::fs::create_dir_all(&group).unwrap();
        let layout = Layout::new("no-such-cluster-here", dir.path());
        let node = layout.node("node1");
        for boot in ["", "00000000-0000-4000-8000-000000000000\n"] {
            let mut other = std::process::Command::new("sleep")
                .arg("600")
                .spawn()
                .unwrap();
            std::fs::write(group.join("cgroup.procs"), other.id().to_string()).unwrap();
            make_dir(&node.0, 0o700).unwrap();
            let list = format!("{boot}{}\n{}\n", cluster.display(), group.display());
            std::fs::write(node.join(NodeDir::CGROUPS), list).unwrap();
            let file = std::fs::File::options()
                .write(true)
                .open(node.join(NodeDir::CGROUPS));
            file.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            let removed = remove_node(&node, &layout.wiring("node1", "eth0"));
            let lives = other.try_wait().unwrap().is_none();
            other.kill().unwrap();
            other.wait().unwrap();
            assert!(lives, "a stranger's process was killed: {removed:?}");
            removed.unwrap();
            assert!(!node.0.exists());
        }
    }
}
