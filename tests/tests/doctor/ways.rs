//! What stands between pods and what they live on, and between the nodes: questions of pods that are dropped while their node's own
//! pass, and the real firewalld with the zone that it comes with.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::{Told, status_tells};
use ha_tests::lab::workspace_root;
use ha_tests::node::ClusterNode;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::run_to_end;
use ha_tests::story::Story;
use serde_json::Value;

use super::{DoctorReport, SEEN, ensure_named, is_well, run_doctor};

/// Packages are fetched and packed once.
const PACKED: Duration = Duration::from_secs(600);
/// What is the cluster's is told within this.
const OF_CLUSTER: Duration = Duration::from_secs(60);
/// An agent asks for pods once in a third of a minute.
const ASKED: Duration = Duration::from_secs(60);
/// firewalld is Python, on two busy cores.
const FIREWALLD: Duration = Duration::from_secs(60);

/// A hook that the node's own questions never pass.
const CUT: &str = "nft add table inet e2e && nft 'add chain inet e2e pods { type filter hook forward priority -5; }' && \
                   nft add rule inet e2e pods iifname cni0 udp dport 53 drop";
const HEAL: &str = "nft delete table inet e2e";

/// A system extension brings no files of /etc, and the bus has read its rules before it was merged.
const START: &str = "cp -a /usr/share/firewalld-etc /etc/firewalld && systemctl reload dbus && systemctl enable --now firewalld && \
                     firewall-cmd --get-default-zone | grep -qx public";
/// The remedy that doctor prints beside `systemctl disable --now firewalld`.
const ALLOW: [&str; 3] = [
    "firewall-cmd --permanent --zone=trusted --add-source=10.77.0.0/24 --add-source=10.244.0.0/16",
    "firewall-cmd --permanent --add-port=6444/tcp",
    "firewall-cmd --reload",
];

#[test]
#[ignore = "a cluster of its own: make test-faults"]
fn what_stands_in_the_way_of_pods_and_nodes_is_named() {
    let story = Story::new("doctor's ways");
    let firewalld = story.step("firewalld is packed", firewalld_sysext);
    let cluster = story.step("the lab is there", || {
        let plan = ClusterPlan::new("e2e-ways", 3, 0).with_extension("firewalld", firewalld);
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("a pod on node2; all is well, exit code 0", || {
        cluster.kube().idle_pod("e2e-asks", "node2")?;
        is_well(&cluster)
    });
    pods_that_dns_does_not_hear_are_named(&story, &cluster);
    firewalld_is_named(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn pods_that_dns_does_not_hear_are_named(story: &Story, cluster: &Cluster) {
    let node = cluster.node("node2");
    let is_answered = || pods_are_answered(node);
    story.step("cluster DNS answers a pod of node2", is_answered);
    story.step(
        "pods of node2 are cut off from DNS, node2 is not: told",
        || {
            node.sh(CUT)?;
            let cut = Told::begin(
                "pods that cluster DNS does not answer",
                "cluster DNS answers node2 itself and none of its pods",
                OF_CLUSTER,
            );
            let told = status_tells(story, cluster, &[cut]);
            let named = wait_until("it is named", SEEN, || {
                let report = run_doctor(cluster)?;
                let words = [
                    "and none of its pods",
                    "no answer within 2 s to kubernetes.default.svc",
                    "nsenter --net=/run/netns/cni-",
                    "forward",
                    "NetworkPolicy",
                ];
                ensure_named(&report, Some("node2"), "dns", &words)
            });
            node.sh(HEAL)?;
            told.and(named)
        },
    );
    story.step("they are heard again: all is well", || {
        is_answered()?;
        is_well(cluster)
    });
}

/// By the agent's own word.
fn pods_are_answered(node: ClusterNode<'_>) -> Result<()> {
    wait_until("a pod of node2 is answered", ASKED, || {
        let done = node.run(&["ha-agent", "status", "--json"], OF_CLUSTER)?;
        let status: Value = serde_json::from_str(&done.stdout)?;
        let error = status["dnsInPods"]["answer"]["error"].as_str();
        let error = error.context("no pod was asked for")?;
        ensure!(error.is_empty(), "{error}");
        Ok(())
    })
}

/// As Debian ships it: with the zone `public`, which lets in ssh, DHCP's answers and pings.
fn firewalld_is_named(story: &Story, cluster: &Cluster) {
    let node = cluster.node("node3");
    story.step(
        "the real firewalld runs on node3: named at every end",
        || {
            node.run(&["sh", "-c", START], FIREWALLD)?.ok()?;
            let shut = Told::begin(
                "firewalld on a control plane",
                "node3's apiserver: Host unreachable",
                OF_CLUSTER,
            );
            status_tells(story, cluster, &[shut])?;
            wait_until("it is named", SEEN, || is_named(&run_doctor(cluster)?))
        },
    );
    the_printed_cure_lets_pass(story, cluster, node);
    story.step(
        "it is disabled as doctor says: nothing is left, and the cluster goes on",
        || {
            node.run(&["systemctl", "disable", "--now", "firewalld"], FIREWALLD)?
                .ok()?;
            is_well(cluster)?;
            cluster.all_steady(SEEN)?;
            let report = run_doctor(cluster)?;
            ensure!(ensure_named(&report, Some("node3"), "firewalld", &[]).is_err());
            Ok(())
        },
    );
}

fn the_printed_cure_lets_pass(story: &Story, cluster: &Cluster, node: ClusterNode<'_>) {
    story.step(
        "nodes and pods are trusted as doctor says: only its name is left",
        || {
            allow_in_firewall(node)?;
            is_well(cluster)?;
            pods_reach_each_other(cluster)?;
            let report = run_doctor(cluster)?;
            ensure_named(
                &report,
                Some("node3"),
                "firewalld",
                &["firewalld is active"],
            )?;
            ensure!(ensure_named(&report, Some("node3"), "firewall rules", &[]).is_err());
            Ok(())
        },
    );
}

fn is_named(report: &DoctorReport) -> Result<()> {
    let words = [
        "firewalld is active",
        "firewall-cmd --list-all",
        "systemctl disable --now firewalld",
    ];
    ensure_named(
        report,
        Some("node3"),
        "firewalld",
        &[&words[..], &ALLOW].concat(),
    )?;
    let words = [
        "nft inet firewalld filter_INPUT",
        "TCP port 2379",
        "VRRP",
        "nft list ruleset",
    ];
    ensure_named(report, Some("node3"), "firewall rules", &words)?;
    for from in ["node1", "node2"] {
        for port in [2379, 2380, 6443, 10250] {
            let (port, show) = (format!("port {port} "), format!("nc -zv 10.77.0.13 {port}"));
            // The kernel sends few refusals a second: some of the ports are silent.
            let words = [&port[..], "a firewall ", "nft list ruleset", &show];
            ensure_named(report, None, &format!("{from} to node3"), &words)?;
        }
    }
    Ok(())
}

fn allow_in_firewall(node: ClusterNode<'_>) -> Result<()> {
    for order in ALLOW {
        node.run(&["sh", "-c", order], FIREWALLD)?.ok()?;
    }
    Ok(())
}

/// One of node2 and one behind the firewall of node3, by their own addresses.
fn pods_reach_each_other(cluster: &Cluster) -> Result<()> {
    let kube = cluster.kube();
    kube.idle_pod("e2e-behind", "node3")?;
    let pod = kube.get(&["pod", "e2e-behind"])?;
    let address = pod["status"]["podIP"].as_str().context("no address")?;
    let busybox = "/usr/local/bin/busybox";
    let answers = format!("{busybox} nc -ll -p 8080 -e {busybox} echo here");
    let listener = kube.start_in_pod("e2e-behind", &answers)?;
    wait_until("a pod of node3 answers one of node2", ASKED, || {
        let ask = format!("{busybox} nc -w 2 {address} 8080 < /dev/null");
        let said = kube.in_pod("e2e-asks", &ask, ASKED)?;
        ensure!(said.trim() == "here", "{said:?}");
        Ok(())
    })?;
    drop(listener);
    Ok(())
}

/// Debian's own, made once and kept beside the lab's parts.
fn firewalld_sysext() -> Result<PathBuf> {
    let made = run_to_end(
        Command::new(workspace_root().join("tests/firewalld.sh")),
        PACKED,
    )?
    .ok()?;
    Ok(made.stdout.trim().into())
}
