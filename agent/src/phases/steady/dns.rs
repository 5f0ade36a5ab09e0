//! Moves one CoreDNS pod when all of them run on one node. kubeadm makes them while there is only one node to run on, and
//! nothing in Kubernetes moves them later: without that node no name would be resolved for minutes.

use std::convert::Infallible;
use std::time::Duration;

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
/// Between two looks, until the pods are spread.
const EVERY: Duration = Duration::from_secs(5);
/// A node that became Ready is open to the scheduler a little later, when its taints are gone.
const OPEN_AFTER_MS: u64 = 10_000;

/// Looks until the pods are spread or this agent has moved one; does nothing from then on.
pub async fn spread_pods(cx: &Context) -> Infallible {
    if is_looked_after(&cx.node) {
        look_until_spread(cx).await;
    }
    std::future::pending().await
}

/// Any control plane may have to: the founder may be dead by then.
fn is_looked_after(node: &NodeFile) -> bool {
    node.is_control_plane() && EffectiveSettings::new(node).has_dns
}

async fn look_until_spread(cx: &Context) {
    let mut candidate = None;
    let mut told = String::new();
    loop {
        match look(cx, &mut candidate).await {
            Ok(true) => return,
            Ok(false) => told.clear(),
            Err(error) => {
                let error = format!("{error:#}");
                if error != told {
                    warn!("CoreDNS: {error}");
                }
                told = error;
            }
        }
        cx.sys.clock.sleep(EVERY).await;
    }
}

/// One look; true once nothing is left to do. It never waits: the host would take this node for one that is not done.
async fn look<'a>(cx: &'a Context, candidate: &mut Option<Candidate<'a>>) -> Result<bool> {
    let client = kube::as_admin(cx)?;
    let pods = client.dns_pods().await?;
    if are_spread(&pods) {
        return Ok(true);
    }
    if pod_to_move(&pods, &client.nodes().await?, cx.sys.clock.now_ms()).is_none() {
        return Ok(false);
    }
    let candidate = match candidate {
        Some(candidate) => candidate,
        None => candidate.insert(Candidate::new(cx, LEASE)?),
    };
    match candidate.attempt(&client).await {
        Ok(Attempt::HeldBy(_)) => Ok(false),
        Err(e) if e.is_conflict() => Ok(false),
        Err(e) => Err(e.into()),
        Ok(Attempt::Acquired(held)) => {
            let moved = held.while_held(move_one(cx, &client)).await;
            held.release().await;
            moved
        }
    }
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
