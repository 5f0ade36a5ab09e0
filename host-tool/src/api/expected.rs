//! What the judgement of a cluster's health needs of the cluster file, and what it says of one look.

use ha_cluster_file::cluster::Cluster;
use ha_health::cluster::{self, ClusterView, ExpectedCluster, ExpectedNode};
use ha_health::{Finding, Part};
use ha_host_base::text::printable_line;
use ha_wire::settings::{Cni, KubeProxy};

/// etcd's own limit where nobody sets another one, bytes.
const ETCD_QUOTA: u64 = 2 * 1024 * 1024 * 1024;

fn expected_cluster(cluster: &Cluster) -> ExpectedCluster {
    let node = |n: &ha_cluster_file::cluster::Node| ExpectedNode {
        name: n.name.clone(),
        role: n.role,
        address: n.address,
        untainted: n.untainted,
    };
    ExpectedCluster {
        name: cluster.name.clone(),
        endpoint: cluster.endpoint.clone(),
        is_external: cluster.has_external_balancer(),
        nodes: cluster.nodes.iter().map(node).collect(),
        has_pod_network: cluster.kubernetes.cni != Cni::None,
        has_cilium: matches!(cluster.kubernetes.cni, Cni::Cilium { .. }),
        has_kube_proxy: cluster.kubernetes.proxy != KubeProxy::None,
        has_name_servers: !cluster.network.dns.is_empty(),
        advert_interval_ms: cluster.load_balancer.advert_interval_ms,
        external_etcd: cluster.kubernetes.external_etcd().is_some(),
        etcd_quota_bytes: etcd_quota(cluster).unwrap_or(ETCD_QUOTA),
    }
}

/// What the cluster file sets for etcd; 0 is etcd's word for its own limit.
fn etcd_quota(cluster: &Cluster) -> Option<u64> {
    let etcd = cluster.kubernetes.cluster_configuration.get("etcd")?;
    let arguments = etcd.pointer("/local/extraArgs")?.as_array()?;
    let mut of_quota = arguments
        .iter()
        .filter(|a| a["name"] == "quota-backend-bytes");
    let bytes = of_quota.next()?.get("value")?.as_str()?.parse().ok()?;
    (bytes > 0).then_some(bytes)
}

/// Everything that is wrong with a cluster, in the order in which people are told; empty: it is whole.
pub fn all_findings(cluster: &Cluster, view: &ClusterView) -> Vec<Finding> {
    let findings = cluster::cluster_findings(&expected_cluster(cluster), view);
    findings.into_iter().map(in_one_line).collect()
}

/// What is wrong and yet nothing that a launch waits for.
pub fn further_findings(cluster: &Cluster, view: &ClusterView) -> Vec<Finding> {
    let findings = cluster::findings_not_awaited(&expected_cluster(cluster), view);
    findings.into_iter().map(in_one_line).collect()
}

/// What a launch still waits for, one line each; empty: nothing.
pub fn describe_missing(cluster: &Cluster, view: &ClusterView) -> Vec<String> {
    let findings = cluster::findings_awaited(&expected_cluster(cluster), view);
    findings
        .into_iter()
        .map(|f| printable_line(&f.what))
        .collect()
}

/// What it waits for after that, and not for long.
pub fn missing_at_the_end(cluster: &Cluster, view: &ClusterView) -> Vec<String> {
    let findings = cluster::findings_awaited_briefly(&expected_cluster(cluster), view);
    findings
        .into_iter()
        .map(|f| printable_line(&f.what))
        .collect()
}

/// Which nodes say that they hold the VIP.
pub fn vip_holders(cluster: &Cluster, view: &ClusterView) -> Vec<String> {
    view.vip_holders(&expected_cluster(cluster))
}

/// The endpoints of an external etcd as the control planes see them, and whether each is well; empty: not known, or it is not
/// external.
pub fn etcd_endpoints(cluster: &Cluster, view: &ClusterView) -> Vec<(String, bool)> {
    let expected = expected_cluster(cluster);
    let all = view.etcd_endpoints(&expected).into_iter();
    all.map(|(url, errors)| (url.to_owned(), errors.is_empty()))
        .collect()
}

/// For how many seconds the VIP's only holder has held it; none: not known.
pub fn vip_held_seconds(cluster: &Cluster, view: &ClusterView) -> Option<u64> {
    view.vip_held_seconds(&expected_cluster(cluster))
}

/// Which node holds the VIP, if one alone says so.
pub fn vip_holder(cluster: &Cluster, view: &ClusterView) -> Option<String> {
    match &mut vip_holders(cluster, view)[..] {
        [holder] => Some(std::mem::take(holder)),
        _ => None,
    }
}

/// Whether nothing is missing of the nodes, so that it is worth asking what comes after them.
pub fn all_nodes_there(cluster: &Cluster, view: &ClusterView) -> bool {
    let findings = cluster::findings_awaited(&expected_cluster(cluster), view);
    !findings.iter().any(|f| matches!(f.part, Part::Node(_)))
}

fn in_one_line(mut finding: Finding) -> Finding {
    finding.what = printable_line(&finding.what);
    finding.next = printable_line(&finding.next);
    finding
}
