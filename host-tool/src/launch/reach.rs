//! How far a change reaches on a cluster that stands, and the way to the rest of it, key by key.

use ha_wire::phase::Role;

use super::difference::{Difference, DifferenceKind, VersionOfCluster};

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing has to be said: a launch does all of it.
    Whole,
    /// The cluster has it already.
    AlreadyThere,
    /// A node is told once, at its making: nodes that stand keep what they have. How they get it all the same, if they can.
    NewNodes(Option<&'static str>),
    /// A launch cannot. Why, and what can be done instead.
    Refused { why: &'static str, instead: Instead },
}

/// What can be done where a launch can do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// This, with the cluster as it is.
    InPlace(&'static str),
    /// Nothing with this cluster.
    AnotherCluster,
}

const KUBELET_CONFIG: &str = "`kubectl -n kube-system edit configmap kubelet-config`, then on each node `kubeadm upgrade node phase \
                              kubelet-config` and `systemctl restart kubelet`";
const KUBELET_DROP_IN: &str = "a file of your own in /etc/kubernetes/kubelet.conf.d (`--config-dir` of the kubelet, in \
                               /var/lib/kubelet/kubeadm-flags.env), then `systemctl restart kubelet`";
const FLATCAR_EXTENSIONS: &str = "/etc/flatcar/enabled-sysext.conf on each node, and a reboot";
const STATIC_PODS: &str = "`kubectl -n kube-system edit configmap kubeadm-config`, and the same in the static pod's file below \
                           /etc/kubernetes/manifests of each control plane, one after the other";
const CERT_SANS: &str = "`kubectl -n kube-system edit configmap kubeadm-config`; on each control plane, one after the other, move \
                         /etc/kubernetes/pki/apiserver.{crt,key} away, `kubeadm init phase certs apiserver --config FILE`, and move \
                         kube-apiserver.yaml out of /etc/kubernetes/manifests for half a minute";
const OFF_AND_ON: &str =
    "they have it once they were switched off and on, one after the other (`ha-host power`)";
const PROXY: &str = "the drop-ins 10-ha-host-proxy.conf below /etc/systemd/system on each node, then `systemctl daemon-reload`, and restart \
                     the runtime and ha-agent";
const LINKS: &str =
    "the files below /etc/systemd/network on each node, then a reboot, one node after the other";
const REGISTRIES: &str = "/etc/containerd/certs.d (read at each pull) or /etc/containers/registries.conf.d (restart crio), and \
                          /etc/ha-agent/registries.json, on each node";
const KUBERNETES_VERSION: &str = "kubeadm's own upgrade, node by node, with sysexts of the new version (docs/sysexts.md); then launch takes it over";
const ONE_ROUTER: &str = "control planes that do not hear each other hold the VIP at the same time";
const PEERS: &str = "each of the load balancer's machines knows the others from its making";
const SWITCH_OFF: &str =
    "switch that machine off, and leave the file as it was: the others hold the VIP";
const DRAIN: &str = "`kubectl drain` and `kubectl delete node` it, and switch it off; taking it out of the file comes later";
const FAMILIES: &str =
    "nodes, pods and services have addresses of one family or of both from their first hour on";
const ONLY_ANOTHER: Instead = Instead::AnotherCluster;

/// The version of Kubernetes, as the cluster file calls it.
pub const VERSION_KEY: &str = "kubernetes.version";

/// The longest key that fits decides.
const TABLE: [(&str, Reach); 47] = [
    ("ssh", Reach::NewNodes(Some("/home/core/.ssh on each node"))),
    (
        "ssh.kubeconfig",
        Reach::NewNodes(Some(
            "copy /etc/kubernetes/admin.conf on each control plane",
        )),
    ),
    (
        "flatcarExtensions",
        Reach::NewNodes(Some(FLATCAR_EXTENSIONS)),
    ),
    (
        "network.ntp",
        Reach::NewNodes(Some(
            "`NTP=` below /etc/systemd/timesyncd.conf.d on each node, then restart systemd-timesyncd",
        )),
    ),
    (
        "trustedCAs",
        Reach::NewNodes(Some(
            "a .pem in /etc/ssl/certs on each node, `update-ca-certificates`, and restart the runtime",
        )),
    ),
    ("registries", Reach::NewNodes(Some(REGISTRIES))),
    ("hooks", Reach::NewNodes(None)),
    ("ignition", Reach::NewNodes(None)),
    ("sysexts", Reach::NewNodes(Some("docs/sysexts.md"))),
    ("assets", Reach::NewNodes(None)),
    ("updates", Reach::NewNodes(Some("docs/sysexts.md"))),
    ("proxy", Reach::NewNodes(Some(PROXY))),
    (
        "kubernetes",
        refused_because("it is built into every node", ONLY_ANOTHER),
    ),
    (
        VERSION_KEY,
        refused_because(
            "a launch upgrades nothing",
            Instead::InPlace(KUBERNETES_VERSION),
        ),
    ),
    (
        "kubernetes.kubeletConfig",
        Reach::NewNodes(Some(KUBELET_CONFIG)),
    ),
    ("kubernetes.timeouts", Reach::NewNodes(None)),
    ("kubernetes.certSANs", Reach::NewNodes(Some(CERT_SANS))),
    (
        "kubernetes.clusterConfiguration",
        Reach::NewNodes(Some(STATIC_PODS)),
    ),
    (
        "kubernetes.clusterConfiguration.networking",
        refused_because("every service and pod was made with it", ONLY_ANOTHER),
    ),
    (
        "kubernetes.clusterConfiguration.etcd.local.dataDir",
        refused_because(
            "etcd's data is where it is",
            Instead::InPlace("nothing is gained by it: leave it"),
        ),
    ),
    (
        "kubernetes.etcd",
        refused_because("all that the cluster knows is in its etcd", ONLY_ANOTHER),
    ),
    ("kubernetes.etcd.external.caFile", EXTERNAL_ETCD_CLIENT),
    ("kubernetes.etcd.external.certFile", EXTERNAL_ETCD_CLIENT),
    ("kubernetes.etcd.external.keyFile", EXTERNAL_ETCD_CLIENT),
    (
        "kubernetes.cni",
        refused_because(
            "a pod network is changed by its own tools, not by a launch",
            Instead::InPlace("the tools of both pod networks"),
        ),
    ),
    (
        "kubernetes.cni.manifests",
        Reach::NewNodes(Some(
            "they were applied once, at the founding: `kubectl apply -f` them",
        )),
    ),
    (
        "kubernetes.cni.cilium",
        Reach::NewNodes(Some(
            "it was installed once, at the founding: `cilium upgrade`",
        )),
    ),
    (
        "endpoint",
        refused_because(
            "it is in the certificates and kubeconfigs of every node",
            ONLY_ANOTHER,
        ),
    ),
    ("loadBalancer", Reach::NewNodes(None)),
    (
        "loadBalancer.routerId",
        refused_because(ONE_ROUTER, ONLY_ANOTHER),
    ),
    (
        "loadBalancer.vrrp",
        refused_because(ONE_ROUTER, ONLY_ANOTHER),
    ),
    (
        "loadBalancer.mode",
        refused_because("it is built into every control plane", ONLY_ANOTHER),
    ),
    (
        "network",
        refused_because("every node's address is in it", ONLY_ANOTHER),
    ),
    (
        "network.dns",
        Reach::NewNodes(Some(
            "`DNS=` below /etc/systemd/network on each node, then `networkctl reload`",
        )),
    ),
    (
        "network.mtu",
        Reach::NewNodes(Some(
            "`MTUBytes=` below /etc/systemd/network on each node, then `networkctl reload`",
        )),
    ),
    (
        "network.gateway",
        Reach::NewNodes(Some(
            "`Gateway=` below /etc/systemd/network on each node, then `networkctl reload`",
        )),
    ),
    ("network.bond", Reach::NewNodes(Some(LINKS))),
    ("network.vlan", Reach::NewNodes(Some(LINKS))),
    (
        "nodes",
        refused_because(
            "it is built into that machine",
            Instead::InPlace("a node under another name: a worker may be added"),
        ),
    ),
    (
        "provider",
        refused_because("the machines are made with it", ONLY_ANOTHER),
    ),
    ("provider.libvirt.image", Reach::NewNodes(None)),
    ("provider.qemu.image", Reach::NewNodes(None)),
    ("provider.qemu.memory", Reach::NewNodes(Some(OFF_AND_ON))),
    ("provider.qemu.cpus", Reach::NewNodes(Some(OFF_AND_ON))),
    ("provider.libvirt.memory", MACHINE),
    ("provider.libvirt.cpus", MACHINE),
    ("provider.libvirt.autostart", MACHINE),
];
/// The same etcd, asked with other files.
const EXTERNAL_ETCD_CLIENT: Reach = Reach::NewNodes(Some(
    "copy the files to /etc/kubernetes/pki/external-etcd (ca.crt, client.crt, client.key) of each control plane, one after the \
     other, and move kube-apiserver.yaml out of /etc/kubernetes/manifests for half a minute",
));
const MACHINE: Reach = refused_because(
    "machines that stand were made with it",
    Instead::InPlace("`virsh edit` each of them, and leave the file as it was"),
);
const LABELS: &str = "`kubectl label node`, `kubectl annotate node` and `kubectl taint node`";

const fn refused_because(why: &'static str, instead: Instead) -> Reach {
    Reach::Refused { why, instead }
}

/// How far this one reaches.
pub fn reach_of(difference: &Difference) -> Reach {
    match &difference.kind {
        DifferenceKind::NodeAdded(role) => reach_of_new_node(*role),
        DifferenceKind::NodeLost(role) => reach_of_lost_node(*role),
        DifferenceKind::Families => refused_because(FAMILIES, ONLY_ANOTHER),
        DifferenceKind::Version(VersionOfCluster::OfFile) => Reach::AlreadyThere,
        DifferenceKind::Version(_) | DifferenceKind::Value => reach_of_value(difference),
    }
}

fn reach_of_new_node(role: Role) -> Reach {
    match role {
        Role::Worker => Reach::Whole,
        Role::LoadBalancer => refused_because(PEERS, ONLY_ANOTHER),
        Role::ControlPlane => refused_because(
            "adding control planes comes later",
            Instead::InPlace("workers can be added now"),
        ),
    }
}

fn reach_of_lost_node(role: Role) -> Reach {
    match role {
        Role::LoadBalancer => refused_because(PEERS, Instead::InPlace(SWITCH_OFF)),
        Role::ControlPlane | Role::Worker => {
            refused_because("a launch takes no node out", Instead::InPlace(DRAIN))
        }
    }
}

fn reach_of_value(difference: &Difference) -> Reach {
    let key = difference.key.as_str();
    let of_node = |part: &str| key.starts_with("nodes[") && key.contains(part);
    if of_node("].flatcarExtensions") {
        return Reach::NewNodes(Some(FLATCAR_EXTENSIONS));
    }
    if of_node("].sysexts") {
        return Reach::NewNodes(Some("docs/sysexts.md"));
    }
    if of_node("].hooks") {
        return Reach::NewNodes(None);
    }
    if of_node("].kubeletConfig") {
        return Reach::NewNodes(Some(KUBELET_DROP_IN));
    }
    let of_object = ["].labels", "].annotations", "].taints"];
    if of_object.into_iter().any(of_node) {
        return Reach::NewNodes(Some(LABELS));
    }
    let rules = TABLE.iter().filter(|(rule, _)| difference.is_below(rule));
    let rule = rules.max_by_key(|(rule, _)| rule.len());
    rule.map_or(
        refused_because("it is built into every node", Instead::AnotherCluster),
        |(_, reach)| *reach,
    )
}

#[cfg(test)]
mod tests;
