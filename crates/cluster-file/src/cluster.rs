//! The cluster file once it is valid: no `Option` that means "default".
//!
//! Its JSON is what ha-host keeps of an accepted file: a change of these types is a new version of that format.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod links;
mod proxy;
mod registries;
mod vm;

pub use links::{Bond, Vlan};
pub use proxy::{Proxy, ProxyUrl};
pub use registries::{Registry, RegistryAuth};
pub use vm::{
    Accel, Arch, Assets, Firmware, Image, Kernel, LibvirtNetwork, LibvirtOptions, Mac, Nic,
    QemuOptions, Updates, Vm,
};

use ha_wire::hash::fnv1a;
use ha_wire::phase::Role;
use ha_wire::settings::{Cni, Cri, Endpoint, Hooks, KubeProxy, LbMode, LoadBalancer, Taint};

/// A whole cluster. Made by [`crate::check`] alone, so whoever holds one need not check again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Cluster {
    /// DNS label; names the state directory and, with the VIP, the virtual router.
    pub name: String,
    /// Kubernetes as a whole.
    pub kubernetes: Kubernetes,
    /// Where the API answers.
    pub endpoint: Endpoint,
    /// How the VIP and the load balancer are run.
    pub load_balancer: LoadBalancer,
    /// The network of the nodes' addresses and the VIP.
    pub network: Network,
    /// The other family's share of a dual-stack cluster; none: there is one family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary: Option<Secondary>,
    /// Public keys for user `core`.
    pub authorized_keys: Vec<String>,
    /// In the order of the file, the load balancer's machines last; the first control plane may found the cluster.
    pub nodes: Vec<Node>,
    /// Who makes the machines.
    pub provider: ProviderOptions,
    /// System extensions by name; empty: the image has them.
    pub sysexts: BTreeMap<String, Sysext>,
    /// Flatcar's own optional extensions, on every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flatcar_extensions: Vec<String>,
    /// Whether user `core` of control planes has the administrator's kubeconfig.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub core_kubeconfig: bool,
    /// How they reach the nodes.
    pub assets: Assets,
    /// Who updates the system extensions.
    pub updates: Updates,
    /// Through what nodes fetch; none: directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Certificates of CAs that nodes trust besides the image's, absolute paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_cas: Vec<PathBuf>,
    /// How nodes reach registries of container images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<Registry>,
    /// The user's own Ignition files, absolute paths.
    pub ignition_merge: Vec<PathBuf>,
    /// The user's own commands.
    pub hooks: Hooks,
}

impl Cluster {
    /// The control planes, in order.
    pub fn control_planes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| n.role == Role::ControlPlane)
    }

    /// The system extensions of all nodes, and of single ones: of one name there is one.
    pub fn all_sysexts(&self) -> impl Iterator<Item = (&String, &Sysext)> {
        let of_nodes = self.nodes.iter().flat_map(|node| &node.sysexts);
        self.sysexts.iter().chain(of_nodes)
    }

    /// Whether a node has the system extension of this name: all nodes do, unless it is of others alone.
    pub fn has_sysext(&self, node: &Node, name: &str) -> bool {
        let own = |node: &Node| node.sysexts.contains_key(name);
        own(node) || !self.nodes.iter().any(own)
    }

    /// The machines of `loadBalancer.mode: {machines: }`, in order; none with another mode.
    pub fn balancer_machines(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| n.role == Role::LoadBalancer)
    }

    /// The machines that become Nodes, in order.
    pub fn kubernetes_nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| n.role.is_kubernetes_node())
    }

    /// Whether this machine runs keepalived and haproxy.
    pub fn runs_balancer(&self, node: &Node) -> bool {
        self.load_balancer.mode.runs_on(node.role)
    }

    /// Whether the API is behind somebody else's balancer.
    pub fn has_external_balancer(&self) -> bool {
        self.load_balancer.mode == LbMode::External
    }

    /// The address that nodes of the cluster pass on; none: the endpoint's addresses are somebody else's.
    pub fn own_vip(&self) -> Option<IpAddr> {
        (!self.has_external_balancer()).then_some(self.endpoint.vip)
    }

    /// The networks of the nodes' addresses with their gateways, the VIP's first.
    pub fn node_networks(&self) -> impl Iterator<Item = (IpNet, IpAddr)> + Clone {
        let first = (self.network.cidr, self.network.gateway);
        let second = self.secondary.as_ref().map(|s| (s.cidr, s.gateway));
        [first].into_iter().chain(second)
    }

    /// The one node that may run `kubeadm init`.
    pub fn founder(&self) -> Option<&Node> {
        self.control_planes().next()
    }

    /// Virtual router id, 1 to 255: the chosen one, else FNV-1a of name and VIP, so that two clusters on one segment seldom meet.
    pub fn vrid(&self) -> u8 {
        if let Some(chosen) = self.load_balancer.router_id {
            return chosen;
        }
        let text = format!("{} {}", self.name, self.endpoint.vip);
        (fnv1a(&text) % 255 + 1) as u8
    }
}

/// Kubernetes as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Kubernetes {
    /// Exact version without `v`, of a known minor ([`crate::minors`]).
    pub version: String,
    /// Network that pods get addresses from.
    pub pod_cidr: IpNet,
    /// Network that services get addresses from.
    pub service_cidr: IpNet,
    /// Container runtime of every node.
    pub cri: Cri,
    /// kube-proxy's mode, or none.
    pub proxy: KubeProxy,
    /// Who brings the pod network.
    pub cni: Cni,
    /// The hashes of those of its manifests that are fetched here, by their URLs; lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manifest_hashes: BTreeMap<String, String>,
    /// Where etcd runs; none: on the control planes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<Etcd>,
    /// Further names and addresses of the apiserver's certificate.
    pub cert_sans: Vec<String>,
    /// Merged last into `KubeletConfiguration`.
    pub kubelet_config: Map<String, Value>,
    /// Merged last into kubeadm's `ClusterConfiguration`.
    pub cluster_configuration: Map<String, Value>,
    /// How long kubeadm waits for what, merged last.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub timeouts: Map<String, Value>,
}

/// An etcd that is not on the control planes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Etcd {
    /// Somebody else's.
    External(ExternalEtcd),
}

/// Somebody else's etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalEtcd {
    /// `https://ADDRESS:PORT` of its members.
    pub endpoints: Vec<String>,
    /// The CA of their certificates, PEM, absolute path.
    pub ca_file: PathBuf,
    /// The control planes' client certificate, PEM, absolute path.
    pub cert_file: PathBuf,
    /// The key to it, PEM, absolute path.
    pub key_file: PathBuf,
}

impl Kubernetes {
    /// Somebody else's etcd, if it is.
    pub fn external_etcd(&self) -> Option<&ExternalEtcd> {
        let Etcd::External(external) = self.etcd.as_ref()?;
        Some(external)
    }
}

/// The network of the nodes' addresses and the VIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Network {
    /// Prefix length, e.g. 24.
    pub prefix: u8,
    /// The network of all node addresses and the VIP, e.g. 10.77.0.0/24.
    pub cidr: IpNet,
    /// Router of the nodes' default route.
    pub gateway: IpAddr,
    /// Name servers; empty: none is written.
    pub dns: Vec<IpAddr>,
    /// Name of the nodes' interface.
    pub interface: String,
    /// What the interface, or its VLAN's link, is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    /// What the interface is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Time servers; empty: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ntp: Vec<String>,
    /// Largest packet in bytes; none: the interface's own.
    pub mtu: Option<u32>,
}

/// What nodes, pods and services have of the family that the VIP is not of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Secondary {
    /// Prefix length of the nodes' second network.
    pub prefix: u8,
    /// The network of all second addresses of nodes.
    pub cidr: IpNet,
    /// Router of the nodes' second default route.
    pub gateway: IpAddr,
    /// Network that pods get second addresses from.
    pub pod_cidr: IpNet,
    /// Network that services get second addresses from.
    pub service_cidr: IpNet,
}

/// One machine of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Node {
    /// Hostname, Node object, etcd member: DNS labels, with dots between them, at most 63 characters.
    pub name: String,
    /// What it is in its cluster.
    pub role: Role,
    /// Its own address, in [`Network::cidr`].
    pub address: IpAddr,
    /// In [`Secondary::cidr`], in a dual-stack cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_address: Option<IpAddr>,
    /// What its first interface is found by; none: by its name. Virtual machines always have one.
    pub mac: Option<Mac>,
    /// What the interface with its address is called; none: [`Network::interface`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The libvirt host that it runs on; none: the provider's.
    pub uri: Option<String>,
    /// Interfaces besides the one with `address`.
    pub interfaces: Vec<Nic>,
    /// Labels that its Node object gets.
    pub labels: BTreeMap<String, String>,
    /// Annotations that its Node object gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Taints that its Node object is registered with.
    pub taints: Vec<Taint>,
    /// A control plane with `taints: []`: kubeadm's own taint is left out, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untainted: bool,
    /// Merged into its `KubeletConfiguration` after the cluster's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kubelet_config: Map<String, Value>,
    /// System extensions that it has besides the cluster's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysexts: BTreeMap<String, Sysext>,
    /// Flatcar's own optional extensions that it has besides the cluster's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flatcar_extensions: Vec<String>,
    /// Its own commands, run after the cluster's.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
}

impl Node {
    /// What the interface with its address is called.
    pub fn interface_in<'a>(&'a self, network: &'a Network) -> &'a str {
        self.interface.as_ref().unwrap_or(&network.interface)
    }
}

/// Who makes the machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum ProviderOptions {
    /// Virtual machines as domains of libvirt.
    Libvirt(LibvirtOptions),
    /// Virtual machines as QEMU processes, without root.
    Qemu(QemuOptions),
    /// systemd-nspawn containers on this host.
    Nspawn(NspawnOptions),
    /// Nobody: configs are rendered, machines are made by somebody else.
    None,
}

impl Node {
    /// Its addresses, the VIP's family first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + Clone {
        [self.address].into_iter().chain(self.second_address)
    }
}

impl ProviderOptions {
    /// The word in the cluster file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Libvirt(_) => "libvirt",
            Self::Qemu(_) => "qemu",
            Self::Nspawn(_) => "nspawn",
            Self::None => "none",
        }
    }

    /// Whether ha-host makes the machines; with `provider: none` others make them from its configs.
    pub fn makes_machines(&self) -> bool {
        *self != Self::None
    }

    /// What the machines are like, if they are virtual.
    pub fn vm(&self) -> Option<&Vm> {
        match self {
            Self::Libvirt(libvirt) => Some(&libvirt.vm),
            Self::Qemu(qemu) => Some(&qemu.vm),
            Self::Nspawn(_) | Self::None => None,
        }
    }
}

/// Options of `provider: {nspawn: {...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NspawnOptions {
    /// A node image: a directory with `root/` (the operating system, never written to) and optionally `containerd/`
    /// (a prepared image store that each node gets its own copy-on-write view of). Absolute.
    pub image: PathBuf,
    /// Merge sysexts as plain directories even where loop devices work.
    pub sysexts_as_directories: bool,
    /// Make disks that lose in a power cut what was not synced: for tests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disks_as_images: bool,
}

/// One system extension: an image in the bakery's layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Sysext {
    /// Fetched by Ignition, checked by hash.
    Url {
        /// Where Ignition fetches it, http or https.
        url: String,
        /// The image's SHA-256, lower-case hexadecimal.
        sha256: String,
    },
    /// A local .raw file, absolute; the provider brings it to `/opt/extensions`.
    File(PathBuf),
    /// The Flatcar sysext bakery's image of this version.
    Bakery {
        /// As in the file's name: `v1.36.3`, `2.3.3`.
        version: String,
    },
    /// The agent's own, as it came with ha-host.
    Bundled,
}
