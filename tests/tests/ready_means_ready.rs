//! Ready means ready: what is broken on standing control planes is said by their own agents, and a Node object that somebody
//! deletes comes back as this product made it. The faults overlap: each takes its time to be a fault.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::eventually;
use ha_tests::node::ClusterNode;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;
use ha_wire::status::{Answer, PhaseState, Status};

/// From a fault of one node to its agent's word, on two busy cores.
const SAID: Duration = Duration::from_secs(60);
/// From a deleted Node to a new one with all that it had: a minute's patience, and a kubelet's start.
const BACK: Duration = Duration::from_secs(150);
/// A command on a node.
const LOOK: Duration = Duration::from_secs(20);

/// Leaves /run as full as it can be, and undoes it.
const FILL_RUN: &str = "used=$(df -k --output=used /run | tail -n 1)
mount -o remount,size=$((used + 256))k /run
dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null; test -s /run/filler";
const EMPTY_RUN: &str = "rm /run/filler && mount -o remount,size=64m /run";

#[test]
#[ignore = "five minutes: make test-faults"]
fn what_is_broken_is_said_and_a_deleted_node_comes_back() {
    let story = Story::new("ready means ready");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-ready", 3, 0))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("every node was answered by what it lives on", || {
        cluster.all_steady(BACK)?;
        eventually("good answers", SAID, || are_answered(&cluster))
    });
    // Of the highest priority: another one gives way to the peer who cannot hear it.
    let holder = story.step("node1 holds the VIP", || moved_to(&cluster, "node1"));
    let names = cluster.control_planes();
    let other = names.iter().rfind(|name| **name != holder).unwrap();
    let (holder, other) = (cluster.node(&holder), cluster.node(other));
    story.step(
        "the founder's Node and all of CoreDNS are taken away",
        || {
            cluster.kube().ctl(&["delete", "node", "node1"])?;
            scale_dns(&cluster, 0)
        },
    );
    story.step("a hanging runtime is said", || {
        other.sh("systemctl kill -s STOP --kill-whom=main containerd")?;
        let said = is_said(other, "answers no CRI call");
        other.sh("systemctl kill -s CONT --kill-whom=main containerd")?;
        said
    });
    let rule = |order: &str| format!("iptables -w {order} OUTPUT -p 112 -j DROP");
    story.step("a holder that nobody hears quotes its keepalived", || {
        holder.sh(&rule("-I"))?;
        let said = is_said(holder, "Cant send advert");
        holder.sh(&rule("-D"))?;
        said
    });
    story.step("cluster DNS that does not answer is said", || {
        is_said(other, "cluster DNS does not resolve")?;
        scale_dns(&cluster, 2)
    });
    story.step("node1 is back with its label and its taint", || {
        eventually("node1's Node", BACK, || is_marked(&cluster, "node1"))
    });
    words_grow_old(&story, holder);
    story.step("all of it is over, and every node says so", || {
        cluster.all_steady(BACK)
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// The others have no keepalived for a moment.
fn moved_to(cluster: &Cluster, name: &str) -> Result<String> {
    let planes = cluster.control_planes();
    let on_others = |order: &str| {
        let mut others = planes.iter().filter(|other| *other != name);
        others.try_for_each(|other| cluster.node(other).sh(order).map(drop))
    };
    on_others("systemctl mask --runtime --now keepalived 2>&1")?;
    let moved = eventually("the holder", SAID, || {
        let holder = cluster.vip_holder()?;
        ensure!(holder == name, "{holder} holds it");
        Ok(holder)
    });
    on_others("systemctl unmask --runtime keepalived 2>&1; systemctl start keepalived")?;
    moved
}

fn are_answered(cluster: &Cluster) -> Result<()> {
    for name in cluster.control_planes() {
        let (status, _) = cluster.node(&name).status()?;
        for answer in [&status.service, &status.dns, &status.runtime] {
            let is_good = |a: &Answer| a.error.is_empty();
            ensure!(answer.as_ref().is_some_and(is_good), "{name}: {answer:?}");
        }
        let etcd = status.etcd.context("no word of etcd")?;
        ensure!(
            etcd.database_bytes.is_some() && etcd.quota_bytes == Some(2 << 30),
            "{etcd:?}"
        );
    }
    Ok(())
}

/// A person sees it, by its words and by the exit code.
fn is_said(node: ClusterNode<'_>, words: &str) -> Result<()> {
    eventually(&format!("{words:?}"), SAID, || {
        let (status, code): (Status, _) = node.status()?;
        let said = status.faults.iter().any(|fault| fault.contains(words));
        ensure!(
            said && status.state == PhaseState::Degraded && code == Some(1),
            "{code:?} {status:?}"
        );
        Ok(())
    })
}

fn scale_dns(cluster: &Cluster, pods: u32) -> Result<()> {
    let pods = format!("--replicas={pods}");
    let scale = ["-n", "kube-system", "scale", "deployment", "coredns", &pods];
    cluster.kube().ctl(&scale).map(drop)
}

fn is_marked(cluster: &Cluster, name: &str) -> Result<()> {
    let node = cluster.kube().get(&["node", name])?;
    let labels = &node["metadata"]["labels"];
    for label in [
        "node-role.kubernetes.io/control-plane",
        "node.kubernetes.io/exclude-from-external-load-balancers",
    ] {
        ensure!(labels[label].is_string(), "{label} is missing: {labels}");
    }
    let taints = node["spec"]["taints"].as_array().context("no taints")?;
    let is_marked = |t: &serde_json::Value| {
        t["key"] == "node-role.kubernetes.io/control-plane" && t["effect"] == "NoSchedule"
    };
    ensure!(taints.iter().any(is_marked), "{taints:?}");
    Ok(())
}

fn words_grow_old(story: &Story, node: ClusterNode<'_>) {
    story.step("words that cannot be written are old words", || {
        node.sh(FILL_RUN)?;
        let old = eventually("old words", SAID, || {
            let told = node.run(&["ha-agent", "status"], LOOK)?;
            ensure!(
                told.code == Some(1) && told.stdout.contains("not heard of since"),
                "{:?} {}",
                told.code,
                told.stdout
            );
            Ok(())
        });
        node.sh(EMPTY_RUN)?;
        old
    });
}
