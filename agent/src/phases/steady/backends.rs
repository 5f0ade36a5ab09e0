//! Which apiservers the load balancer is to have. Pure.
//!
//! An apiserver that is down stays a backend: haproxy's own checks are faster and cost no reload. Only a control plane
//! whose node left the cluster is taken out, and only if this agent saw it there before: one that is yet to join is not
//! in the cluster either.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ha_wire::node::{NodeFile, Peer};

/// Control planes that this agent has seen in the cluster.
#[derive(Debug, Clone, Default)]
pub struct SeenControlPlanes {
    seen: BTreeSet<String>,
}

impl SeenControlPlanes {
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
mod tests {
    use super::*;
    use crate::testing;

    fn peers(hosts: &[u8]) -> Vec<Peer> {
        hosts
            .iter()
            .map(|h| Peer {
                name: format!("node{}", h - 10),
                address: [10, 77, 0, *h].into(),
            })
            .collect()
    }

    fn endpoints(hosts: &[u8]) -> Vec<String> {
        hosts.iter().map(|h| format!("10.77.0.{h}")).collect()
    }

    /// What it is about; seen before, backends, nodes, endpoints; backends then.
    type Case = (
        &'static str,
        &'static [u8],
        &'static [u8],
        &'static [u8],
        &'static [u8],
        &'static [u8],
    );

    #[test]
    fn the_balancer_follows_the_cluster() {
        let me = testing::control_plane();
        let cases: [Case; 8] = [
            (
                "all is as wished",
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12, 13],
            ),
            (
                "one is down",
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12],
                &[11, 12, 13],
            ),
            (
                "one is yet to join",
                &[],
                &[11, 12, 13],
                &[11, 12],
                &[11, 12],
                &[11, 12, 13],
            ),
            (
                "one came",
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12, 13, 14],
                &[11, 12, 13],
                &[11, 12, 13, 14],
            ),
            (
                "one left",
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12],
                &[11, 12],
                &[11, 12],
            ),
            (
                "its node is gone, it still answers",
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 12],
                &[11, 12, 13],
                &[11, 12, 13],
            ),
            (
                "the API knows nobody",
                &[11, 12, 13],
                &[11, 12, 13],
                &[],
                &[],
                &[11, 12, 13],
            ),
            (
                "this node is never taken out",
                &[11, 12, 13],
                &[11, 12, 13],
                &[11, 13],
                &[11, 13],
                &[11, 12, 13],
            ),
        ];
        for (what, seen, now, nodes, answers, expected) in cases {
            let mut known = SeenControlPlanes {
                seen: peers(seen).into_iter().map(|p| p.name).collect(),
            };
            let wanted = known.wanted(&peers(now), &peers(nodes), &endpoints(answers), &me);
            assert_eq!(wanted, peers(expected), "{what}");
        }
    }

    #[test]
    fn a_new_address_under_an_old_name_replaces() {
        let mut known = SeenControlPlanes::default();
        let mut nodes = peers(&[11, 12, 13]);
        nodes[2].address = [10, 77, 0, 99].into();
        let wanted = known.wanted(
            &peers(&[11, 12, 13]),
            &nodes,
            &[],
            &testing::control_plane(),
        );
        assert_eq!(wanted, nodes);
    }
}
