//! Whether this node's load balancer leads anywhere. A holder of the VIP whose haproxy has no apiserver left (a firewall between
//! control planes, say) gives it to a peer through whom one answers; while nobody is better off it keeps what it has: a cluster
//! that is being founded has no apiserver anywhere, and one whose apiservers are all down needs no other holder.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use ha_kube::client::Client;
use ha_kube::https::HttpsClient;
use ha_wire::node::NodeFile;
use ha_wire::paths::CA_CERT;

use super::claim::VipClaim;
use crate::haproxy::{self, Server};
use crate::sys::Sys;
use crate::sys::files::Files;

/// Between two looks at what haproxy's own checks found.
const EVERY: Duration = Duration::from_millis(500);
/// So long without any apiserver, then peers are asked: a restart of all of them in a row takes less.
const CUT_OFF_AFTER: Duration = Duration::from_secs(5);
/// A peer's haproxy and the apiserver behind it have so long for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// So many looks in a row must agree before this node changes its mind.
const AGREEING: u32 = 2;

/// For ever: looks, asks, tells `claim`. Nothing to do for a lone load balancer.
pub async fn watch_reach(node: &NodeFile, sys: &Sys, claim: &VipClaim<'_>) {
    if node.balancer_peers().next().is_none() {
        return;
    }
    let mut reach = Reach::default();
    loop {
        sys.clock.sleep(EVERY).await;
        // haproxy does not answer: that is for who judges its health.
        let Ok(servers) = haproxy::ask_servers(&sys.files).await else {
            continue;
        };
        let mut seen = ReachOutcome::by_checks(&servers);
        if reach.is_due(seen, sys.clock.monotonic()) {
            seen = ask_everyone(node, &sys.files).await;
        }
        let before = reach.gives_up;
        reach = reach.after(seen);
        if reach.gives_up != before {
            log_change(node, reach.gives_up);
            claim.set_reach(!reach.gives_up);
        }
    }
}

fn log_change(node: &NodeFile, gives_up: bool) {
    let (name, vip) = (&node.name, node.endpoint.vip);
    if gives_up {
        tracing::warn!(
            node = name,
            "no apiserver can be reached from here for {} s, but through a peer's load balancer: this node gives up {vip}",
            CUT_OFF_AFTER.as_secs()
        );
    } else {
        tracing::info!(node = name, "this node may hold {vip} again");
    }
}

/// What one look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReachOutcome {
    /// An apiserver passes haproxy's checks, or answers through this node's haproxy all the same.
    Reached,
    /// None passes haproxy's checks.
    NoneUp,
    /// Nobody answers through this node's haproxy, but through a peer's.
    PeerIsBetter,
    /// Nobody answers through anybody's.
    NobodyIsBetter,
}

impl ReachOutcome {
    fn by_checks(servers: &[Server]) -> Self {
        if servers.iter().any(|s| s.state.is_up()) {
            Self::Reached
        } else {
            Self::NoneUp
        }
    }
}

/// The pure part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reach {
    /// This node says that it must not hold the VIP.
    gives_up: bool,
    /// Looks in a row that speak against that.
    against: u32,
    /// Since when no apiserver passes haproxy's checks.
    none_up_since: Option<Duration>,
}

impl Reach {
    /// Whether it is time to ask through everybody's load balancer, this node's own first.
    fn is_due(&mut self, seen: ReachOutcome, now: Duration) -> bool {
        if seen == ReachOutcome::Reached {
            self.none_up_since = None;
            return false;
        }
        let since = *self.none_up_since.get_or_insert(now);
        now.saturating_sub(since) >= CUT_OFF_AFTER
    }

    fn after(self, seen: ReachOutcome) -> Self {
        let gives_up = match seen {
            ReachOutcome::PeerIsBetter => true,
            ReachOutcome::Reached | ReachOutcome::NobodyIsBetter => false,
            ReachOutcome::NoneUp => return self,
        };
        if gives_up == self.gives_up {
            return Self { against: 0, ..self };
        }
        let against = self.against + 1;
        match against >= AGREEING {
            true => Self {
                gives_up,
                against: 0,
                ..self
            },
            false => Self { against, ..self },
        }
    }
}

/// The same question through this node's load balancer and its peers': were two nodes asked differently, each could take the
/// other one for better, and nobody would hold the VIP.
async fn ask_everyone(node: &NodeFile, files: &Files) -> ReachOutcome {
    let loopback = match node.address {
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    };
    if answers_through(node, files, loopback).await {
        return ReachOutcome::Reached;
    }
    let peers = node.balancer_peers();
    let peers = join_all(peers.map(|peer| answers_through(node, files, peer.address))).await;
    if peers.contains(&true) {
        ReachOutcome::PeerIsBetter
    } else {
        ReachOutcome::NobodyIsBetter
    }
}

/// Whether an apiserver of this cluster says that it is ready, through the load balancer at this address.
async fn answers_through(node: &NodeFile, files: &Files, address: IpAddr) -> bool {
    let asked = async {
        let ca = files.read(CA_CERT).ok()??;
        let balancer = SocketAddr::new(address, node.endpoint.port);
        let client = HttpsClient::behind_balancer(balancer, &ca).ok()?;
        Client::over(client.within(ANSWER_WITHIN))
            .ready()
            .await
            .ok()
    };
    let answered = tokio::time::timeout(ANSWER_WITHIN * 2, asked).await;
    answered.is_ok_and(|ready| ready.is_some())
}

#[cfg(test)]
mod tests;
