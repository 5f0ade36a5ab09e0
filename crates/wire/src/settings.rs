//! What a cluster file says and a node is told in the same form: written by people, checked by `ha-host`, read by `ha-agent`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kubernetes::APISERVER_PORT;

mod load_balancer;

pub use load_balancer::{
    Balance, BalancerImages, ExtraPort, LbMode, LoadBalancer, PortCheck, Stats, Timeouts, Vrrp,
};

/// Where the cluster's API answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Endpoint {
    /// Held by one control plane at a time; or an address of somebody else's balancer ([`LbMode::External`]).
    pub vip: IpAddr,
    /// The interface that it is passed on at; none: the one with the node's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The balancer's port on it.
    pub port: u16,
    /// Every apiserver's port on its node's own address.
    #[serde(
        default = "default_apiserver_port",
        skip_serializing_if = "is_default_apiserver_port"
    )]
    pub apiserver_port: u16,
    /// What kubeconfigs and certificates call it; none: by its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Further addresses that the name means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_addresses: Vec<IpAddr>,
}

impl Endpoint {
    /// `10.77.0.30:6444`, with brackets around an IPv6 address; `k8s-api.example.org:6443` if it has a name.
    pub fn authority(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}:{}", self.port),
            None => self.socket().to_string(),
        }
    }

    /// Its name, or else its address.
    pub fn host(&self) -> String {
        let name = self.name.clone();
        name.unwrap_or_else(|| self.vip.to_string())
    }

    /// The one to connect to.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.port)
    }

    /// Where the apiserver of the control plane with this address listens.
    pub fn apiserver(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.apiserver_port)
    }

    /// Every address of it.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.vip).chain(self.further_addresses.iter().copied())
    }

    /// What a certificate of an apiserver has to hold for it.
    pub fn certificate_names(&self) -> Vec<String> {
        let addresses = self.addresses().map(|address| address.to_string());
        self.name.iter().cloned().chain(addresses).collect()
    }
}

pub(crate) fn default_apiserver_port() -> u16 {
    APISERVER_PORT
}

pub(crate) fn is_default_apiserver_port(port: &u16) -> bool {
    *port == APISERVER_PORT
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_what_it_was_unless_it_has_a_name() {
        for (text, authority) in [
            (r#"{"vip":"10.77.0.30","port":6444}"#, "10.77.0.30:6444"),
            (r#"{"vip":"fd00::30","port":6444}"#, "[fd00::30]:6444"),
            (
                r#"{"vip":"10.77.0.30","port":6443,"apiserverPort":6444}"#,
                "10.77.0.30:6443",
            ),
            (
                r#"{"vip":"192.0.2.30","interface":"eth1","port":6444}"#,
                "192.0.2.30:6444",
            ),
            (
                r#"{"vip":"192.0.2.10","port":6443,"name":"k8s-api.example.org","furtherAddresses":["192.0.2.11"]}"#,
                "k8s-api.example.org:6443",
            ),
        ] {
            let read: Endpoint = serde_json::from_str(text).unwrap();
            assert_eq!(read.authority(), authority);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }
}
