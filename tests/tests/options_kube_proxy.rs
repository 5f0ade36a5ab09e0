//! `kubernetes.proxy: iptables`: pods, services, DNS and NodePorts by the rules that kube-proxy writes in that mode. nftables is what every
//! other test has; ipvs is looked at in a virtual machine (vm.rs), whose kernel has it.

use std::fs;

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::pod_network::{a_server_on_every_node, serves_everywhere};
use ha_tests::services::KUBE_PROXY_WITH_NODES_PROGRAMS;
use ha_tests::story::Story;

#[test]
#[ignore = "a further launch (a minute): make test-options"]
fn services_are_iptables_rules() {
    let story = Story::new("options_kube_proxy");
    let manifests = tempfile::tempdir().unwrap();
    let iptables = manifests.path().join("iptables.yaml");
    fs::write(&iptables, KUBE_PROXY_WITH_NODES_PROGRAMS).unwrap();
    let network = Lab::default().network();
    let manifests = format!("[{}, {}]", network.display(), iptables.display());
    let plan = ClusterPlan {
        network: Some(format!("proxy: iptables, cni: {{manifests: {manifests}}}")),
        ..ClusterPlan::new("e2e-iptables", 1, 1)
    };
    let cluster = story.step("the lab is there", || Cluster::new(plan));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    a_server_on_every_node(&story, &cluster);
    serves_everywhere(&story, &cluster, "with iptables");
    story.step(
        "the service is a chain of iptables, and no table of nft's kube-proxy",
        || {
            for node in ["node1", "node2"] {
                let rules = cluster
                    .node(node)
                    .sh("iptables-save -t nat; nft list tables")?;
                let is_it =
                    rules.contains("default/web cluster IP") && !rules.contains("ip kube-proxy");
                ensure!(is_it, "{node}: {rules}");
            }
            Ok(())
        },
    );
    story.step("destroy leaves nothing", || cluster.destroy());
}
