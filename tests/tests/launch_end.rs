//! A launch that says ready is ready: it ends once every node is answered by cluster DNS, and says what it waits for until then.

use std::time::Duration;

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

/// To the word of a launch, on two busy cores.
const SAID: Duration = Duration::from_secs(300);
/// A look at a cluster.
const LOOK: Duration = Duration::from_secs(30);
/// Nobody on the node is answered by cluster DNS until a person mends it.
const WITHOUT_DNS: &str = "[Unit]
Description=No route to cluster DNS
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/ip route add unreachable 10.96.0.10
[Install]
WantedBy=multi-user.target
";
const WITH_DNS: &str = "ip route del unreachable 10.96.0.10";
const WAITS: &str = "waiting for cluster DNS to answer node1 and node2";

#[test]
fn a_launch_ends_once_every_node_is_answered_by_cluster_dns() {
    let story = Story::new("a launch's end");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-end", 1, 1);
        let config = IgnitionConfig::default().unit("without-dns.service", true, WITHOUT_DNS);
        let dir = workspace_root().join("target/e2e");
        plan.merge.push(config.write(&dir, &plan.name)?);
        Cluster::new(plan)
    });
    let launch = story.step("no node is answered: it waits, and says for what", || {
        let launch = cluster.start_launch(&[])?;
        wait_until("its words", SAID, || {
            let said = launch.so_far();
            ensure!(said.contains(WAITS), "{said}");
            Ok(())
        })?;
        Ok(launch)
    });
    story.step("they are answered: it ends without a warning", || {
        for name in ["node1", "node2"] {
            cluster.node(name).sh(WITH_DNS)?;
        }
        let done = cluster.end_launch(launch)?.ok()?;
        ensure!(!done.stderr.contains("cluster DNS"), "{}", done.stderr);
        Ok(())
    });
    story.step("`ha-host status` right behind it finds nothing", || {
        cluster.ha_host(&["status", cluster.name()], LOOK)?.ok()
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}
