//! The names of what a node does between its first boot and its steady state.

use serde::{Deserialize, Serialize};

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs etcd and the apiserver; the load balancer too, unless it has machines of its own.
    ControlPlane,
    /// Runs pods and nothing of the control plane.
    Worker,
    /// A machine for keepalived and haproxy alone, without Kubernetes (`loadBalancer.mode: {machines: }`).
    LoadBalancer,
}

impl Role {
    /// The role as shown to people.
    pub fn label(self) -> &'static str {
        match self {
            Self::ControlPlane => "control plane",
            Self::Worker => "worker",
            Self::LoadBalancer => "load balancer",
        }
    }

    /// Whether the cluster has a Node object of it.
    pub fn is_kubernetes_node(self) -> bool {
        match self {
            Self::ControlPlane | Self::Worker => true,
            Self::LoadBalancer => false,
        }
    }
}

/// One step of a node's life, in the order in which it is met. The agent's `plan.rs` says which role meets which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Is the machine fit: time, ports, modules, sysctls, disk, inotify limits, wrong leftovers.
    Preflight,
    /// Container images, side by side with everything else.
    Images,
    /// keepalived and haproxy run with this cluster's configuration (where the node file says so).
    Balancer,
    /// Waits for `/readyz` 200 through the VIP under the cluster's CA, and a readable kubeadm-config.
    Gate,
    /// `kubeadm init` (the founder, when no cluster answers).
    Init,
    /// `kubeadm join`; on control planes an etcd member joins with it.
    Join,
    /// The pod network is installed (founder) and this node is Ready.
    Network,
    /// Labels, taints, hooks; secrets that served their purpose are wiped.
    Finish,
    /// Watches the node and the cluster until the machine goes off.
    Steady,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 9] = [
        Self::Preflight,
        Self::Images,
        Self::Balancer,
        Self::Gate,
        Self::Init,
        Self::Join,
        Self::Network,
        Self::Finish,
        Self::Steady,
    ];

    /// Whether it runs side by side with the others from the begin on: what is told of it never takes the place of the phase
    /// that the node is in.
    pub fn is_background(self) -> bool {
        self == Self::Images
    }

    /// The phase's name as in files, logs and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Images => "images",
            Self::Balancer => "balancer",
            Self::Gate => "gate",
            Self::Init => "init",
            Self::Join => "join",
            Self::Network => "network",
            Self::Finish => "finish",
            Self::Steady => "steady",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
