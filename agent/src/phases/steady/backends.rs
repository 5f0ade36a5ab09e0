//! Which apiservers the load balancer is to have. Pure.
//!
//! Only proof changes anything: an apiserver that answers as this cluster comes, one that shows another cluster goes. What
//! the API lists proves nothing, since many may write there. An apiserver that is down stays a backend: haproxy's own checks
//! are faster and cost no reload.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ha_wire::node::{NodeFile, Peer};

use super::clusters::Standing;

/// A control plane that the cluster does not list and that does not answer has left it after this long: one that is yet to
/// join, or is being made anew, takes minutes. Should it take longer, it comes back when it answers.
const LEFT_AFTER: Duration = Duration::from_mins(10);

/// What one look found.
pub struct BalancerView<'a> {
    /// The backends as they are.
    pub now: &'a [Peer],
    /// The control planes that the cluster lists; none: not known.
    pub listed: &'a [Peer],
    /// How the apiserver at an address stands to this cluster.
    pub standing: &'a dyn Fn(IpAddr) -> Standing,
    /// When, by the monotonic clock.
    pub at: Duration,
}

impl BalancerView<'_> {
    fn is_ours(&self, address: IpAddr) -> bool {
        (self.standing)(address) == Standing::Ours
    }
}

/// Backends that the cluster does not list, and since when they have been silent.
#[derive(Debug, Default)]
pub struct AbsentControlPlanes {
    since: BTreeMap<String, Duration>,
}

impl AbsentControlPlanes {
    /// The backends from now on, in a stable order: as they are, then newcomers by name.
    pub fn wanted(&mut self, view: &BalancerView<'_>, me: &NodeFile) -> Vec<Peer> {
        self.note(view);
        let keeps_own = keeps_own_server(view, me);
        let mut wanted: Vec<Peer> = Vec::new();
        for peer in view.now {
            let kept = if peer.name == me.name {
                keeps_own.then(|| own_peer(me))
            } else {
                self.kept(peer, view, &wanted, me)
            };
            wanted.extend(kept);
        }
        let known = me.control_planes.iter().chain(view.listed);
        let mut new: Vec<Peer> = known
            .filter(|p| p.name != me.name && view.is_ours(p.address))
            .cloned()
            .collect();
        if keeps_own {
            new.push(own_peer(me));
        }
        new.sort_by(|a, b| a.name.cmp(&b.name));
        for peer in new {
            let is_known = wanted.iter().any(|p| p.name == peer.name);
            if !is_known && is_free(&peer, &wanted, me) {
                wanted.push(peer);
            }
        }
        match wanted.is_empty() {
            // Each shows another cluster. A load balancer without any backend would be the node file's.
            true if view.is_ours(me.address) => vec![own_peer(me)],
            true => view.now.to_vec(),
            false => wanted,
        }
    }

    fn note(&mut self, view: &BalancerView<'_>) {
        if view.listed.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.since);
        for peer in view.now {
            let is_listed = view.listed.iter().any(|p| p.name == peer.name);
            if !is_listed && !view.is_ours(peer.address) {
                let since = before.get(&peer.name).copied().unwrap_or(view.at);
                self.since.insert(peer.name.clone(), since);
            }
        }
    }

    fn has_left(&self, name: &str, view: &BalancerView<'_>) -> bool {
        let since = self.since.get(name);
        !view.listed.is_empty() && since.is_some_and(|since| view.at - *since >= LEFT_AFTER)
    }

    /// A backend from now on: at its address, at another one where it is proved to be, or not at all.
    fn kept(
        &self,
        peer: &Peer,
        view: &BalancerView<'_>,
        wanted: &[Peer],
        me: &NodeFile,
    ) -> Option<Peer> {
        let standing = (view.standing)(peer.address);
        if standing == Standing::Ours {
            return Some(peer.clone());
        }
        let known = me.control_planes.iter().chain(view.listed);
        let is_free = |p: &Peer| is_free(p, view.now, me) && is_free(p, wanted, me);
        let mut elsewhere =
            known.filter(|p| p.name == peer.name && view.is_ours(p.address) && is_free(p));
        if let Some(moved) = elsewhere.next() {
            return Some(moved.clone());
        }
        let goes = standing == Standing::Stranger || self.has_left(&peer.name, view);
        (!goes).then(|| peer.clone())
    }
}

/// Its own apiserver stays, whatever anybody says of it, unless it is proved to be the stranger. Once it is out, its own
/// word alone does not bring it back.
fn keeps_own_server(view: &BalancerView<'_>, me: &NodeFile) -> bool {
    let known = me.control_planes.iter().chain(view.now).chain(view.listed);
    let mut others = known.filter(|p| p.name != me.name).peekable();
    let is_alone = others.peek().is_none();
    let proved = others.any(|p| view.is_ours(p.address));
    match (view.standing)(me.address) {
        _ if is_alone => true,
        Standing::Stranger if proved => false,
        Standing::Ours if proved => true,
        _ => view.now.iter().any(|p| p.name == me.name),
    }
}

fn own_peer(me: &NodeFile) -> Peer {
    Peer {
        name: me.name.clone(),
        address: me.address,
    }
}

/// Whether nobody else has this address.
fn is_free(peer: &Peer, others: &[Peer], me: &NodeFile) -> bool {
    let is_taken = |p: &Peer| p.name != peer.name && p.address == peer.address;
    let is_mine = peer.address == me.address && peer.name != me.name;
    peer.address != me.endpoint.vip && !is_mine && !others.iter().any(is_taken)
}

#[cfg(test)]
mod tests;
