//! What both programs know of Kubernetes itself.

use std::collections::BTreeMap;

/// The port of every apiserver on its node's own address, unless the cluster file moves it ([`crate::settings::Endpoint::apiserver_port`]).
pub const APISERVER_PORT: u16 = 6443;
/// etcd's port for clients.
pub const ETCD_CLIENT_PORT: u16 = 2379;

/// API version of kubeadm's configuration. Every kubeadm from 1.31 to 1.37 reads it and writes it itself; 1.37 knows a `v1`
/// after it (`SetVersionPriority` in cmd/kubeadm/app/apis/kubeadm/scheme/scheme.go).
pub const KUBEADM_API: &str = "kubeadm.k8s.io/v1beta4";

/// Kubernetes' own labels that a kubelet may set outside the subdomains given to it (`kubeletLabels` of
/// k8s.io/kubernetes, pkg/kubelet/apis/well_known_labels.go).
const KUBELET_LABELS: [&str; 10] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// Whether a kubelet may give its own node this label. With another one in `--node-labels` it does not even start, and
/// the apiserver's NodeRestriction refuses it.
pub fn kubelet_may_set(label: &str) -> bool {
    let Some((prefix, _)) = label.split_once('/') else {
        return true;
    };
    let within = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    let own = within("kubernetes.io") || within("k8s.io");
    let given = within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    !own || given || KUBELET_LABELS.contains(&label)
}

/// Those that a kubelet may not set.
pub fn restricted_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let restricted = labels.iter().filter(|(key, _)| !kubelet_may_set(key));
    restricted.map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_gets_few_of_kubernetes_own_labels() {
        for (label, allowed) in [
            ("rack", true),
            ("example.com/rack", true),
            ("notkubernetes.io/rack", true),
            ("topology.kubernetes.io/zone", true),
            ("node.kubernetes.io/pool", true),
            ("db.node.kubernetes.io/pool", true),
            ("node-role.kubernetes.io/worker", false),
            ("node-restriction.kubernetes.io/pool", false),
            ("kubernetes.io/pool", false),
            ("x.k8s.io/pool", false),
        ] {
            assert_eq!(kubelet_may_set(label), allowed, "{label}");
        }
    }
}
