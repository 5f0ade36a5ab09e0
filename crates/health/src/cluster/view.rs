//! What one look at a cluster showed: facts alone, filled by whoever looks.

use std::collections::BTreeMap;

use ha_wire::status::{EtcdAlarm, Status};

use super::expected::{ExpectedCluster, ExpectedNode};

/// What one look showed. Errors are one line each; what was not asked, or did not answer, is none or empty.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterView {
    /// The API through the VIP.
    pub vip: Result<(), String>,
    /// Node objects, by name.
    pub nodes: BTreeMap<String, NodeView>,
    /// etcd's members; a launch asks once every node is Ready.
    pub etcd: Result<Vec<MemberView>, String>,
    /// Every control plane's own apiserver; a launch asks once every node is Ready.
    pub apiservers: BTreeMap<String, Result<(), String>>,
    /// What the API says of the cluster's parts; none: not asked, or nobody answered.
    pub api: Option<ApiFacts>,
    /// What etcd's members say of themselves; none: not asked.
    pub etcd_facts: Option<EtcdFacts>,
    /// Machines and agents, by the node's name.
    pub agents: BTreeMap<String, AgentView>,
}

impl Default for ClusterView {
    fn default() -> Self {
        let not_asked = || "not asked yet".to_owned();
        Self {
            vip: Err(not_asked()),
            nodes: BTreeMap::new(),
            etcd: Err(not_asked()),
            apiservers: BTreeMap::new(),
            api: None,
            etcd_facts: None,
            agents: BTreeMap::new(),
        }
    }
}

/// A Node object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Its condition Ready is True.
    pub ready: bool,
    /// The condition's message.
    pub reason: String,
    /// Since when it is Ready or not, by the cluster's clock, milliseconds since 1970.
    pub changed_ms: Option<u64>,
    /// What it runs short of: `DiskPressure`, ...
    pub pressures: Vec<String>,
    /// Whether cluster DNS may be scheduled on it.
    pub takes_dns: bool,
    /// Whether it has kubeadm's label of control planes.
    pub is_labelled: bool,
    /// Whether it has kubeadm's label that keeps load balancers of services away.
    pub is_excluded: bool,
    /// Whether it has kubeadm's taint of control planes.
    pub is_tainted: bool,
}

/// An etcd member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberView {
    /// Its name; empty until it has started once.
    pub name: String,
    /// True until it votes.
    pub is_learner: bool,
}

impl MemberView {
    /// Whether it started and votes.
    pub fn is_voter(&self) -> bool {
        !self.name.is_empty() && !self.is_learner
    }
}

/// What etcd's members say of themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdFacts {
    /// Alarms that they have raised.
    pub alarms: Vec<EtcdAlarm>,
    /// Those that answered, by name.
    pub members: BTreeMap<String, EtcdMemberFacts>,
}

/// What an etcd member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdMemberFacts {
    /// The leader that it follows, by name or id; empty: none.
    pub leader: String,
    /// What its database takes on the disk, bytes; none: not known.
    pub database_bytes: Option<u64>,
    /// What it may take; none: not known.
    pub quota_bytes: Option<u64>,
}

/// What the API says of the cluster's parts. Times are milliseconds since 1970 by the apiservers' clocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiFacts {
    /// The clock of the apiserver that answered; without it no age is judged.
    pub now_ms: Option<u64>,
    /// A small write through the VIP, as a dry run; none: not tried.
    pub write: Option<Result<(), String>>,
    /// Services that claim the VIP; asked when it does not answer.
    pub services_on_vip: Vec<ServiceName>,
    /// When kube-controller-manager and kube-scheduler renewed their Leases, by name; none: there is none.
    pub leases: BTreeMap<String, Option<u64>>,
    /// When each node's kubelet renewed its Lease, by the node's name.
    pub kubelet_leases: BTreeMap<String, u64>,
    /// The newest request of each kubelet for a serving certificate, unless it was signed.
    pub serving_certificates: Vec<ServingCertificate>,
    /// Cluster DNS; none: not known, or it is somebody else's.
    pub dns: Option<DnsView>,
    /// DaemonSets whose pods are critical for their node; none: not known.
    pub node_daemons: Option<Vec<DaemonSetView>>,
    /// The control plane's version of Kubernetes, by kubeadm's ConfigMap; none: not known.
    pub kubernetes_version: Option<String>,
}

/// A Service by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A kubelet's request for a serving certificate that nobody signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingCertificate {
    /// Whose it is.
    pub node: String,
    /// The CertificateSigningRequest's name.
    pub request: String,
    /// When it was made.
    pub made_ms: u64,
    /// `Pending`, `Denied`, `Failed` or `Approved`.
    pub state: &'static str,
}

/// The Deployment coredns and its pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsView {
    /// Pods that are wanted.
    pub wanted: u32,
    /// Since when the Deployment exists.
    pub made_ms: Option<u64>,
    /// Those that are there.
    pub pods: Vec<DnsPodView>,
}

/// A pod of cluster DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsPodView {
    /// Its name.
    pub name: String,
    /// Where it runs; empty: nowhere yet.
    pub node: String,
    /// Whether it serves.
    pub ready: bool,
    /// When it was given its node.
    pub scheduled_ms: Option<u64>,
    /// Why it does not serve, in the words of Kubernetes or its own; empty: not known.
    pub trouble: String,
}

/// A DaemonSet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonSetView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// On so many nodes it should run.
    pub wanted: u32,
    /// On so many it does.
    pub ready: u32,
}

/// What a node's machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// There is none.
    Absent,
    /// It is off.
    Off,
    /// It runs.
    Running,
}

/// A node's machine and its agent's word.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentView {
    /// What its machine does; none: not known.
    pub machine: Option<Machine>,
    /// What its agent says.
    pub word: AgentWord,
    /// What its /run still takes, KiB; none: not known.
    pub run_left_kib: Option<u64>,
}

/// What a node's agent says.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentWord {
    /// Nobody on the machine could be asked.
    Unreachable,
    /// The machine answers, and its agent has not written anything since it booted.
    NoStatus {
        /// The machine's failed units.
        failed_units: Vec<String>,
    },
    /// Its agent writes a status that this program does not know.
    OtherVersion(u64),
    /// Its status.
    Status {
        /// As it was written.
        status: Box<Status>,
        /// The node's own clock when it was read, milliseconds since 1970; none: not known.
        now_ms: Option<u64>,
    },
}

/// An agent that keeps watch asks the API's service address every few seconds and writes when it did; older than this, in
/// seconds, its words are old, not true.
pub(super) const OLD_WORDS: u64 = crate::node::OLD_AFTER_MS / 1000;

impl AgentView {
    /// How old the agent's word is, in seconds by the node's own clock. None: not known; agents before the one that asks for the
    /// service address wrote changes alone.
    pub fn word_age(&self) -> Option<u64> {
        let AgentWord::Status { status, now_ms } = &self.word else {
            return None;
        };
        if status.role.is_kubernetes_node() {
            status.service.as_ref()?;
        }
        Some(now_ms.as_ref()?.saturating_sub(status.updated_ms) / 1000)
    }
}

/// An agent's word that is not old.
#[derive(Clone, Copy)]
pub(super) struct FreshWord<'a> {
    pub node: &'a ExpectedNode,
    pub status: &'a Status,
    /// The node's own clock, milliseconds since 1970.
    pub now_ms: u64,
}

impl FreshWord<'_> {
    /// Seconds since a time of the node's own clock.
    pub fn seconds_since(&self, ms: u64) -> u64 {
        self.now_ms.saturating_sub(ms) / 1000
    }
}

impl ClusterView {
    /// Whether any apiserver of the cluster answers.
    pub fn answers(&self) -> bool {
        self.vip.is_ok() || self.apiservers.values().any(Result::is_ok)
    }

    /// Whether a node is Ready.
    pub fn is_ready(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|n| n.ready)
    }

    /// etcd's voting members.
    pub fn voters(&self) -> usize {
        let members = self.etcd.as_deref().unwrap_or_default();
        members.iter().filter(|m| m.is_voter()).count()
    }

    /// The endpoints of an external etcd, each with the nodes that it does not answer well and what they met; by the agents' words
    /// that are not old.
    pub fn etcd_endpoints<'a>(
        &'a self,
        expected: &'a ExpectedCluster,
    ) -> BTreeMap<&'a str, Vec<(&'a str, &'a str)>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for word in self.fresh_words(expected) {
            for endpoint in word.status.etcd.iter().flat_map(|etcd| &etcd.endpoints) {
                let errors = all.entry(endpoint.url.as_str()).or_default();
                if !endpoint.error.is_empty() {
                    errors.push((word.node.name.as_str(), endpoint.error.as_str()));
                }
            }
        }
        all
    }

    /// Which nodes say that they hold the VIP, without old words.
    pub fn vip_holders(&self, expected: &ExpectedCluster) -> Vec<String> {
        let words = self.fresh_words(expected).into_iter();
        let here = words.filter(|w| w.status.vip.here);
        here.map(|w| w.node.name.clone()).collect()
    }

    /// For how long the VIP's only holder has held it, in seconds; none: not known, or not one node alone says so.
    pub fn vip_held_seconds(&self, expected: &ExpectedCluster) -> Option<u64> {
        let words = self.fresh_words(expected);
        let holders: Vec<&FreshWord<'_>> = words.iter().filter(|w| w.status.vip.here).collect();
        let [holder] = holders[..] else { return None };
        Some(holder.seconds_since(holder.status.vip.held_since_ms?))
    }

    /// Whether the list of Node objects was read.
    pub(super) fn knows_nodes(&self) -> bool {
        self.vip.is_ok() || !self.nodes.is_empty()
    }

    /// The same of nodes of Kubernetes alone.
    pub(super) fn kubernetes_words<'a>(
        &'a self,
        expected: &'a ExpectedCluster,
    ) -> Vec<FreshWord<'a>> {
        let mut words = self.fresh_words(expected);
        words.retain(|word| word.node.role.is_kubernetes_node());
        words
    }

    /// The words of agents that are not old, in the nodes' order.
    pub(super) fn fresh_words<'a>(&'a self, expected: &'a ExpectedCluster) -> Vec<FreshWord<'a>> {
        let word = |node: &'a ExpectedNode| {
            let agent = self.agents.get(&node.name)?;
            let AgentWord::Status { status, now_ms } = &agent.word else {
                return None;
            };
            let is_fresh = agent.word_age().is_none_or(|age| age <= OLD_WORDS);
            is_fresh.then_some(FreshWord {
                node,
                status,
                now_ms: now_ms.unwrap_or(status.updated_ms),
            })
        };
        expected.nodes.iter().filter_map(word).collect()
    }

    /// Seconds since a time of the cluster's clock.
    pub(super) fn seconds_since(&self, ms: u64) -> Option<u64> {
        let now = self.api.as_ref()?.now_ms?;
        Some(now.saturating_sub(ms) / 1000)
    }
}
