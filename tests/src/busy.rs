//! Machines whose processors are all taken: the VIP stays where it is.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::node::ClusterNode;
use crate::story::Story;

/// On each of three control planes: 66 in all, far more than any machine of the lab has processors for.
const LOOPS_PER_NODE: usize = 22;
/// Long enough for hundreds of adverts.
const HOW_LONG: Duration = Duration::from_secs(60);
/// From a balancer that has started to one that has settled, and for what a starved node takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What keepalived says when it takes the VIP.
const TAKES_THE_VIP: &str = "Entering MASTER";
/// The policies of keepalived's processes.
const POLICIES: &str =
    "for pid in $(pidof keepalived); do cut -d' ' -f41 /proc/$pid/stat; done | sort -u";
/// `SCHED_RR` among them.
const REAL_TIME: &str = "2";

/// Nothing is killed and nobody is cut off: no reason to move.
pub fn busy_nodes_keep_the_holder(story: &Story, cluster: &Cluster) {
    let names = cluster.control_planes();
    story.step("keepalived is scheduled in real time on every node", || {
        for name in &names {
            let policies = cluster.node(name).sh(POLICIES)?;
            let in_real_time = policies.lines().any(|policy| policy == REAL_TIME);
            ensure!(in_real_time, "{name}: policies {policies:?}");
        }
        Ok(())
    });
    let holder = story.step("one node holds the VIP", || {
        wait_until("one holder", PATIENCE, || cluster.vip_holder())
    });
    let what = format!("busy loops for {} s: {holder} keeps it", HOW_LONG.as_secs());
    story.step(&what, || {
        let since = cluster.node(&holder).sh("date +@%s.%N")?;
        all_busy(cluster, &names)?;
        let script = format!(
            "journalctl --no-pager -o cat -u keepalived --since {}",
            since.trim()
        );
        for name in &names {
            let said = cluster.node(name).sh(&script)?;
            let taken = said.lines().filter(|l| l.contains(TAKES_THE_VIP)).count();
            ensure!(taken == 0, "{name} took the VIP {taken} times:\n{said}");
        }
        let now = cluster.vip_holder()?;
        ensure!(now == holder, "{now} holds it");
        Ok(())
    });
}

/// All nodes at once, until their loops have ended.
fn all_busy(cluster: &Cluster, names: &[String]) -> Result<()> {
    thread::scope(|scope| {
        let busy = |name: &String| {
            let node = name.clone();
            scope.spawn(move || run_loops(&cluster.node(&node)))
        };
        let threads: Vec<_> = names.iter().map(busy).collect();
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow!("a thread that keeps a node busy has panicked"))??;
        }
        Ok(())
    })
}

/// Loops in the node's own cgroup that `timeout` ends, whatever becomes of the test.
fn run_loops(node: &ClusterNode) -> Result<()> {
    let one = format!(
        "timeout {} sh -c 'while :; do :; done' &",
        HOW_LONG.as_secs()
    );
    let script = format!("for i in $(seq {LOOPS_PER_NODE}); do {one} done; wait");
    let done = node.run(&["sh", "-c", &script], HOW_LONG + PATIENCE)?;
    done.ok().map(drop)
}
