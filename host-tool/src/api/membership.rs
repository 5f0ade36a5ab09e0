//! Whether anything of the cluster answers, and whom it counts among its own.

use std::collections::BTreeSet;

use ha_cluster_file::cluster::Node;
use ha_kube::etcd::Member;
use ha_kube::{ApiError, ErrorKind};
use tokio::task::JoinSet;

use super::Api;

/// Whom the cluster counts among its own: by its API and by etcd's quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    nodes: BTreeSet<String>,
    members: Vec<Member>,
}

impl Membership {
    /// Whether there is a Node object or an etcd member of this node.
    pub fn knows(&self, node: &Node) -> bool {
        let mut members = self.members.iter();
        self.nodes.contains(&node.name) || members.any(|m| m.is_of(&node.name, node.address))
    }
}

impl Api {
    /// Where an apiserver answers under this cluster's CA, however sick it is: at the VIP or at a control plane, all asked at
    /// once. The error: what was met at each of them.
    pub async fn find_answer(&self) -> Result<String, Vec<String>> {
        let vip = (self.cluster.endpoint.authority(), self.vip.clone());
        let own = self.apiservers.iter();
        let own = own.map(|(name, client)| (name.clone(), client.clone()));
        let mut asked = JoinSet::new();
        for (place, client) in std::iter::once(vip).chain(own) {
            asked.spawn(async move { (place, client.ready().await) });
        }
        let mut silent = Vec::new();
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((place, answer)) if is_vouched_for(&answer) => return Ok(place),
                Ok((place, Err(error))) => silent.push(format!("{place}: {}", error.kind)),
                Ok((_, Ok(()))) => {}
                Err(error) => silent.push(error.to_string()),
            }
        }
        silent.sort();
        Err(silent)
    }

    /// Asks the API, through the VIP or at the first control plane that answers, and etcd's quorum.
    pub async fn membership(&self) -> Result<Membership, String> {
        let nodes = self.ask_any(async |client| client.nodes().await).await;
        let nodes = nodes.map_err(|e| format!("the API: {e}"))?;
        let nodes = nodes.into_iter().map(|node| node.metadata.name).collect();
        let members = self.members().await;
        let members = members.map_err(|e| format!("etcd's member list: {e}"))?;
        Ok(Membership { nodes, members })
    }
}

/// Whether the cluster's CA vouches for whoever answered.
fn is_vouched_for(answer: &Result<(), ApiError>) -> bool {
    match answer {
        Ok(()) => true,
        Err(error) => matches!(error.kind, ErrorKind::Status { .. } | ErrorKind::Body(_)),
    }
}
