//! The pod network: installed from one control plane, awaited by all.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_wire::phase::Phase;
use ha_wire::settings::Cni;
use tracing::warn;

use super::{ConfigFile, Outcome, is_settled};
use crate::context::Context;
use crate::kube::{self, lock};

mod cilium;
mod manifests;

/// Held by the one control plane that installs the pod network.
const LEASE: &str = "ha-agent-network";
/// How often the node's readiness is looked at; each look is one small request.
const LOOK: Duration = Duration::from_millis(500);
/// After this the wait counts as a failed attempt, and the pod network is looked at again.
const PATIENCE_MS: u64 = 5 * 60 * 1000;
/// The founder installs the pod network in its first seconds; if it is lost, another control plane does after this.
const FOUNDER_FIRST_MS: u64 = 90_000;

/// Needed until this node is Ready; on nodes that may install the pod network also until it is installed.
pub async fn needed(cx: &Context) -> Result<bool> {
    if cx.node.cni == Cni::None {
        return Ok(false);
    }
    if !is_ready(cx).await? {
        return Ok(true);
    }
    Ok(!is_settled(cx) && is_founder(cx) && !is_installed(cx).await?)
}

/// Installs, where it is this node's turn, and waits until the node is Ready.
pub async fn run(cx: &Context) -> Result<Outcome> {
    if is_founder(cx) && !is_settled(cx) {
        install_pod_network(cx).await?;
    }
    tokio::select! {
        ready = wait_until_ready(cx) => ready?,
        never = watch_installation(cx) => match never {},
    }
    Ok(Outcome::Done)
}

/// Cilium's values, where this node may install it.
pub fn config_files(cx: &Context) -> Vec<ConfigFile> {
    match &cx.node.cni {
        Cni::Cilium { values, .. } if cx.node.is_control_plane() => {
            vec![cilium::values_file(cx, values)]
        }
        _ => Vec::new(),
    }
}

fn is_founder(cx: &Context) -> bool {
    cx.node.is_control_plane() && cx.node.founder.is_some()
}

async fn is_ready(cx: &Context) -> Result<bool> {
    Ok(kube::as_node(cx)?
        .node(&cx.node.name)
        .await?
        .is_some_and(|n| n.is_ready()))
}

async fn is_installed(cx: &Context) -> Result<bool> {
    match &cx.node.cni {
        Cni::Cilium { .. } => Ok(cilium::installed_release(&kube::as_admin(cx)?).await?
            == Some(cilium::Release::Deployed)),
        Cni::Manifests { sources } => Ok(manifests::are_there(cx, sources).await),
        Cni::None => Ok(true),
    }
}

/// Under a Lease: two control planes would otherwise both be first.
async fn install_pod_network(cx: &Context) -> Result<()> {
    let held = lock::acquire_lease(cx, kube::as_admin(cx)?, LEASE, Phase::Network).await?;
    let ended = held
        .while_held(async {
            match &cx.node.cni {
                Cni::Cilium { version, values } => {
                    cilium::ensure_installed(cx, version, values).await
                }
                Cni::Manifests { sources } => manifests::ensure_applied(cx, sources).await,
                Cni::None => Ok(()),
            }
        })
        .await;
    held.release().await;
    ended
}

/// The node's readiness is what counts; why it is not there yet is told in the kubelet's own words.
async fn wait_until_ready(cx: &Context) -> Result<()> {
    let begin = cx.sys.clock.now_ms();
    let mut installed = is_founder(cx);
    let client = kube::as_node(cx)?;
    loop {
        let why = match client.node(&cx.node.name).await {
            Ok(Some(node)) if node.is_ready() => return Ok(()),
            Ok(Some(node)) => node.why_not_ready(),
            Ok(None) => "the node is not registered".into(),
            Err(error) => format!("API: {}", error.kind),
        };
        let waited = cx.sys.clock.now_ms().saturating_sub(begin);
        cx.report
            .waiting(Phase::Network, "this node to be Ready", &why);
        if waited > PATIENCE_MS {
            bail!("not Ready after {} min: {why}", PATIENCE_MS / 60_000);
        }
        if waited > FOUNDER_FIRST_MS
            && cx.node.is_control_plane()
            && !std::mem::replace(&mut installed, true)
        {
            install_for_founder(cx).await;
        }
        cx.sys.clock.sleep(LOOK).await;
    }
}

/// The founder's part, should it have been lost on the way.
async fn install_for_founder(cx: &Context) {
    let tried = async {
        if is_installed(cx).await? {
            return Ok(());
        }
        warn!(
            "no pod network after {} s: this node installs it in the founder's place",
            FOUNDER_FIRST_MS / 1000
        );
        install_pod_network(cx).await
    };
    if let Err(error) = tried.await {
        warn!("pod network: {error:#}");
    }
}

/// What the installer says while the node gets ready: shown, never waited for.
async fn watch_installation(cx: &Context) -> std::convert::Infallible {
    if is_founder(cx) && matches!(cx.node.cni, Cni::Cilium { .. }) {
        cilium::show_progress(cx).await;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
