//! The node file, v1: everything one node needs, and no other node's secret. Written by `ha-host` into Ignition,
//! read by `ha-agent`. JSON, because the agent has a reader for it anyway.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::format::{self, FormatError, Version};
use crate::kubernetes;
use crate::phase::Role;
use crate::settings::{Cni, Cri, Endpoint, Hooks, KubeProxy, LbMode, LoadBalancer, Taint};

/// The version of the format below.
pub const VERSION: Version<1> = Version;

/// With this the agent ends, before it writes anything, if it cannot use its node file.
pub const UNUSABLE_EXIT_CODE: u8 = 2;

/// What [`crate::paths::NODE_FILE`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeFile {
    /// The version of the format.
    pub version: Version<1>,
    /// Name of the cluster that the node belongs to.
    pub cluster: String,
    /// This node's name: hostname, Node object and etcd member.
    pub name: String,
    /// What it is in its cluster.
    pub role: Role,
    /// This node's own address: apiserver advertise address, kubelet's node IP, VRRP source.
    pub address: IpAddr,
    /// Length of the node network's prefix, e.g. 24.
    pub prefix: u8,
    /// The other family's share of a dual-stack cluster; absent: there is one family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary: Option<Secondary>,
    /// The interface that carries [`Self::address`], and the VIP unless [`Endpoint::interface`] names another.
    pub interface: String,
    /// Permission to found the cluster; absent on every node but one, and on that one once the cluster stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founder: Option<Founder>,
    /// Every control plane of the cluster, this node included if it is one, in the order of the cluster file.
    pub control_planes: Vec<Peer>,
    /// With [`LbMode::Machines`] every balancer machine, this one included, in the order of the cluster file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balancers: Vec<Peer>,
    /// Where the API answers, on every node.
    pub endpoint: Endpoint,
    /// How keepalived and haproxy run.
    pub load_balancer: LoadBalancer,
    /// Virtual router id, 1 to 255, derived from the cluster's name and VIP.
    pub vrid: u8,
    /// kubeadm's and the kubelet's share.
    pub kubernetes: NodeKubernetes,
    /// Who brings the pod network, and how.
    pub cni: Cni,
    /// Labels that the Node object gets.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The operator's signature of those among them that a kubelet may not set: with it a worker asks the control planes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_signature: Option<String>,
    /// Annotations that the Node object gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Taints that the Node object is registered with (kubeadm's own control-plane taint comes by itself).
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// A control plane that works, too: kubeadm's own taint is left out (`taints: []` in the cluster file).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untainted: bool,
    /// This node's share of `KubeletConfiguration`, merged after the cluster's; it lies in [`crate::paths::KUBELET_DROP_INS`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kubelet_config: Map<String, Value>,
    /// The user's own commands.
    #[serde(default)]
    pub hooks: Hooks,
    /// Where events go, first that can be opened; [`crate::paths::EVENTS_FILE`] always gets them too.
    #[serde(default)]
    pub report: Vec<String>,
}

/// What nodes, pods and services have of the family that the VIP is not of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Secondary {
    /// This node's own address: the kubelet's second node IP.
    pub address: IpAddr,
    /// Length of the prefix of its network.
    pub prefix: u8,
    /// Network that pods get second addresses from.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: IpNet,
    /// Network that services get second addresses from.
    #[serde(rename = "serviceCIDR")]
    pub service_cidr: IpNet,
    /// Every control plane's address: the apiservers' certificate has them all.
    pub control_planes: Vec<IpAddr>,
}

/// A permission, not a role: before `kubeadm init` the founder asks the VIP and every peer, and joins if one answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Founder {
    /// Seconds since 1970 after which the permission is void.
    pub until: u64,
}

/// A control plane as its peers know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Peer {
    /// The control plane's name.
    pub name: String,
    /// The control plane's own address.
    pub address: IpAddr,
}

/// What goes into kubeadm's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeKubernetes {
    /// Exact version without `v`, e.g. 1.34.4.
    pub version: String,
    /// Network that pods get addresses from.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: IpNet,
    /// Network that services get addresses from.
    #[serde(rename = "serviceCIDR")]
    pub service_cidr: IpNet,
    /// The node's container runtime.
    pub cri: Cri,
    /// kube-proxy's mode, or none.
    pub proxy: KubeProxy,
    /// Where somebody else's etcd is asked, `https://ADDRESS:PORT` each; empty: etcd runs on the control planes. Its CA and the
    /// client certificate: [`crate::paths::EXTERNAL_ETCD_CA`] and beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_etcd: Vec<String>,
    /// Further names and addresses of the apiserver's certificate (the VIP is always there).
    #[serde(default, rename = "certSANs")]
    pub cert_sans: Vec<String>,
    /// Merged last into `KubeletConfiguration`.
    #[serde(default)]
    pub kubelet_config: Map<String, Value>,
    /// Merged last into kubeadm's `ClusterConfiguration`.
    #[serde(default)]
    pub cluster_configuration: Map<String, Value>,
    /// Merged last into `timeouts` of kubeadm's `InitConfiguration` and `JoinConfiguration`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub timeouts: Map<String, Value>,
}

impl NodeFile {
    /// Reads a node file's text.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        format::parse_versioned(text, "a node file", VERSION)
    }

    /// Labels of this node that its kubelet may not set.
    pub fn restricted_labels(&self) -> BTreeMap<String, String> {
        kubernetes::restricted_labels(&self.labels)
    }

    /// True on nodes that run the apiserver and, unless it is external, etcd.
    pub fn is_control_plane(&self) -> bool {
        self.role == Role::ControlPlane
    }

    /// True on machines that become Nodes: those with a kubelet.
    pub fn is_kubernetes_node(&self) -> bool {
        self.role.is_kubernetes_node()
    }

    /// True on nodes that run keepalived and haproxy.
    pub fn runs_balancer(&self) -> bool {
        self.load_balancer.mode.runs_on(self.role)
    }

    /// Those that may hold the VIP, in the order of the cluster file.
    pub fn vip_candidates(&self) -> &[Peer] {
        match self.load_balancer.mode {
            LbMode::Native | LbMode::Quadlet | LbMode::StaticPod => &self.control_planes,
            LbMode::Machines => &self.balancers,
            LbMode::External => &[],
        }
    }

    /// The others that may hold the VIP.
    pub fn balancer_peers(&self) -> impl Iterator<Item = &Peer> {
        let candidates = self.vip_candidates().iter();
        candidates.filter(|p| p.name != self.name)
    }

    /// Whether etcd is somebody else's, and on no node.
    pub fn has_external_etcd(&self) -> bool {
        !self.kubernetes.external_etcd.is_empty()
    }

    /// This node's addresses, the VIP's family first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + Clone {
        let second = self.secondary.as_ref().map(|second| second.address);
        [self.address].into_iter().chain(second)
    }

    /// The networks of its addresses.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> + Clone {
        let second = self.secondary.as_ref().map(|s| (s.address, s.prefix));
        let all = [(self.address, self.prefix)].into_iter().chain(second);
        all.filter_map(|(address, prefix)| Some(IpNet::new(address, prefix).ok()?.trunc()))
    }

    /// Networks that pods get addresses from.
    pub fn pod_cidrs(&self) -> impl Iterator<Item = IpNet> + Clone {
        let second = self.secondary.as_ref().map(|second| second.pod_cidr);
        [self.kubernetes.pod_cidr].into_iter().chain(second)
    }

    /// Networks that services get addresses from.
    pub fn service_cidrs(&self) -> impl Iterator<Item = IpNet> + Clone {
        let second = self.secondary.as_ref().map(|second| second.service_cidr);
        [self.kubernetes.service_cidr].into_iter().chain(second)
    }

    /// Whether it has an IPv6 address.
    pub fn has_ipv6(&self) -> bool {
        self.addresses().any(|address| address.is_ipv6())
    }

    /// True where somebody else's balancer stands before the apiservers.
    pub fn has_external_balancer(&self) -> bool {
        self.load_balancer.mode == LbMode::External
    }

    /// The other control planes.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.control_planes.iter().filter(|p| p.name != self.name)
    }
}
