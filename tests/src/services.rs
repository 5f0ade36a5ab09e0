//! Service addresses and DNS, seen from pods: where CoreDNS runs, and what is left when kube-proxy starts anew.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::health::{Told, status_tells};
use crate::kube::PodSeen;
use crate::story::Story;

/// The label of CoreDNS' pods.
const DNS: &str = "k8s-app=kube-dns";
/// The label of kube-proxy's pods.
const PROXY: &str = "k8s-app=kube-proxy";
/// A pod is deleted, replaced and Ready, on two cores.
const REPLACED: Duration = Duration::from_secs(60);
/// What is the cluster's is told within this.
const TOLD: Duration = Duration::from_secs(60);
/// From a kube-proxy that has written its rules to an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Succeeds once this life of kube-proxy has written its rules: before that the rules of its last life still serve.
const RULES_WRITTEN: &str = "curl -fsS --max-time 5 http://localhost:10249/metrics | \
                             grep '^kubeproxy_sync_proxy_rules_last_timestamp_seconds{'";

/// The lab's image of kube-proxy has nft alone: the node's own iptables and ipset are lent to it. To be applied over kubeadm's.
pub const KUBE_PROXY_WITH_NODES_PROGRAMS: &str = "
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

/// No single node is the cluster's DNS.
pub fn dns_is_spread(story: &Story, cluster: &Cluster) {
    story.step("CoreDNS serves on two nodes", || {
        wait_until("CoreDNS on two nodes", REPLACED, || {
            let pods = cluster.kube().system_pods(DNS)?;
            let nodes: BTreeSet<&str> = pods
                .iter()
                .filter(|p| p.ready)
                .map(|p| p.node.as_str())
                .collect();
            ensure!(nodes.len() >= 2, "{pods:?}");
            Ok(())
        })
    });
}

/// Row 10 of the reports. No agent moves a pod that the scheduler put where it is while it had a choice.
pub fn dns_on_one_node_is_told(story: &Story, cluster: &Cluster) {
    let kube = cluster.kube();
    story.step("all of CoreDNS runs on node1: told", || {
        kube.ctl(&["cordon", "node2", "node3"])?;
        restart_dns(cluster)?;
        wait_until("both pods have their place", REPLACED, || {
            let pods = kube.system_pods(DNS)?;
            let there = pods.iter().filter(|p| p.node == "node1").count();
            ensure!(there == 2 && pods.len() == 2, "{pods:?}");
            Ok(())
        })?;
        let crowded = Told::begin(
            "all of CoreDNS on one node",
            "all 2 pods of CoreDNS run on node1",
            TOLD,
        );
        kube.ctl(&["uncordon", "node2", "node3"])?;
        status_tells(story, cluster, &[crowded])?;
        // As its finding says.
        let remedy = [
            "-n",
            "kube-system",
            "rollout",
            "restart",
            "deployment",
            "coredns",
        ];
        kube.ctl(&remedy).map(drop)
    });
    dns_is_spread(story, cluster);
}

/// Every pod of CoreDNS is replaced, at once.
pub fn restart_dns(cluster: &Cluster) -> Result<()> {
    let delete = [
        "-n",
        "kube-system",
        "delete",
        "pod",
        "-l",
        "k8s-app=kube-dns",
    ];
    let at_once = ["--grace-period=0", "--force"];
    cluster
        .kube()
        .ctl(&[&delete[..], &at_once].concat())
        .map(drop)
}

/// Replaces every kube-proxy pod, then reaches the API from a pod on every node by its service's address and name.
pub fn kube_proxy_restarts(story: &Story, cluster: &Cluster) {
    let nodes: Vec<String> = cluster.plan().nodes().into_iter().map(|n| n.0).collect();
    story.step("a pod on every node", || {
        let start = |node: &String| cluster.kube().idle_pod(&pod_on(node), node);
        nodes.iter().try_for_each(start)
    });
    story.step(
        "every kube-proxy is replaced and has written its rules",
        || {
            replace_kube_proxies(cluster)?;
            for node in &nodes {
                wait_until("kube-proxy's rules", REPLACED, || {
                    cluster.node(node).sh(RULES_WRITTEN)
                })?;
            }
            Ok(())
        },
    );
    let service = cluster.plan().api_service();
    for node in &nodes {
        let what = format!("a pod on {node} reaches {service} and kubernetes.default");
        story.step(&what, || {
            [service.as_str(), "kubernetes.default"]
                .into_iter()
                .try_for_each(|server| asks_api(cluster, node, server))
        });
    }
}

fn pod_on(node: &str) -> String {
    format!("services-{node}")
}

fn replace_kube_proxies(cluster: &Cluster) -> Result<()> {
    let kube = cluster.kube();
    let old = kube.system_pods(PROXY)?;
    for pod in &old {
        kube.ctl(&[
            "delete",
            "pod",
            "-n",
            "kube-system",
            "--wait=false",
            &pod.name,
        ])?;
    }
    wait_until("a new kube-proxy on every node", REPLACED, || {
        let new = kube.system_pods(PROXY)?;
        let replaced = |p: &PodSeen| p.ready && old.iter().all(|o| o.uid != p.uid);
        ensure!(
            new.len() == cluster.plan().nodes().len() && new.iter().all(replaced),
            "{new:?}"
        );
        Ok(())
    })
}

/// What a pod with the lab's image asks the API at this name or address with.
pub(crate) fn readiness_from_pod(server: &str) -> String {
    const SECRETS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    format!(
        "kubectl --request-timeout=5s --server=https://{server} --certificate-authority={SECRETS}/ca.crt \
         --token=$(/usr/local/bin/busybox cat {SECRETS}/token) get --raw /readyz"
    )
}

fn asks_api(cluster: &Cluster, node: &str, server: &str) -> Result<()> {
    let script = readiness_from_pod(server);
    wait_until(&format!("{server} from {node}"), ANSWER, || {
        let answer = cluster.kube().in_pod(&pod_on(node), &script, ANSWER)?;
        ensure!(answer.trim() == "ok", "it answers {answer:?}");
        Ok(())
    })
}
