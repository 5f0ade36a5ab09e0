//! The Kubernetes versions that are supported, and what differs between them.

/// The port of every apiserver on its node's own address.
pub const APISERVER_PORT: u16 = 6443;
/// etcd's port for clients.
pub const ETCD_CLIENT_PORT: u16 = 2379;

/// A supported minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minor {
    /// The minor number: 34 of 1.34.
    pub minor: u32,
    /// API version of kubeadm's configuration.
    pub kubeadm_api: &'static str,
    /// The patch release that the tests run; none: not run here.
    pub tested: Option<&'static str>,
    /// kube-proxy warns that its IPVS mode goes away.
    pub ipvs_deprecated: bool,
}

/// All supported minors, oldest first.
pub const MINORS: [Minor; 3] = [
    Minor {
        minor: 33,
        kubeadm_api: "kubeadm.k8s.io/v1beta4",
        tested: None,
        ipvs_deprecated: false,
    },
    Minor {
        minor: 34,
        kubeadm_api: "kubeadm.k8s.io/v1beta4",
        tested: Some("1.34.4"),
        ipvs_deprecated: false,
    },
    Minor {
        minor: 35,
        kubeadm_api: "kubeadm.k8s.io/v1beta4",
        tested: None,
        ipvs_deprecated: true,
    },
];

/// The entry for an exact version like `1.34.4`; none if its minor is not supported or it is no such version.
pub fn supported_minor(version: &str) -> Option<&'static Minor> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
        (Ok(1), Ok(minor), Ok(_), None) => MINORS.iter().find(|m| m.minor == minor),
        _ => None,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_versions_of_supported_minors_are_found() {
        for (version, found) in [
            ("1.33.0", Some(33)),
            ("1.34.4", Some(34)),
            ("1.35.12", Some(35)),
            ("1.32.9", None),
            ("1.36.0", None),
            ("2.34.4", None),
            ("1.34", None),
            ("v1.34.4", None),
            ("1.34.4.1", None),
            ("1.34.4-rc.1", None),
            ("", None),
        ] {
            assert_eq!(
                supported_minor(version).map(|m| m.minor),
                found,
                "{version}"
            );
        }
    }

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
