//! `kubernetes.proxy: iptables`: pods, services, DNS and NodePorts by the rules that kube-proxy writes in that mode. nftables is what every
//! other test has. ipvs cannot be looked at in containers of a host whose kernel has no IPVS.

use std::fs;

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::pod_network::{a_server_on_every_node, serves_everywhere};
use ha_tests::story::Story;

/// The lab's image of kube-proxy has nft alone: the node's own iptables is lent to it. The founder applies it over kubeadm's.
const IPTABLES: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system}
spec:
  template:
    spec:
      containers:
        - name: kube-proxy
          volumeMounts:
            - {name: host-sbin, mountPath: /usr/sbin, readOnly: true}
            - {name: host-lib, mountPath: /usr/lib, readOnly: true}
            - {name: host-alternatives, mountPath: /etc/alternatives, readOnly: true}
      volumes:
        - {name: host-sbin, hostPath: {path: /usr/sbin}}
        - {name: host-lib, hostPath: {path: /usr/lib}}
        - {name: host-alternatives, hostPath: {path: /etc/alternatives}}
";

#[test]
#[ignore = "a further launch (a minute): make test-options"]
fn services_are_iptables_rules() {
    let story = Story::new("options_kube_proxy");
    let manifests = tempfile::tempdir().unwrap();
    let iptables = manifests.path().join("iptables.yaml");
    fs::write(&iptables, IPTABLES).unwrap();
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
