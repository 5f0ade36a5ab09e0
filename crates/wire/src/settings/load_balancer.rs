//! `loadBalancer`: what is left at its default is left out of the JSON, as it was before there was a choice.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::phase::Role;

/// How the VIP and the load balancer are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Who runs keepalived and haproxy.
    pub mode: LbMode,
    /// haproxy's statistics page; none: no page.
    pub stats: Option<Stats>,
    /// Further TCP ports balanced over the control planes.
    pub extra_ports: Vec<ExtraPort>,
    /// VRRP advertisement interval in milliseconds, 10 to 40950, in steps of 10 (VRRPv3 counts centiseconds).
    pub advert_interval_ms: u32,
    /// How long haproxy keeps what is silent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeouts: Timeouts,
    /// How the control planes' keepalived speak with each other.
    #[serde(default, skip_serializing_if = "is_default")]
    pub vrrp: Vrrp,
    /// The virtual router id that somebody chose; none: a derived one. Nodes read [`crate::node::NodeFile::vrid`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_id: Option<u8>,
    /// Further interfaces without which a node does not hold the VIP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub track: Vec<String>,
    /// What the two container modes run; none in the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<BalancerImages>,
}

/// A container image each, named by its digest: `NAME@sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancerImages {
    /// keepalived's.
    pub keepalived: String,
    /// haproxy's.
    pub haproxy: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Who runs keepalived and haproxy, or that nobody does. Named so that a node file of a later way is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LbMode {
    /// The host's own units, from the bakery's sysexts.
    Native,
    /// The host's own units, on machines that do nothing else.
    Machines,
    /// podman, by units that its generator makes.
    Quadlet,
    /// The kubelet, as static pods.
    StaticPod,
    /// Somebody else's TCP balancer stands before the apiservers: the cluster has neither.
    External,
}

impl LbMode {
    /// Whether keepalived and haproxy come as system extensions, and are units of the host.
    pub fn is_by_sysexts(self) -> bool {
        match self {
            Self::Native | Self::Machines => true,
            Self::Quadlet | Self::StaticPod | Self::External => false,
        }
    }

    /// Whether they come from container images.
    pub fn is_in_containers(self) -> bool {
        matches!(self, Self::Quadlet | Self::StaticPod)
    }

    /// Whether a machine of this role runs them.
    pub fn runs_on(self, role: Role) -> bool {
        match self {
            Self::Native | Self::Quadlet | Self::StaticPod => role == Role::ControlPlane,
            Self::Machines => role == Role::LoadBalancer,
            Self::External => false,
        }
    }
}

/// How the control planes' keepalived speak with each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Vrrp {
    /// Each to each.
    #[default]
    Unicast,
    /// To 224.0.0.18.
    Multicast,
}

/// How long haproxy keeps a connection on which nothing moves, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Timeouts {
    /// The client is silent.
    pub client_ms: u32,
    /// The apiserver is silent.
    pub server_ms: u32,
    /// Both are, once they are connected.
    pub tunnel_ms: u32,
}

impl Timeouts {
    /// An hour each: `kubectl logs -f` of a quiet pod.
    pub const DEFAULT_MS: u32 = 60 * 60 * 1000;
}

impl Default for Timeouts {
    fn default() -> Self {
        let ms = Self::DEFAULT_MS;
        Self {
            client_ms: ms,
            server_ms: ms,
            tunnel_ms: ms,
        }
    }
}

/// haproxy's statistics page. A page on the loopback address for everybody is its port alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StatsForm", into = "StatsForm")]
pub struct Stats {
    /// Loopback, all addresses, or the VIP.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// Who has to log in; none: nobody.
    pub user: Option<String>,
    /// In a checked cluster file where the password is here, absolute; a node file does not say it
    /// ([`crate::paths::HAPROXY_ENV`]).
    pub password_file: Option<PathBuf>,
}

impl Stats {
    /// Where the page is if nothing else is said.
    pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// The page that a number alone means.
    pub fn on_loopback(port: u16) -> Self {
        Self {
            address: Self::ADDRESS,
            port,
            user: None,
            password_file: None,
        }
    }
}

/// [`Stats`] in JSON.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum StatsForm {
    Port(u16),
    Page(StatsPage),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StatsPage {
    address: IpAddr,
    port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
}

impl From<StatsForm> for Stats {
    fn from(form: StatsForm) -> Self {
        match form {
            StatsForm::Port(port) => Self::on_loopback(port),
            StatsForm::Page(page) => Self {
                address: page.address,
                port: page.port,
                user: page.user,
                password_file: page.password_file,
            },
        }
    }
}

impl From<Stats> for StatsForm {
    fn from(stats: Stats) -> Self {
        if stats == Stats::on_loopback(stats.port) {
            return Self::Port(stats.port);
        }
        Self::Page(StatsPage {
            address: stats.address,
            port: stats.port,
            user: stats.user,
            password_file: stats.password_file,
        })
    }
}

/// One further balanced port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExtraPort {
    /// DNS label, names the frontend.
    pub name: String,
    /// Port on the VIP.
    pub port: u16,
    /// Port on the control planes. The same as [`Self::port`]: haproxy takes it on the VIP alone.
    pub target: u16,
    /// What counts as alive.
    #[serde(default, skip_serializing_if = "is_default")]
    pub check: PortCheck,
    /// Who gets the next connection.
    #[serde(default, skip_serializing_if = "is_default")]
    pub balance: Balance,
}

/// What haproxy asks of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum PortCheck {
    /// It takes connections.
    #[default]
    Tcp,
    /// It completes a TLS handshake, under whatever certificate.
    Tls,
    /// It answers 2xx or 3xx to a GET.
    Http {
        /// Of this path.
        path: String,
    },
}

/// Who gets the next connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Balance {
    /// Who has the fewest.
    #[default]
    Leastconn,
    /// Everybody in turn.
    Roundrobin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_default_is_not_written() {
        let old = r#"{"mode":"native","stats":8404,"extraPorts":[{"name":"a","port":1,"target":2}],"advertIntervalMs":100}"#;
        let read: LoadBalancer = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
        assert_eq!(read.stats, Some(Stats::on_loopback(8404)));
    }

    #[test]
    fn what_is_not_default_comes_back() {
        let text = r#"{"mode":"staticPod","stats":{"address":"0.0.0.0","port":9000,"user":"admin"},"extraPorts":[{"name":"a","port":1,"target":1,"check":{"http":{"path":"/"}},"balance":"roundrobin"}],"advertIntervalMs":100,"timeouts":{"clientMs":1000,"serverMs":1000,"tunnelMs":1000},"vrrp":"multicast","routerId":51,"track":["eth1"],"images":{"keepalived":"a@sha256:0","haproxy":"b@sha256:0"}}"#;
        let read: LoadBalancer = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
