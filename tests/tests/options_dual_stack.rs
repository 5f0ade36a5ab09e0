//! A cluster with IPv4 and IPv6 beside each other: nodes, pods and services.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::health::nothing_is_wrong;
use ha_tests::plan::{API_PORT, ClusterPlan};
use ha_tests::pod_network::{self, dual_stack};
use ha_tests::story::Story;

/// `ha-host status` after a good launch.
const LOOK: Duration = Duration::from_secs(60);

#[test]
#[ignore = "a launch of its own: make test-options"]
fn a_cluster_of_both_families_serves_by_either() {
    serves_by_either("dual-stack", ClusterPlan::new("e2e-dual", 1, 1));
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn a_cluster_with_ipv6_before_ipv4_serves_by_either() {
    let plan = ClusterPlan::new("e2e-dual6", 1, 1).of_ipv6();
    serves_by_either("dual-stack, IPv6 first", plan);
}

fn serves_by_either(name: &str, plan: ClusterPlan) {
    let story = Story::new(name);
    let cluster = story.step("the lab is there", || Cluster::new(plan.of_both_families()));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("the apiserver's certificate has both addresses", || {
        certificate_has_both(&cluster)
    });
    pod_network::a_server_on_every_node(&story, &cluster);
    dual_stack::both_families_serve(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "after the launch");
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn certificate_has_both(cluster: &Cluster) -> Result<()> {
    let (name, _, first) = cluster.plan().nodes().remove(0);
    for address in [Some(first), cluster.plan().second_address(first)] {
        let at = SocketAddr::new(address.context("not of two families")?, API_PORT);
        let curl = format!("curl -fsS --cacert /etc/kubernetes/pki/ca.crt https://{at}/readyz");
        let answer = cluster.node(&name).sh(&curl)?;
        ensure!(answer == "ok", "{at}: {answer}");
    }
    Ok(())
}
