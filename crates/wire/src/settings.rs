//! What a cluster file says and a node is told in the same form: written by people, checked by `ha-host`, read by `ha-agent`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod load_balancer;

pub use load_balancer::{
    Balance, BalancerImages, ExtraPort, LbMode, LoadBalancer, PortCheck, Stats, Timeouts, Vrrp,
};

/// The cluster's one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Endpoint {
    /// Held by one control plane at a time.
    pub vip: IpAddr,
    /// haproxy's port on it.
    pub port: u16,
}

impl Endpoint {
    /// `10.77.0.30:6444`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        std::net::SocketAddr::new(self.vip, self.port).to_string()
    }
}

/// A node's container runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cri {
    /// containerd, a part of Flatcar.
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

    /// The same socket as a path.
    pub fn socket_path(self) -> &'static str {
        self.socket().trim_start_matches("unix://")
    }

    /// What people and system extensions call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Crio => "crio",
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

/// kube-proxy's mode, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KubeProxy {
    /// No kube-proxy: the pod network replaces it.
    None,
    /// Services are iptables rules.
    Iptables,
    /// Services are virtual servers of IPVS.
    Ipvs,
    /// Services are nftables rules.
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
        /// The chart itself, a `.tgz` file. In a checked cluster file where it is here, in a node file where it is on the node
        /// ([`crate::paths::CILIUM_CHART`]), both absolute; none: the CLI has it, or fetches it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chart: Option<String>,
        /// Helm values, merged last.
        values: Map<String, Value>,
    },
    /// Manifests, by server-side apply. In a checked cluster file they are local files or URLs; in a node file the names of
    /// files in [`crate::paths::MANIFESTS_DIR`], or URLs.
    #[serde(rename_all = "camelCase")]
    Manifests {
        /// Files or URLs, applied in this order.
        sources: Vec<String>,
    },
    /// Somebody else does; nodes are done when they have joined.
    None,
}

impl Cni {
    /// Cilium's chart, if it is brought along.
    pub fn chart(&self) -> Option<&str> {
        match self {
            Self::Cilium { chart, .. } => chart.as_deref(),
            Self::Manifests { .. } | Self::None => None,
        }
    }
}

/// A taint as Kubernetes writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Taint {
    /// A qualified name, e.g. `example.com/dedicated`.
    pub key: String,
    /// The value of the key, often empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
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

impl Hooks {
    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.before_join.is_empty() && self.after_ready.is_empty()
    }
}

/// Whether a source, e.g. one of [`Cni::Manifests`], is fetched instead of read from disk.
pub fn is_url(source: &str) -> bool {
    source.starts_with("https://") || source.starts_with("http://")
}
