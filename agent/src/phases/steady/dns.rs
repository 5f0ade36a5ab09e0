//! Moves one CoreDNS pod when all of them run on one node. kubeadm makes them while there is only one node to run on, and
//! nothing in Kubernetes moves them later: without that node no name would be resolved for minutes.

use anyhow::Result;
use ha_wire::node::NodeFile;
use tracing::{info, warn};

use crate::context::Context;
use crate::kube;
use crate::kube::lock::{Attempt, Candidate};
use crate::render::kubeadm::EffectiveSettings;
use ha_kube::Client;
use ha_kube::objects::{Node, Pod};

/// Held by the one control plane that moves a pod.
const LEASE: &str = "ha-agent-dns";
/// A node that became Ready is open to the scheduler a little later, when its taints are gone.
const OPEN_AFTER_MS: u64 = 10_000;

/// The way to pods that are spread: a part of each steady look, until they are or this agent has moved one.
#[derive(Debug)]
pub struct PodSpread<'a> {
    cx: &'a Context,
    candidate: Option<Candidate<'a>>,
    /// Nothing is left to do.
    done: bool,
    /// The last look's error, told once.
    told: String,
}

impl<'a> PodSpread<'a> {
    /// Nothing is looked at yet.
    pub fn begin(cx: &'a Context) -> Self {
        Self {
            cx,
            candidate: None,
            done: !watches_dns_pods(&cx.node),
            told: String::new(),
        }
    }

    /// One look, as long as something is left to do. Whatever it finds is no fault of this node.
    pub async fn advance(&mut self) {
        if self.done {
            return;
        }
        match self.move_if_needed().await {
            Ok(done) => {
                self.done = done;
                self.told.clear();
            }
            Err(error) => {
                let error = format!("{error:#}");
                if error != self.told {
                    warn!("CoreDNS: {error}");
                }
                self.told = error;
            }
        }
    }

    /// True once nothing is left to do. It never waits: the host would take this node for one that is not done.
    async fn move_if_needed(&mut self) -> Result<bool> {
        let client = kube::as_admin(self.cx)?;
        let pods = client.dns_pods().await?;
        if are_spread(&pods) {
            return Ok(true);
        }
        if pod_to_move(&pods, &client.nodes().await?, self.cx.sys.clock.now_ms()).is_none() {
            return Ok(false);
        }
        let candidate = match &mut self.candidate {
            Some(candidate) => candidate,
            None => self.candidate.insert(Candidate::new(self.cx, LEASE)),
        };
        match candidate.attempt(&client).await {
            Ok(Attempt::HeldBy(_)) => Ok(false),
            Err(e) if e.is_conflict() => Ok(false),
            Err(e) => Err(e.into()),
            Ok(Attempt::Acquired(held)) => held.release_after(move_one(self.cx, &client)).await,
        }
    }
}

/// Any control plane may have to: the founder may be dead by then.
fn watches_dns_pods(node: &NodeFile) -> bool {
    node.is_control_plane() && EffectiveSettings::new(node).has_dns
}

/// Under the Lease, with a new look: another control plane may have been faster.
async fn move_one(cx: &Context, client: &Client) -> Result<bool> {
    let pods = client.dns_pods().await?;
    let nodes = client.nodes().await?;
    let Some(pod) = pod_to_move(&pods, &nodes, cx.sys.clock.now_ms()) else {
        return Ok(false);
    };
    let (name, node) = (&pod.metadata.name, &pod.spec.node_name);
    info!("every CoreDNS pod runs on {node}: {name} is deleted, its replacement may run elsewhere");
    client.delete_pod(name).await?;
    Ok(true)
}

fn are_spread(pods: &[Pod]) -> bool {
    let ready = pods.iter().filter(|p| p.is_ready());
    let mut nodes = ready.map(|p| &p.spec.node_name);
    nodes
        .next()
        .is_some_and(|first| nodes.any(|node| node != first))
}

/// The pod to delete: all of them serve on one node, and all were scheduled before there was another node to choose. A
/// pod that was scheduled later stands where the scheduler wanted it, so nothing is moved twice.
fn pod_to_move<'a>(pods: &'a [Pod], nodes: &[Node], now_ms: u64) -> Option<&'a Pod> {
    let [first, _, ..] = pods else { return None };
    let home = &first.spec.node_name;
    let others = nodes.iter().filter(|n| n.metadata.name != *home);
    let choice_since = others.filter_map(Node::schedulable_since_ms).min()? + OPEN_AFTER_MS;
    let had_no_choice = |p: &Pod| {
        let scheduled = p.scheduled_at_ms().is_some_and(|at| at < choice_since);
        p.is_ready() && p.spec.node_name == *home && scheduled
    };
    (choice_since <= now_ms && pods.iter().all(had_no_choice)).then_some(first)
}

#[cfg(test)]
mod tests;
