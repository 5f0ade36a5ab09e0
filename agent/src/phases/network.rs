//! The pod network: installed once, from one control plane, if it was never there; awaited by all.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_kube::objects::Node;
use ha_kube::{ApiError, Client};
use ha_wire::event::WaitsOn;
use ha_wire::phase::Phase;
use ha_wire::settings::Cni;
use tracing::{info, warn};

use super::{ConfigFile, Outcome, init, is_settled};
use crate::context::Context;
use crate::kube;
use crate::kube::lock::{LeaseFor, acquire_lease};

mod as_admin;
mod cilium;
mod install_decision;
mod manifests;
pub mod pods;

use install_decision::{History, InstallDecision, NetworkPresence, decide_install};
use pods::PodWatch;

/// Held by the one control plane that installs the pod network.
const LEASE: LeaseFor = LeaseFor {
    name: "ha-agent-network",
    phase: Phase::Network,
    work: "install the pod network",
};
/// How often the node's readiness is looked at; each look is one small request.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A node that the API calls not Ready for so long counts as a failed attempt, and the pod network is looked at again.
const PATIENCE: Duration = Duration::from_mins(5);
/// The founder installs the pod network in its first seconds; if it is lost, another control plane does after this.
const FOUNDER_FIRST: Duration = Duration::from_secs(90);

/// Needed until this node is Ready; on the founder also until the pod network is installed. On a settled node nothing of it
/// is: the pod network of a living cluster is its owner's, and what keeps this node from being Ready shows in phase steady.
/// While the API does not answer there is something to wait for.
pub async fn needed(cx: &Context) -> Result<bool> {
    if cx.node.cni == Cni::None || is_settled(cx) {
        return Ok(false);
    }
    match is_incomplete(cx).await {
        Err(error) if is_unanswered(&error) => Ok(true),
        known => known,
    }
}

async fn is_incomplete(cx: &Context) -> Result<bool> {
    if !is_ready(cx).await? {
        return Ok(true);
    }
    if !is_founder(cx) {
        return Ok(false);
    }
    let client = kube::as_admin(cx)?;
    let history = ask_history(&client).await?;
    Ok(is_due(
        &current_decision(cx, &client, history).await?,
        history,
    ))
}

/// Installs, where it is this node's turn, and waits until the node is Ready.
pub async fn run(cx: &Context) -> Result<Outcome> {
    let mut left = String::new();
    if is_founder(cx) && !is_settled(cx) {
        left = once_api_answers(cx, async || install_if_never_there(cx).await).await?;
    }
    wait_until_ready(cx, left).await?;
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

async fn ask_history(client: &Client) -> Result<History> {
    Ok(History::from_lease(
        client.lease(LEASE.name).await?.as_ref(),
    ))
}

/// Whether there is something to do under the Lease: to install, or only to give back what a dead agent held to its end.
fn is_due(decision: &InstallDecision, history: History) -> bool {
    match decision {
        InstallDecision::Install { .. } => true,
        InstallDecision::Stands => history == History::Begun,
        InstallDecision::LeftAsItIs(_) => false,
    }
}

async fn current_decision(
    cx: &Context,
    client: &Client,
    history: History,
) -> Result<InstallDecision> {
    let presence = match &cx.node.cni {
        Cni::Cilium { .. } => cilium::find_presence(client).await?,
        Cni::Manifests { sources } if !manifests::are_there(cx, sources).await => {
            NetworkPresence::Missing
        }
        Cni::Manifests { .. } | Cni::None => NetworkPresence::Whole,
    };
    Ok(decide_install(
        presence,
        history,
        is_in_use(cx, client).await?,
    ))
}

/// Whether another node is Ready. CRI-O's own bridge makes nodes Ready before any pod network is there: the founder is not
/// misled by it in its first boot.
async fn is_in_use(cx: &Context, client: &Client) -> Result<bool> {
    let nodes = client.nodes().await?;
    let others = |n: &&Node| n.metadata.name != cx.node.name;
    Ok(nodes.iter().filter(others).any(Node::is_ready) && !init::has_founded_etcd(cx)?)
}

/// Whether to look before the Lease is taken, too: who leaves the pod network as it is leaves no trace there. In a new
/// cluster a look at manifests is a run of kubectl that everybody waits for.
async fn must_observe_first(cx: &Context, client: &Client, history: History) -> Result<bool> {
    let is_cheap = matches!(cx.node.cni, Cni::Cilium { .. });
    Ok(is_cheap || history == History::Ended || is_in_use(cx, client).await?)
}

/// Busy apiservers, a VIP that moves, images over a thin line: none of that is a failure of the pod network.
async fn once_api_answers<T>(cx: &Context, ask: impl AsyncFn() -> Result<T>) -> Result<T> {
    loop {
        match ask().await {
            Err(error) if is_unanswered(&error) => {
                let why = format!("{error:#}");
                cx.report.waiting(Phase::Network, "the API to answer", &why);
                cx.sys.clock.sleep(POLL_INTERVAL).await;
            }
            answered => return answered,
        }
    }
}

/// Whether it is an API that did not answer which ended this.
fn is_unanswered(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|c| c.downcast_ref());
    causes.any(ApiError::is_unanswered)
}

/// Under a Lease: two control planes would otherwise both be first. Gives the reason if it is left as it is.
async fn install_if_never_there(cx: &Context) -> Result<String> {
    let client = kube::as_admin(cx)?;
    let history = ask_history(&client).await?;
    if must_observe_first(cx, &client, history).await? {
        let decision = current_decision(cx, &client, history).await?;
        if !is_due(&decision, history) {
            return Ok(report_if_left(cx, decision));
        }
    }
    let held = acquire_lease(cx, &LEASE).await?;
    let ended = held
        .while_held(async {
            // Another control plane may have been faster.
            let decision = current_decision(cx, &client, history).await?;
            if let InstallDecision::Install { leftover } = &decision {
                install_pod_network(cx, &client, leftover.as_deref()).await?;
            }
            Ok(report_if_left(cx, decision))
        })
        .await?;
    // Not given back after a failure: it then tells the next attempt whose half-done work it finds.
    if ended.is_ok() {
        held.release().await;
    }
    ended
}

async fn install_pod_network(cx: &Context, client: &Client, leftover: Option<&str>) -> Result<()> {
    match &cx.node.cni {
        Cni::Cilium {
            version,
            chart,
            values,
        } => {
            let chart = chart.as_deref();
            let wanted = cilium::WantedRelease {
                version,
                chart,
                values,
            };
            cilium::install(cx, client, wanted, leftover).await
        }
        Cni::Manifests { sources } => manifests::apply_all(cx, sources).await,
        Cni::None => Ok(()),
    }
}

/// The reason why it is left as it is; empty if it is not.
fn report_if_left(cx: &Context, decision: InstallDecision) -> String {
    let InstallDecision::LeftAsItIs(reason) = decision else {
        return String::new();
    };
    let what = match cx.node.cni {
        Cni::Cilium { .. } => "cilium",
        Cni::Manifests { .. } | Cni::None => "the pod network",
    };
    let text = format!("{what} is left as it is: {reason}");
    warn!("{text}");
    cx.report
        .update_status(|status| status.network.clone_from(&text));
    text
}

/// The node's readiness is what counts; why it is not there yet is told in the kubelet's own words, with what the pod
/// network's pod on this node does. `left`: why nothing is installed.
async fn wait_until_ready(cx: &Context, mut left: String) -> Result<()> {
    let begin = cx.sys.clock.monotonic();
    let mut unanswered_at = begin;
    let mut tried = is_founder(cx);
    let mut watch = PodWatch::default();
    let client = kube::as_node(cx)?;
    loop {
        let now = cx.sys.clock.monotonic();
        let seen = client.node(&cx.node.name).await;
        if seen.is_err() {
            unanswered_at = now;
        }
        let Some((usual, mut why)) = reason_not_ready(&seen) else {
            return Ok(());
        };
        if matches!(seen, Ok(Some(_))) {
            let own_pod = watch.observe(cx, left.is_empty()).await;
            why += if own_pod.is_empty() { "" } else { "; " };
            why += own_pod;
        }
        report_wait(cx, usual, &why, &left);
        if now.saturating_sub(unanswered_at) > PATIENCE {
            bail!(
                "not Ready after {} min: {why}{}{left}",
                PATIENCE.as_secs() / 60,
                if left.is_empty() { "" } else { "; " }
            );
        }
        if now.saturating_sub(begin) > FOUNDER_FIRST
            && cx.node.is_control_plane()
            && !std::mem::replace(&mut tried, true)
        {
            left = install_for_founder(cx).await;
        }
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
}

/// What the wait is for, and why it goes on; none: the node is Ready.
fn reason_not_ready(seen: &Result<Option<Node>, ApiError>) -> Option<(&'static str, String)> {
    Some(match seen {
        Ok(Some(node)) if node.is_ready() => return None,
        Ok(Some(node)) => (
            "the pod network to come up on this node",
            node.why_not_ready(),
        ),
        Ok(None) => (
            "the kubelet to register this node",
            "the node is not registered".to_owned(),
        ),
        Err(error) => (
            "the API to say how this node is",
            format!("API: {}", error.kind),
        ),
    })
}

fn report_wait(cx: &Context, usual: &str, why: &str, left: &str) {
    if left.is_empty() {
        let on = Some(WaitsOn::PodNetwork);
        cx.report.waiting_as_usual(Phase::Network, usual, why, on);
    } else {
        let what = format!("this node to be Ready ({left})");
        cx.report.waiting(Phase::Network, &what, why);
    }
}

/// The founder's part, should it have been lost on the way. Gives the reason if the pod network is left as it is.
async fn install_for_founder(cx: &Context) -> String {
    info!(
        "not Ready after {} s: has the founder installed the pod network?",
        FOUNDER_FIRST.as_secs()
    );
    let left = once_api_answers(cx, async || install_if_never_there(cx).await).await;
    left.unwrap_or_else(|error| {
        warn!("pod network: {error:#}");
        String::new()
    })
}

#[cfg(test)]
mod tests;
