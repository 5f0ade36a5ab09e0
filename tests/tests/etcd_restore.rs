//! What docs/state.md says of etcd's snapshot and its restoring, run line by line: what was there at the snapshot is there again, and
//! nothing that came after it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::documented::{bring_file, command_blocks, run_by_operator, run_on_node};
use ha_tests::eventually::wait_until;
use ha_tests::health::nothing_is_wrong;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::FinishedProcess;
use ha_tests::story::Story;

/// Where the steps are written.
const DOCUMENT: &str = "docs/state.md";
const SECTION: &str = "## etcd: snapshot and restore";
/// The control plane that the cluster is restored on.
const RESTORED: &str = "node1";
/// Its address there.
const WRITTEN_ADDRESS: &str = "10.77.0.11";
/// Until the API answers out of what was restored: half a minute, on two busy cores.
const ANSWERS: Duration = Duration::from_secs(120);
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);

#[test]
#[ignore = "two launches and a restore (a minute and a half): make test-faults"]
fn a_snapshot_is_restored_as_the_docs_say() {
    let story = Story::new("etcd_restore");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-restore", 3, 1))
    });
    let [snapshot_steps, restore_steps] = story.step("the steps are in the docs", || {
        command_blocks(DOCUMENT, SECTION)
    });
    story.step("launch", || cluster.launch(&[])?.ok());
    story.step("a snapshot of what is there", || {
        make_config_map(&cluster, "before")?;
        let done = run_by_operator(&cluster, &snapshot_steps)?;
        let sums: Vec<&str> = done.stdout.lines().filter_map(sha256_of).collect();
        ensure!(sums.len() == 2 && sums[0] == sums[1], "{}", done.tail(5));
        make_config_map(&cluster, "after")
    });
    story.step("the other control planes go off", || {
        other_control_planes(&cluster)
            .iter()
            .try_for_each(|name| cluster.node(name).power("off"))
    });
    story.step("the snapshot is restored on the one that is left", || {
        let done = restore(&cluster, &restore_steps)?;
        story.note(&done.tail(6));
        wait_until("the API answers", ANSWERS, || {
            is_as_at_the_snapshot(&cluster)
        })
    });
    story.step("the others are made anew, and join", || {
        let configs = cluster.dir().join("restored-configs");
        let (file, out) = (
            cluster.file().display().to_string(),
            configs.display().to_string(),
        );
        cluster
            .ha_host(&["render", &file, "--out", &out], LOOK)?
            .ok()?;
        for name in other_control_planes(&cluster) {
            cluster.remake(&name, &configs.join(format!("{name}.ign")))?;
        }
        fs::remove_dir_all(&configs)?;
        cluster.launch(&[])?.ok()
    });
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step("it is what it was at the snapshot", || {
        is_as_at_the_snapshot(&cluster)
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn sha256_of(line: &str) -> Option<&str> {
    line.split_whitespace().next().filter(|sum| sum.len() == 64)
}

/// With the node's own address.
fn restore(cluster: &Cluster, steps: &str) -> Result<FinishedProcess> {
    let snapshot = cluster.dir().join("snapshot.db");
    bring_file(cluster, RESTORED, &snapshot, "/var/lib/snapshot.db")?;
    let nodes = cluster.plan().nodes();
    let node = nodes.iter().find(|(name, _, _)| name == RESTORED);
    let (_, _, address) = node.context("no such node")?;
    let steps = steps.replace(WRITTEN_ADDRESS, &address.to_string());
    run_on_node(cluster, RESTORED, &steps)
}

fn other_control_planes(cluster: &Cluster) -> Vec<String> {
    let mut names = cluster.control_planes();
    names.retain(|name| name != RESTORED);
    names
}

fn make_config_map(cluster: &Cluster, name: &str) -> Result<()> {
    cluster
        .kube()
        .ctl(&["create", "configmap", name, "--from-literal=is=here"])
        .map(drop)
}

fn is_as_at_the_snapshot(cluster: &Cluster) -> Result<()> {
    let maps = cluster.kube().ctl(&["get", "configmaps", "-o", "name"])?;
    let has = |name: &str| maps.lines().any(|line| line == format!("configmap/{name}"));
    ensure!(has("before") && !has("after"), "{maps}");
    Ok(())
}
