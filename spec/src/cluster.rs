//! The cluster file once it is valid: no `Option` that means "default".

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod vm;

pub use vm::{
    Accel, Arch, Assets, Firmware, Image, Kernel, Libvirt, LibvirtNetwork, Mac, Nic, Qemu, Updates,
    Vm,
};

use crate::node::Endpoint;
use crate::phase::Role;

/// A whole cluster. Made by [`crate::check`] alone, so whoever holds one need not check again.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// DNS label; names the state directory and, with the VIP, the virtual router.
    pub name: String,
    /// Kubernetes as a whole.
    pub kubernetes: Kubernetes,
    /// Where the API answers.
    pub endpoint: Endpoint,
    /// How the VIP and the load balancer are run.
    pub load_balancer: LoadBalancer,
    /// The nodes' network.
    pub network: Network,
    /// Public keys for user `core`.
    pub authorized_keys: Vec<String>,
    /// In the order of the file; the first control plane may found the cluster.
    pub nodes: Vec<Node>,
    /// Who makes the machines.
    pub provider: Provider,
    /// System extensions by name; empty: the image has them.
    pub sysexts: BTreeMap<String, Sysext>,
    /// How they reach the nodes.
    pub assets: Assets,
    /// Who updates them.
    pub updates: Updates,
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

    /// The one node that may run `kubeadm init`.
    pub fn founder(&self) -> Option<&Node> {
        self.control_planes().next()
    }

    /// Virtual router id, 1 to 255: FNV-1a of name and VIP, so that two clusters on one segment seldom meet.
    pub fn vrid(&self) -> u8 {
        let text = format!("{} {}", self.name, self.endpoint.vip);
        let hash = text.bytes().fold(0x811c_9dc5_u32, |h, b| {
            (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
        });
        (hash % 255 + 1) as u8
    }
}

/// Kubernetes as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Kubernetes {
    /// Exact version without `v`, of a supported minor ([`crate::kubernetes::MINORS`]).
    pub version: String,
    /// Pod network.
    pub pod_cidr: IpNet,
    /// Service network.
    pub service_cidr: IpNet,
    /// The container runtime.
    pub cri: Cri,
    /// kube-proxy's mode, or none.
    pub proxy: KubeProxy,
    /// Who brings the pod network.
    pub cni: Cni,
    /// Where etcd runs.
    pub etcd: Etcd,
    /// Further names and addresses of the apiserver's certificate.
    pub cert_sans: Vec<String>,
    /// Merged last into `KubeletConfiguration`.
    pub kubelet_config: Map<String, Value>,
    /// Merged last into kubeadm's `ClusterConfiguration`.
    pub cluster_configuration: Map<String, Value>,
}

/// The container runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cri {
    /// Flatcar's own.
    Containerd,
    /// CRI-O, from the bakery's sysext.
    Crio,
}

impl Cri {
    /// The CRI socket as kubeadm wants it.
    pub fn socket(self) -> &'static str {
        match self {
            Self::Containerd => "unix:///run/containerd/containerd.sock",
            Self::Crio => "unix:///var/run/crio/crio.sock",
        }
    }

    /// The systemd unit that runs it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Containerd => "containerd.service",
            Self::Crio => "crio.service",
        }
    }
}

/// kube-proxy's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KubeProxy {
    /// No kube-proxy: the pod network replaces it.
    None,
    /// iptables rules.
    Iptables,
    /// IPVS.
    Ipvs,
    /// nftables rules.
    Nftables,
}

/// Who brings the pod network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", deny_unknown_fields)]
pub enum Cni {
    /// Cilium, by its CLI on the founder.
    #[serde(rename_all = "camelCase")]
    Cilium {
        /// Chart version, e.g. 1.18.1.
        version: String,
        /// Helm values, merged last.
        values: Map<String, Value>,
    },
    /// Manifests, by server-side apply. In a [`Cluster`] they are local files or URLs; in a node file the names of
    /// files in [`crate::paths::MANIFESTS_DIR`], or URLs.
    #[serde(rename_all = "camelCase")]
    Manifests {
        /// Files or URLs, applied in this order.
        sources: Vec<String>,
    },
    /// Somebody else does; nodes are done when they have joined.
    None,
}

/// Where etcd runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Etcd {
    /// On the control planes.
    Stacked,
    /// Elsewhere.
    External {
        /// `https://ADDRESS:PORT` each.
        endpoints: Vec<String>,
        /// CA certificate, absolute path.
        ca: PathBuf,
        /// Client certificate, absolute path.
        cert: PathBuf,
        /// Client key, absolute path.
        key: PathBuf,
    },
}

/// How the VIP and the load balancer are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Who runs keepalived and haproxy.
    pub mode: LbMode,
    /// Port of haproxy's statistics page on the loopback address; none: no page.
    pub stats: Option<u16>,
    /// Further TCP ports balanced over the control planes.
    pub extra_ports: Vec<ExtraPort>,
    /// VRRP advertisement interval in milliseconds, 10 to 40950, in steps of 10 (VRRPv3 counts centiseconds).
    pub advert_interval_ms: u32,
}

/// Who runs keepalived and haproxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LbMode {
    /// The host's own units, from the bakery's sysexts.
    Native,
    /// Podman quadlets.
    Quadlet,
    /// Static pods.
    StaticPod,
    /// A load balancer that exists already owns the VIP.
    External,
}

/// One further balanced port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExtraPort {
    /// DNS label, names the frontend.
    pub name: String,
    /// Port on the VIP.
    pub port: u16,
    /// Port on the control planes.
    pub target: u16,
}

/// The nodes' network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Prefix length, e.g. 24.
    pub prefix: u8,
    /// The network of all node addresses and the VIP, e.g. 10.77.0.0/24.
    pub cidr: IpNet,
    /// Default route.
    pub gateway: IpAddr,
    /// Name servers; empty: none is written.
    pub dns: Vec<IpAddr>,
    /// Name of the nodes' interface.
    pub interface: String,
    /// Largest packet in bytes; none: the interface's own.
    pub mtu: Option<u32>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// DNS label: hostname, Node object, etcd member.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its own address.
    pub address: IpAddr,
    /// What its first interface is found by; none: by its name. Virtual machines always have one.
    pub mac: Option<Mac>,
    /// The libvirt host that it runs on; none: the provider's.
    pub uri: Option<String>,
    /// Further interfaces.
    pub interfaces: Vec<Nic>,
    /// Node labels.
    pub labels: BTreeMap<String, String>,
    /// Node taints.
    pub taints: Vec<Taint>,
}

/// A taint as Kubernetes writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Taint {
    /// Qualified name.
    pub key: String,
    /// May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Who makes the machines.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// libvirt domains.
    Libvirt(Libvirt),
    /// QEMU without root.
    Qemu(Qemu),
    /// systemd-nspawn containers.
    Nspawn(Nspawn),
    /// Nobody: render only.
    None,
}

impl Provider {
    /// The word in the cluster file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Libvirt(_) => "libvirt",
            Self::Qemu(_) => "qemu",
            Self::Nspawn(_) => "nspawn",
            Self::None => "none",
        }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nspawn {
    /// A node image: a directory with `root/` (the operating system, never written to) and optionally `containerd/`
    /// (a prepared image store that each node gets its own copy-on-write view of). Absolute.
    pub image: PathBuf,
    /// Merge sysexts as plain directories even where loop devices work.
    pub sysexts_as_directories: bool,
}

/// One system extension: an image in the bakery's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sysext {
    /// Fetched by Ignition, checked by hash.
    Url {
        /// http or https.
        url: String,
        /// Lower-case hex.
        sha256: String,
    },
    /// A local .raw file, absolute; the provider brings it to `/opt/extensions`.
    File(PathBuf),
    /// The Flatcar sysext bakery's image of this version.
    Bakery {
        /// As in the file's name: `v1.34.4`, `2.3.3`.
        version: String,
    },
    /// The agent's own, as it came with ha-host.
    Bundled,
}

/// The user's own commands, each a list of shell lines run by `/bin/sh -c` with a deadline of 10 minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hooks {
    /// Before init or join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before_join: Vec<String>,
    /// Once the node is Ready for the first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_ready: Vec<String>,
}
