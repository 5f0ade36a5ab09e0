//! One thing that is wrong.

use serde::{Deserialize, Serialize};

/// What a finding is about. The order is that in which people are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The API through the VIP: reads and writes.
    Api,
    /// Who holds the VIP, and how often it moves.
    Vip,
    /// haproxy and the apiservers behind it.
    LoadBalancer,
    /// etcd's members, alarms, space.
    Etcd,
    /// The control plane's and the kubelets' Leases.
    Leases,
    /// The API's service address inside of the cluster.
    Service,
    /// Cluster DNS.
    Dns,
    /// The pod network.
    PodNetwork,
    /// The way of `kubectl logs` and `kubectl exec` to the kubelets.
    Logs,
    /// A node: its Node object, its machine, its kubelet.
    Node(String),
    /// A node's agent.
    Agent(String),
}

impl Part {
    /// What people are shown in front of what is wrong; a node's own name is in the words that follow.
    pub fn label(&self) -> &str {
        match self {
            Self::Api => "API",
            Self::Vip => "VIP",
            Self::LoadBalancer => "haproxy",
            Self::Etcd => "etcd",
            Self::Leases => "leases",
            Self::Service => "service",
            Self::Dns => "dns",
            Self::PodNetwork => "network",
            Self::Logs => "logs",
            Self::Node(_) => "node",
            Self::Agent(name) => name,
        }
    }
}

/// One thing that is wrong, and how to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is about.
    pub part: Part,
    /// One line: what is wrong, with the failing program's own words.
    pub what: String,
    /// The command that shows more or mends it; empty: there is none.
    pub next: String,
    /// For how long it has been so, in seconds; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl Finding {
    /// A finding without a command.
    pub fn new(part: Part, what: impl Into<String>) -> Self {
        Self {
            part,
            what: what.into(),
            next: String::new(),
            seconds: None,
        }
    }

    /// The same with the command that shows more or mends it.
    #[must_use]
    pub fn with_next(mut self, command: impl Into<String>) -> Self {
        self.next = command.into();
        self
    }
    /// The same with how long it has been so, in seconds.
    #[must_use]
    pub fn lasting(mut self, seconds: Option<u64>) -> Self {
        self.seconds = seconds;
        self
    }
}
