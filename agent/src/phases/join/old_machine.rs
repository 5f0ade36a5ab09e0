//! Proof that the machine which had this node's name before is gone. Only then is its name free: two machines of one name
//! take each other out of the cluster in turn.
//!
//! A living kubelet renews its Lease in `kube-node-lease` at a quarter of its duration (10 s of 40 s). A Lease that stood
//! still for its duration has no kubelet; the cluster itself calls such a node's readiness `Unknown`. The old machine of one
//! that is made anew had this very address, which this machine has now: if it lived, both would answer for one address and
//! neither could hold a connection. There one renewal that did not come is proof enough.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_kube::Client;
use ha_kube::lease::{LeaseObservation, observe_lease, patience_with};
use ha_kube::objects::{Lease, Node};
use ha_wire::phase::Phase;

use crate::context::Context;

/// Where the kubelet takes from what it says in `machineID`.
const MACHINE_ID: &str = "/etc/machine-id";
/// A node whose machine is gone is Ready in the API's eyes for 40 or 50 s.
const GONE_WITHIN: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The kubelet's own default for its Lease.
const KUBELET_LEASE_S: u32 = 40;

/// A worker may not delete its old Node object, and kubeadm joins under no name that is Ready: it waits until the cluster has
/// noticed that the machine is gone.
pub async fn wait_until_not_ready(cx: &Context, client: &Client) -> Result<()> {
    wait_until_gone(cx, async || {
        Ok(!own_node(cx, client).await?.is_some_and(|n| n.is_ready()))
    })
    .await
}

/// Whether a Node is of this machine, which a join that was interrupted has begun to set up: its kubelet may run already.
pub fn is_this_machine(cx: &Context, node: &Node) -> Result<bool> {
    let own = cx.sys.files.read(MACHINE_ID)?.unwrap_or_default();
    Ok(!own.trim().is_empty() && own.trim() == node.status.node_info.machine_id)
}

/// A control plane removes its old Node object itself, once nothing is heard of that machine.
pub async fn wait_until_silent(cx: &Context, client: &Client) -> Result<()> {
    let mut seen: Option<LeaseObservation> = None;
    wait_until_gone(cx, async || {
        let heard_of = own_node(cx, client).await?.filter(Node::is_heard_of);
        let Some(node) = heard_of else {
            return Ok(true);
        };
        let lease = client.node_lease(&cx.node.name).await?;
        let now = cx.sys.clock.monotonic();
        seen = observe_lease(seen.take(), lease.as_ref(), now);
        let Some((lease, seen)) = lease.zip(seen.as_ref()) else {
            return Ok(false);
        };
        Ok(seen.unchanged_for(now) >= required_silence(&node, &lease, cx.node.address))
    })
    .await
}

/// For how long the Lease of a dead kubelet stands still.
fn required_silence(node: &Node, lease: &Lease, own: IpAddr) -> Duration {
    let duration = patience_with(lease, KUBELET_LEASE_S);
    if node.internal_ip() == Some(own) {
        // A renewal is due after a quarter of it, and late by half of that.
        return duration * 3 / 8;
    }
    duration
}

async fn own_node(cx: &Context, client: &Client) -> Result<Option<Node>> {
    client.node(&cx.node.name).await.context("own Node object")
}

async fn wait_until_gone(
    cx: &Context,
    mut is_gone: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let begin = cx.sys.clock.monotonic();
    let name = &cx.node.name;
    while !is_gone().await? {
        if cx.sys.clock.monotonic().saturating_sub(begin) > GONE_WITHIN {
            bail!(
                "node {name} lives in the cluster, but this machine is new: does another machine have its name?"
            );
        }
        cx.report.waiting(
            Phase::Join,
            &format!("proof that the machine of the old {name} is gone"),
            "",
        );
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
