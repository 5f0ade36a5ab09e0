//! A worker that the cluster file gets when the cluster stands: `launch` again makes it alone, and it joins with an identity of its
//! own; then it is taken away again.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::health::nothing_is_wrong;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);

#[test]
#[ignore = "a further launch (half a minute): make test-options"]
fn a_worker_may_come_later() {
    let story = Story::new("options_late_worker");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-late-worker", 1, 1))
    });
    let whole = story.step("launch of the control plane alone", || {
        let whole = fs::read_to_string(cluster.file())?;
        fs::write(cluster.file(), without_worker(&whole)?)?;
        cluster.launch(&[])?.ok()?;
        are_there(&cluster, &["node1"])?;
        Ok(whole)
    });
    story.step("the worker is added: launch makes it alone", || {
        let before = boot_of(&cluster)?;
        fs::write(cluster.file(), &whole)?;
        cluster.launch(&[])?.ok()?;
        are_there(&cluster, &["node1", "node2"])?;
        ensure!(boot_of(&cluster)? == before, "node1 was started anew");
        Ok(())
    });
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step(
        "a worker that the file has no more is named, and stays",
        || {
            fs::write(cluster.file(), without_worker(&whole)?)?;
            let done = cluster.launch(&[])?.expect_exit_code(2)?;
            story.note(&done.stderr);
            fs::write(cluster.file(), &whole)?;
            are_there(&cluster, &["node1", "node2"])
        },
    );
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn without_worker(whole: &str) -> Result<String> {
    let is_kept = |line: &&str| !line.contains("name: node2");
    let kept: Vec<&str> = whole.lines().filter(is_kept).collect();
    ensure!(kept.len() + 1 == whole.lines().count(), "{whole}");
    Ok(kept.join("\n") + "\n")
}

fn are_there(cluster: &Cluster, wanted: &[&str]) -> Result<()> {
    let nodes = cluster.kube().ctl(&["get", "nodes", "-o", "name"])?;
    let names: Vec<&str> = nodes
        .lines()
        .filter_map(|l| l.strip_prefix("node/"))
        .collect();
    ensure!(names == wanted, "{names:?}");
    Ok(())
}

/// Of node1's agent's process: another one was started anew.
fn boot_of(cluster: &Cluster) -> Result<String> {
    let node = cluster.node("node1");
    node.sh("systemctl show ha-agent.service -P MainPID -P NRestarts; systemctl show -P UserspaceTimestamp")
}
