//! What one look at the cluster showed, and what is missing of a whole cluster.

use std::collections::{BTreeMap, BTreeSet};

use ha_cluster_file::cluster::Cluster;
use ha_host_base::text::printable;
use ha_kube::etcd::Member;
use ha_kube::objects::Node;
use ha_wire::settings::Cni;

/// What one look showed. Errors are one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The API through the VIP.
    pub vip: Result<(), String>,
    /// Node objects.
    pub nodes: BTreeMap<String, NodeView>,
    /// etcd's members; asked once every node is Ready.
    pub etcd: Result<Vec<Member>, String>,
    /// Every control plane's own apiserver; asked once every node is Ready.
    pub apiservers: BTreeMap<String, Result<(), String>>,
}

impl Default for ClusterView {
    fn default() -> Self {
        let (vip, etcd) = (
            Err("not asked yet".to_owned()),
            Err("not asked yet".to_owned()),
        );
        Self {
            vip,
            etcd,
            nodes: BTreeMap::new(),
            apiservers: BTreeMap::new(),
        }
    }
}

/// A Node object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its condition Ready is True.
    pub ready: bool,
    /// The condition's message.
    pub reason: String,
}

/// What matters of a Node object, by its name.
pub(super) fn node_view(node: &Node) -> (String, NodeView) {
    let seen = NodeView {
        ready: node.is_ready(),
        reason: node.why_not_ready(),
    };
    (node.metadata.name.clone(), seen)
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

    /// How many of the cluster's nodes are Ready.
    pub fn ready(&self, cluster: &Cluster) -> usize {
        cluster
            .nodes
            .iter()
            .filter(|n| self.is_ready(&n.name))
            .count()
    }

    /// Whether all of them are as far as they can be.
    pub fn all_there(&self, cluster: &Cluster) -> bool {
        cluster
            .nodes
            .iter()
            .all(|n| self.node(cluster, &n.name).is_none())
    }

    /// Voting members.
    pub fn voters(&self) -> usize {
        self.etcd
            .as_ref()
            .map_or(0, |m| m.iter().filter(|m| m.is_voter()).count())
    }

    /// What is missing of a whole cluster, one line each; none: it is whole.
    pub fn missing(&self, cluster: &Cluster) -> Vec<String> {
        if let Err(error) = &self.vip {
            return vec![format!(
                "the API at {}: {}",
                cluster.endpoint.authority(),
                printable(error)
            )];
        }
        let mut missing: Vec<String> = cluster
            .nodes
            .iter()
            .filter_map(|n| self.node(cluster, &n.name))
            .collect();
        if missing.is_empty() {
            missing.extend(self.etcd(cluster));
            missing.extend(
                cluster
                    .control_planes()
                    .filter_map(|n| self.apiserver(&n.name)),
            );
        }
        missing
    }

    fn node(&self, cluster: &Cluster, name: &str) -> Option<String> {
        // Without a pod network no node gets Ready, and bringing one is somebody else's work: joining is all.
        let joined_is_all = cluster.kubernetes.cni == Cni::None;
        match self.nodes.get(name) {
            Some(seen) if seen.ready || joined_is_all => None,
            Some(seen) => Some(format!("{name} is not Ready: {}", printable(&seen.reason))),
            None => Some(format!("{name} has not joined")),
        }
    }

    fn etcd(&self, cluster: &Cluster) -> Option<String> {
        let members = match &self.etcd {
            Ok(members) => members,
            Err(error) => return Some(format!("etcd's member list: {}", printable(error))),
        };
        let wanted: BTreeSet<&str> = cluster.control_planes().map(|n| n.name.as_str()).collect();
        let there: BTreeSet<&str> = members
            .iter()
            .filter(|m| m.is_voter())
            .map(|m| m.name.as_str())
            .collect();
        (wanted != there || members.len() != wanted.len()).then(|| {
            let word = |m: &Member| match (m.name.as_str(), !m.is_learner) {
                ("", _) => "one not started".to_owned(),
                (name, true) => name.to_owned(),
                (name, false) => format!("{name} (learner)"),
            };
            let list: Vec<String> = members.iter().map(word).collect();
            match list.join(", ") {
                list if list.is_empty() => "etcd has no members".to_owned(),
                list => format!("etcd's members are {list} instead of all control planes"),
            }
        })
    }

    fn apiserver(&self, name: &str) -> Option<String> {
        match self.apiservers.get(name) {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(format!("{name}'s apiserver: {}", printable(error))),
            None => Some(format!("{name}'s apiserver was not asked yet")),
        }
    }
}

#[cfg(test)]
mod tests;
