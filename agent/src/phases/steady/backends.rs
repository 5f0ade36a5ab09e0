//! Which apiservers the load balancer is to have. Pure.
//!
//! An apiserver that is down stays a backend: haproxy's own checks are faster and cost no reload. Only a control plane
//! whose node left the cluster is taken out, and only if this agent saw it there before: one that is yet to join is not
//! in the cluster either.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ha_wire::node::{NodeFile, Peer};

/// Control planes that were seen in the cluster.
#[derive(Debug, Clone)]
pub struct SeenControlPlanes {
    seen: BTreeSet<String>,
}

impl SeenControlPlanes {
    /// For an agent that begins: what its load balancer has beyond the node file can only have come from the cluster.
    pub fn begin(backends: &[Peer], me: &NodeFile) -> Self {
        let is_told = |p: &Peer| me.control_planes.iter().any(|told| told.name == p.name);
        let seen = backends.iter().filter(|p| !is_told(p));
        Self {
            seen: seen.map(|p| p.name.clone()).collect(),
        }
    }

    /// The backends from now on, in a stable order: as they are, then newcomers by name.
    pub fn wanted(
        &mut self,
        now: &[Peer],
        nodes: &[Peer],
        endpoints: &[String],
        me: &NodeFile,
    ) -> Vec<Peer> {
        if nodes.is_empty() {
            // The API knows no control plane at all: it is younger than its own nodes.
            return now.to_vec();
        }
        let answers: BTreeSet<IpAddr> = endpoints.iter().filter_map(|e| e.parse().ok()).collect();
        let left = |p: &Peer| {
            let in_cluster = nodes.iter().any(|n| n.name == p.name) || answers.contains(&p.address);
            self.seen.contains(&p.name) && !in_cluster && p.name != me.name
        };
        let mut wanted: Vec<Peer> = now
            .iter()
            .filter(|p| !left(p))
            .map(|p| with_current_address(p, nodes))
            .collect();
        let mut new: Vec<Peer> = nodes.to_vec();
        new.push(Peer {
            name: me.name.clone(),
            address: me.address,
        });
        new.sort_by(|a, b| a.name.cmp(&b.name));
        for peer in new {
            if !wanted
                .iter()
                .any(|p| p.name == peer.name || p.address == peer.address)
            {
                wanted.push(peer);
            }
        }
        self.seen.extend(nodes.iter().map(|n| n.name.clone()));
        wanted
    }
}

/// A control plane made anew under its name may have another address.
fn with_current_address(peer: &Peer, nodes: &[Peer]) -> Peer {
    nodes
        .iter()
        .find(|n| n.name == peer.name)
        .unwrap_or(peer)
        .clone()
}

#[cfg(test)]
mod tests;
