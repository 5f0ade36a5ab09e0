//! What the cluster file asks for, as far as health depends on it.

use std::net::IpAddr;

use ha_wire::phase::Role;
use ha_wire::settings::Endpoint;

/// A cluster as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedCluster {
    /// Its name.
    pub name: String,
    /// Where its API answers.
    pub endpoint: Endpoint,
    /// Whether that is somebody else's balancer.
    pub is_external: bool,
    /// Its nodes, in the order of the cluster file.
    pub nodes: Vec<ExpectedNode>,
    /// Whether a pod network is brought with it: without one no node gets Ready, and that is somebody else's work.
    pub has_pod_network: bool,
    /// Whether Cilium is that network.
    pub has_cilium: bool,
    /// Whether kube-proxy serves the services.
    pub has_kube_proxy: bool,
    /// Whether the nodes are told name servers.
    pub has_name_servers: bool,
    /// keepalived's interval between two adverts, milliseconds.
    pub advert_interval_ms: u32,
    /// Whether etcd is somebody else's: no control plane has a member of it.
    pub external_etcd: bool,
    /// How large etcd's database may get, bytes.
    pub etcd_quota_bytes: u64,
}

/// A node as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedNode {
    /// Its name.
    pub name: String,
    /// What it is in its cluster.
    pub role: Role,
    /// Its address.
    pub address: IpAddr,
    /// A control plane that is to have no taint.
    pub untainted: bool,
}

impl ExpectedNode {
    /// Whether an apiserver, an etcd member and perhaps the VIP are there.
    pub fn is_control_plane(&self) -> bool {
        self.role == Role::ControlPlane
    }
}

impl ExpectedCluster {
    /// The control planes, in order.
    pub fn control_planes(&self) -> impl Iterator<Item = &ExpectedNode> {
        self.nodes.iter().filter(|n| n.is_control_plane())
    }

    /// Those that are to be Nodes, in order.
    pub fn kubernetes_nodes(&self) -> impl Iterator<Item = &ExpectedNode> {
        let nodes = self.nodes.iter();
        nodes.filter(|n| n.role.is_kubernetes_node())
    }

    /// The machines of the load balancer's own; none where control planes balance.
    pub fn balancer_machines(&self) -> impl Iterator<Item = &ExpectedNode> {
        self.nodes.iter().filter(|n| n.role == Role::LoadBalancer)
    }

    /// Those that may hold the VIP.
    pub fn vip_candidates(&self) -> Vec<&ExpectedNode> {
        let machines: Vec<&ExpectedNode> = self.balancer_machines().collect();
        match machines.is_empty() {
            true => self.control_planes().collect(),
            false => machines,
        }
    }

    /// The command that shows what a unit of a node wrote.
    pub(super) fn journal_command(&self, node: &str, unit: &str) -> String {
        format!("ha-host logs {} {node} --unit {unit}", self.name)
    }
}
