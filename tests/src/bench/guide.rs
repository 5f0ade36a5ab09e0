//! Guide 000's way to a cluster, on the same machines in the same lab: its keepalived and haproxy configs and its kubeadm
//! units as it gives them, brought by Ignition; no agent. Charitable where the lab forces a change: images are local, the
//! daemons need no image either, and the certificate key that the guide never sets is not asked for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::Figure;
use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::ignition::IgnitionConfig;
use crate::lab::{Lab, workspace_root};
use crate::node::ADMIN_KUBECTL;
use crate::plan::ClusterPlan;

/// Its own retries wait 30 s each.
const DEADLINE: Duration = Duration::from_secs(600);
/// `ha-host launch` leaves at once when it is told to.
const LEAVE: Duration = Duration::from_secs(30);
/// The lab's cgroups: what `ha-agent` writes into the kubelet's configuration.
const KUBELET: &str =
    "KUBELET_EXTRA_ARGS=--cgroup-driver=cgroupfs --fail-swap-on=false --fail-cgroupv1=false\n";
/// The condition Ready of every node, a word each.
const READY: &str =
    "get nodes -o 'jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}'";

/// Launches machines, lets the guide's units make the cluster, measures until five nodes are Ready.
pub fn measure_guide(lab: &Lab) -> Result<Vec<Figure>> {
    let mut plan = ClusterPlan::new("e2e-guide000", 3, 2);
    plan.sysexts.retain(|name| *name != "ha-agent");
    plan.merge
        .push(guide_config(lab)?.write(&workspace_root().join("target/e2e"), "guide000-units")?);
    let cluster = Cluster::new(plan)?;
    let begun = Instant::now();
    let mut launch = cluster.start_launch(&[])?;
    let took = wait_until("five nodes Ready", DEADLINE, || {
        let seen = cluster
            .node("node1")
            .sh(&format!("{ADMIN_KUBECTL} {READY}"))?;
        ensure!(
            seen.split(' ').filter(|w| *w == "True").count() == 5,
            "Ready: {seen}"
        );
        Ok(begun.elapsed())
    });
    if !launch.has_ended()? {
        cluster.interrupt(&launch)?;
        launch.wait(DEADLINE + LEAVE)?;
    }
    match took {
        Ok(took) => {
            cluster.destroy()?;
            let how = "its configs and units, native daemons, images local";
            Ok(vec![Figure::new(
                "guide 000's flow -> five nodes Ready",
                took.as_secs_f64(),
                "s",
                how,
            )])
        }
        Err(error) => {
            crate::post_mortem::write_evidence(&cluster, cluster.dir());
            bail!("the guide's flow came to no end: {error:#}");
        }
    }
}

fn guide_config(lab: &Lab) -> Result<IgnitionConfig> {
    let network = std::fs::read_to_string(lab.network())?;
    let init = include_str!("guide000/kubeadm-init.service").replace("VERSION", &lab.kubernetes());
    let mut config = IgnitionConfig::default()
        .masked("keepalived.service")
        .masked("haproxy.service")
        .file("/etc/sysconfig/kubelet", 0o644, KUBELET)
        .file(
            "/etc/keepalived/check_apiserver.sh",
            0o755,
            include_str!("guide000/check_apiserver.sh"),
        )
        .file(
            "/etc/haproxy/haproxy.cfg",
            0o644,
            include_str!("guide000/haproxy.cfg"),
        )
        .file("/etc/guide/network.yaml", 0o644, &network)
        .unit(
            "guide-keepalived.service",
            true,
            include_str!("guide000/guide-keepalived.service"),
        )
        .unit(
            "guide-haproxy.service",
            true,
            include_str!("guide000/guide-haproxy.service"),
        )
        .unit("kubeadm-init.service", true, &init)
        .unit(
            "network.service",
            true,
            include_str!("guide000/network.service"),
        )
        .unit(
            "kubeadm-join-cp.service",
            true,
            include_str!("guide000/kubeadm-join-cp.service"),
        )
        .unit(
            "kubeadm-join.service",
            true,
            include_str!("guide000/kubeadm-join.service"),
        );
    for (i, priority) in [101, 100, 99].iter().enumerate() {
        let text =
            include_str!("guide000/keepalived.conf").replace("PRIORITY", &priority.to_string());
        config = config.file(&format!("/etc/keepalived/node{}.conf", i + 1), 0o644, &text);
    }
    Ok(config)
}
