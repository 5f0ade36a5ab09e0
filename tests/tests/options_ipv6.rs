//! A cluster without IPv4: nodes, VIP, pods and services.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::health::nothing_is_wrong;
use ha_tests::kube::all_voters;
use ha_tests::plan::ClusterPlan;
use ha_tests::pod_network;
use ha_tests::probe::while_its_holder_is_away;
use ha_tests::services;
use ha_tests::story::Story;

/// `ha-host status` after a good launch.
const LOOK: Duration = Duration::from_secs(60);
/// A node is back, on two cores.
const BACK: Duration = Duration::from_secs(180);
/// Routes and addresses of this kind on a node, but for the loopback's.
const IPV4: &str = "ip -4 -o address show scope global; ip -4 route";

#[test]
#[ignore = "a launch of its own: make test-options"]
fn a_cluster_of_ipv6_alone_serves() {
    let story = Story::new("ipv6");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-ipv6", 3, 1).of_ipv6())
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("etcd has three started voters", || {
        all_voters(&cluster, "node1", &cluster.control_planes())
    });
    story.step("no node has an IPv4 address or route", || {
        let names = cluster.plan().nodes().into_iter().map(|node| node.0);
        names.into_iter().try_for_each(|name| {
            let seen = cluster.node(&name).sh(IPV4)?;
            ensure!(seen.is_empty(), "{name}: {seen}");
            Ok(())
        })
    });
    every_address_is_of_ipv6(&story, &cluster);
    services::dns_is_spread(&story, &cluster);
    services::kube_proxy_restarts(&story, &cluster);
    pod_network::a_server_on_every_node(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "after the launch");
    nothing_is_wrong(&story, &cluster, LOOK);
    loses_its_holder(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// Of nodes, pods and services as the API shows them.
fn every_address_is_of_ipv6(story: &Story, cluster: &Cluster) {
    const WHERE: [(&str, &str); 3] = [
        (
            "nodes",
            "{.items[*].status.addresses[?(@.type=='InternalIP')].address}",
        ),
        ("pods", "{.items[*].status.podIPs[*].ip}"),
        ("services", "{.items[*].spec.clusterIPs[*]}"),
    ];
    for (what, path) in WHERE {
        let seen = story.step(&format!("every address of {what} is of IPv6"), || {
            let seen =
                cluster
                    .kube()
                    .ctl(&["get", what, "-A", "-o", &format!("jsonpath={path}")])?;
            let all: Result<Vec<std::net::Ipv6Addr>, _> =
                seen.split_whitespace().map(str::parse).collect();
            ensure!(all.is_ok_and(|all| !all.is_empty()), "{seen}");
            Ok(seen)
        });
        story.note(&seen);
    }
}

fn loses_its_holder(story: &Story, cluster: &Cluster) {
    let holder = while_its_holder_is_away(story, cluster, BACK);
    let others: Vec<String> = cluster.control_planes();
    let other = others.iter().find(|name| **name != holder).cloned();
    let other = other.unwrap_or_default();
    story.step("etcd has three started voters again", || {
        all_voters(cluster, &other, &cluster.control_planes())
    });
}
