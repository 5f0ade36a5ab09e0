//! Settings that are passed on to kubeadm and the kubelet, less what the cluster file itself decides.

use std::ops::RangeInclusive;

use crate::diagnostic::{Fault, Place, Severity};
use crate::file::{ClusterFile, Setting, Spanned};
use crate::minors::{Minor, default_minor};

mod apiserver_values;
mod argument_names;
mod argument_values;
mod arguments;
mod cluster;
mod cluster_shape;
mod gates;
mod given;
mod go_values;
mod kubelet;
mod kubelet_minor;
mod kubelet_shape;
mod shape;

use arguments::{Argument, Program};
use cluster_shape::CLUSTER;
use given::Given;
use kubelet_shape::KUBELET;
use shape::{KubeadmDocument, Shape};

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
const KUBELET_OWNED: [(&str, &str); 11] = [
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
    (
        "providerID",
        "leave it out: it would be one machine's for all nodes",
    ),
    ("port", "leave it out: the apiserver asks kubelets on 10250"),
    ("registerWithTaints", "use nodes[].taints"),
    (
        "staticPodPath",
        "leave it out: kubeadm's static pods are in /etc/kubernetes/manifests",
    ),
];

/// The same of one node's share of it.
const NODE_OWNED: [(&str, &str); 12] = {
    let mut all = [("", ""); 12];
    let mut at = 0;
    while at < KUBELET_OWNED.len() {
        all[at] = KUBELET_OWNED[at];
        at += 1;
    }
    // The kubelet starts with no mixture of it and the cluster's grace periods.
    all[at] = (
        "shutdownGracePeriodByPodPriority",
        "use kubernetes.kubeletConfig, for all nodes",
    );
    all
};

/// `timeouts` of kubeadm's InitConfiguration and JoinConfiguration.
const TIMEOUTS: KubeadmDocument = KubeadmDocument {
    keys: &[
        ("controlPlaneComponentHealthCheck", Shape::Duration),
        ("discovery", Shape::Duration),
        ("etcdAPICall", Shape::Duration),
        ("kubeletHealthCheck", Shape::Duration),
        ("kubernetesAPICall", Shape::Duration),
        ("tlsBootstrap", Shape::Duration),
        ("upgradeManifests", Shape::Duration),
    ],
    name: "kubeadm's timeouts",
    unknown: Severity::Error,
    elsewhere: &[(
        "timeoutForControlPlane",
        "write controlPlaneComponentHealthCheck, its name since v1beta4",
    )],
};
/// Seconds; less than the agent's own patience with kubeadm.
const MAX_TIMEOUT: f64 = 900.0;

pub(super) fn check_kubeadm(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let k8s = &file.kubernetes;
    // Of a version that is not known another rule speaks.
    let minor = file.minor().unwrap_or_else(default_minor);
    check_document(&CLUSTER, &CLUSTER_OWNED, &k8s.cluster_configuration, faults);
    check_document(&TIMEOUTS, &[], &k8s.timeouts, faults);
    check_kubeadm_timeouts(&k8s.timeouts, faults);
    cluster::check_cluster_values(&k8s.cluster_configuration, minor, faults);
    check_kubelet(&k8s.kubelet_config, &KUBELET_OWNED, file, minor, faults);
    for node in file.entries() {
        check_kubelet(&node.kubelet_config, &NODE_OWNED, file, minor, faults);
    }
    for program in Program::ALL {
        let arguments = Argument::read_all(program, file);
        argument_names::check_argument_names(&arguments, minor, faults);
        argument_values::check_values(file, program, &arguments, faults);
        gates::check_argument_gates(file, &arguments, minor, faults);
    }
}

fn check_kubelet(
    settings: &[Setting],
    owned: &[(&str, &str)],
    file: &ClusterFile,
    minor: &Minor,
    faults: &mut Vec<Fault>,
) {
    check_document(&KUBELET, owned, settings, faults);
    kubelet::check_kubelet_values(settings, file, faults);
    kubelet_minor::check_kubelet_minor(settings, minor, faults);
    gates::check_kubelet_gates(settings, file, minor, faults);
}

/// The agent gives kubeadm this long as a whole.
fn check_kubeadm_timeouts(timeouts: &[Setting], faults: &mut Vec<Fault>) {
    for timeout in timeouts {
        let seconds = timeout.value.as_str().and_then(shape::parse_go_duration);
        if seconds.is_some_and(|s| !(1.0..=MAX_TIMEOUT).contains(&s)) {
            let key = &timeout.key;
            let message = format!("{} is not a duration that kubeadm accepts", key.path);
            let help =
                "write 1s to 15m: the agent ends a kubeadm that takes 20 minutes, and tries again";
            faults.push(Fault::error(timeout.node.place, &key.path, message, help));
        }
    }
}

/// The ports that services of kind NodePort are given, where the file says so.
pub(super) fn node_port_range(file: &ClusterFile) -> Option<(RangeInclusive<u16>, Place)> {
    let arguments = Argument::read_all(Program::Apiserver, file);
    let range = arguments
        .iter()
        .rfind(|argument| argument.name == "service-node-port-range")?;
    let ports = go_values::parse_port_range(range.text.trim())?;
    Some((ports, range.value.node.place))
}

/// Each key: known, ours to decide, of the right type.
fn check_document(
    document: &KubeadmDocument,
    owned: &[(&str, &str)],
    settings: &[Setting],
    faults: &mut Vec<Fault>,
) {
    for setting in settings {
        let (key, given) = (&setting.key, Given::from_setting(setting));
        if is_owned_key(key, &given, owned, faults) {
            continue;
        }
        match document.shape(&key.value) {
            Some(shape) => document.check(&given, shape, faults),
            None => {
                let names: Vec<&str> = document.keys.iter().map(|(name, _)| *name).collect();
                let owner = key.path.strip_suffix(&format!(".{}", key.value));
                let owner = owner.unwrap_or(&key.path);
                faults.push(document.unknown_key(owner, &key.value, key.place, &names));
            }
        }
    }
}

/// Names the keys that the cluster file decides; true if this is one as a whole.
fn is_owned_key(
    key: &Spanned<String>,
    given: &Given<'_>,
    table: &[(&str, &str)],
    faults: &mut Vec<Fault>,
) -> bool {
    let mut whole = false;
    for (path, instead) in table {
        let mut steps = path.split('.');
        if steps.next() != Some(key.value.as_str()) {
            continue;
        }
        let mut at = Some((key.place, given.clone()));
        for step in steps {
            at = at.and_then(|(_, inner)| {
                let entries = inner.entries().into_iter();
                let mut named = entries.filter(|(name, _)| name.name == step);
                named.next().map(|(name, value)| (name.place, value))
            });
        }
        if let Some((place, inner)) = at {
            let message = format!("{} cannot be set here", inner.path);
            faults.push(Fault::error(place, &inner.path, message, *instead));
            whole |= !path.contains('.');
        }
    }
    whole
}
