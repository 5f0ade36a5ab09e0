//! Settings that are passed on to kubeadm and the kubelet, less what the cluster file itself decides.

use serde_json::Value;

use crate::diagnostic::Fault;
use crate::file::{ClusterFile, Spanned};
use crate::suggest::did_you_mean;

/// The keys of v1beta4's `ClusterConfiguration`.
const CLUSTER_KEYS: [&str; 16] = [
    "apiServer",
    "caCertificateValidityPeriod",
    "certificateValidityPeriod",
    "certificatesDir",
    "clusterName",
    "controlPlaneEndpoint",
    "controllerManager",
    "dns",
    "encryptionAlgorithm",
    "etcd",
    "featureGates",
    "imageRepository",
    "kubernetesVersion",
    "networking",
    "proxy",
    "scheduler",
];

/// Dotted keys of `ClusterConfiguration` that the cluster file decides, and what to write instead.
const CLUSTER_OWNED: [(&str, &str); 13] = [
    ("apiVersion", "leave it out: it follows kubernetes.version"),
    ("kind", "leave it out"),
    ("apiServer.certSANs", "use kubernetes.certSANs"),
    (
        "caCertificateValidityPeriod",
        "leave it out: ha-host makes the CAs",
    ),
    ("certificatesDir", "leave it out: it is /etc/kubernetes/pki"),
    ("clusterName", "use name"),
    ("controlPlaneEndpoint", "use endpoint"),
    (
        "encryptionAlgorithm",
        "leave it out: ha-host makes the keys, ECDSA P-256",
    ),
    ("etcd.external", "use kubernetes.etcd"),
    ("kubernetesVersion", "use kubernetes.version"),
    ("networking.podSubnet", "use kubernetes.podCIDR"),
    ("networking.serviceSubnet", "use kubernetes.serviceCIDR"),
    ("proxy.disabled", "use kubernetes.proxy"),
];

/// The same of `KubeletConfiguration`.
const KUBELET_OWNED: [(&str, &str); 10] = [
    ("apiVersion", "leave it out"),
    ("kind", "leave it out"),
    (
        "cgroupDriver",
        "leave it out: it follows the machine's cgroups",
    ),
    (
        "clusterDNS",
        "leave it out: it follows kubernetes.serviceCIDR",
    ),
    (
        "clusterDomain",
        "use kubernetes.clusterConfiguration.networking.dnsDomain",
    ),
    ("containerRuntimeEndpoint", "use kubernetes.cri"),
    ("podCIDR", "use kubernetes.podCIDR"),
    ("port", "leave it out: the apiserver asks kubelets on 10250"),
    ("registerWithTaints", "use nodes[].taints"),
    (
        "staticPodPath",
        "leave it out: kubeadm's static pods are in /etc/kubernetes/manifests",
    ),
];

pub(super) fn check_kubeadm(file: &ClusterFile, faults: &mut Vec<Fault>) {
    for (key, value) in &file.kubernetes.cluster_configuration {
        let known = CLUSTER_KEYS.contains(&key.value.as_str())
            || matches!(key.value.as_str(), "apiVersion" | "kind");
        if known {
            check_owned_keys(key, value, &CLUSTER_OWNED, faults);
        } else {
            let meant = did_you_mean(&key.value, CLUSTER_KEYS);
            let message = format!(
                "kubeadm's ClusterConfiguration has no key `{}`{meant}",
                key.value
            );
            let help = format!("its keys are {}", CLUSTER_KEYS.join(", "));
            faults.push(Fault::error(key.place, &key.path, message, help));
        }
    }
    for (key, value) in &file.kubernetes.kubelet_config {
        check_owned_keys(key, value, &KUBELET_OWNED, faults);
    }
}

fn check_owned_keys(
    key: &Spanned<String>,
    value: &Value,
    table: &[(&str, &str)],
    faults: &mut Vec<Fault>,
) {
    for (path, instead) in table {
        let (top, below) = path
            .split_once('.')
            .map_or((*path, None), |(top, below)| (top, Some(below)));
        let written = key.value == top && below.is_none_or(|below| value.get(below).is_some());
        if written {
            let inner = below.map_or_else(String::new, |below| format!(".{below}"));
            let message = format!("{}{inner} cannot be set here", key.path);
            faults.push(Fault::error(
                key.place,
                &format!("{}{inner}", key.path),
                message,
                *instead,
            ));
        }
    }
}
