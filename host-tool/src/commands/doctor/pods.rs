//! Pods that the scheduler finds no node for, with its own words: a taint, too little memory, no node that is Ready. CoreDNS is
//! the first of them while there is no pod network.

use std::time::Duration;

use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::text::{pluralize, printable_line};
use ha_kube::objects::{List, Pod};
use ha_providers::Provider;
use ha_wire::doctor::{Check, Verdict};

use crate::node_status::run_on_node;

/// kubectl on a control plane, at that node's own apiserver's word.
const GET_PENDING: [&str; 10] = [
    "kubectl",
    "--kubeconfig",
    "/etc/kubernetes/admin.conf",
    "--request-timeout=5s",
    "get",
    "pods",
    "--all-namespaces",
    "--field-selector=status.phase=Pending",
    "--output",
    "json",
];
/// One request, by a program that takes a second to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many are told one by one.
const NAMED: usize = 5;

/// The first control plane that answers is asked; nothing is said where none does: the API has its own line.
pub fn check_pods(cluster: &Cluster, provider: &dyn Provider) -> Vec<Check> {
    let ask = |node: &Node| run_on_node(provider, node, &GET_PENDING, PATIENCE).ok();
    let text = cluster.control_planes().find_map(ask);
    text.map_or_else(Vec::new, |text| judge_pods(&text))
}

/// What `kubectl get pods --output json` says of those that are pending.
pub fn judge_pods(json: &str) -> Vec<Check> {
    let Ok(list) = serde_json::from_str::<List<Pod>>(json) else {
        return Vec::new();
    };
    let unplaced = |pod: &Pod| {
        let mut conditions = pod.status.conditions.iter();
        let refused = conditions.find(|c| c.kind == "PodScheduled" && c.status == "False")?;
        let (name, namespace) = (&pod.metadata.name, &pod.metadata.namespace);
        let command = format!("kubectl -n {namespace} describe pod {name}");
        let check = Check::passing("pending pod", &command);
        let reason = format!("{namespace}/{name}: {}", printable_line(&refused.message));
        let remedy =
            "a toleration for the taint that is named, a worker that has none, or more room";
        Some(check.with(Verdict::Warn, reason, remedy))
    };
    let mut checks: Vec<Check> = list.items.iter().filter_map(unplaced).collect();
    let more = checks.len().saturating_sub(NAMED);
    checks.truncate(NAMED);
    let all = "kubectl get pods -A --field-selector=status.phase=Pending";
    if more > 0 {
        let reason = format!("{} more find no node", pluralize(more, "pod"));
        checks.push(Check::passing("pending pod", all).with(Verdict::Warn, reason, "see above"));
    }
    if checks.is_empty() {
        checks.push(Check::passing("pending pods", all));
    }
    checks
}
