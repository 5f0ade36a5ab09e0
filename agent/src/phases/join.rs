//! `kubeadm join`. A worker joins in one go; a control plane does all that needs no etcd first, then joins etcd under a
//! Lease that it lets go the moment its member votes, and then waits for its own components beside the next node's join.

use std::time::Duration;

use anyhow::Result;
use ha_wire::phase::Phase;
use tracing::{info, warn};

use super::kubeadm_files::KUBELET_ARGUMENTS;
use super::{
    ConfigFile, Outcome, hooks, is_settled, kubeadm, kubeadm_files, kubeadm_run_config,
    kubelet_conf,
};
use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::{self, KUBELET, KUBELET_CONFIG, KUBELET_PEM};
use crate::render;
use crate::sys::proc::boot_id;

mod control_plane;
mod members;
mod old_machine;
mod resume;

/// A kubelet that has all it needs registers its node in a few seconds.
const REGISTERED_WITHIN: Duration = Duration::from_secs(30);
/// How often that is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Needed until nothing is left to do, judged by what is there.
pub async fn needed(cx: &Context) -> Result<bool> {
    if is_settled(cx) {
        return Ok(false);
    }
    if !kubelet_conf::is_final(cx)? {
        return Ok(true);
    }
    if cx.node.is_control_plane() {
        return Ok(!control_plane::plan_join(cx).await?.is_done());
    }
    Ok(!is_registered(cx, &kube::as_node(cx)?).await?)
}

/// Joins, or goes on with a join that was interrupted.
pub async fn run(cx: &Context) -> Result<Outcome> {
    hooks::run_once(cx, "before-join", &cx.node.hooks.before_join, Phase::Join).await?;
    kubelet_conf::write_for_join(cx)?;
    if cx.node.is_control_plane() {
        control_plane::join_control_plane(cx).await?;
    } else {
        join_worker(cx).await?;
    }
    kubelet_conf::switch_to_own_certificate(cx, Phase::Join).await?;
    Ok(Outcome::Done)
}

async fn join_worker(cx: &Context) -> Result<()> {
    let client = kube::as_node(cx)?;
    if has_kubelet_state(cx)? && start_known_kubelet(cx, &client).await? {
        return Ok(());
    }
    old_machine::wait_until_not_ready(cx, &client).await?;
    kubeadm::reset_kubelet_failures(cx).await?;
    let config = join_run_config(cx, "join", &[]);
    kubeadm::run_kubeadm(cx, Phase::Join, &["join"], &config).await
}

/// The configuration of one run of `kubeadm join`, without these of kubeadm's phases.
fn join_run_config(cx: &Context, run: &str, skip: &[&str]) -> ConfigFile {
    let text = render::kubeadm::join_config(&cx.node, kubeadm_run_config::machine_traits(cx), skip);
    kubeadm_run_config::config_file(run, text)
}

/// As they are written on a machine that nothing has joined before; what is resumed skips more.
pub fn config_files(cx: &Context) -> Vec<ConfigFile> {
    if cx.node.is_control_plane() {
        control_plane::config_files(cx)
    } else {
        vec![join_run_config(cx, "join", &[])]
    }
}

/// Whether kubeadm has set up a kubelet here before, with all that it needs to start.
fn has_kubelet_state(cx: &Context) -> Result<bool> {
    let needed = [KUBELET_CONFIG, KUBELET_ARGUMENTS, KUBELET_PEM].map(str::to_owned);
    kubeadm_files::are_whole(&cx.sys.files, &needed)
}

async fn is_registered(cx: &Context, client: &Client) -> Result<bool> {
    if !has_kubelet_state(cx)? || cx.sys.systemd.active_state(KUBELET).await? != "active" {
        return Ok(false);
    }
    has_reported(cx, client).await
}

/// Whether the kubelet of this boot has told the cluster of itself.
async fn has_reported(cx: &Context, client: &Client) -> Result<bool> {
    let node = client.node(&cx.node.name).await?;
    let boot = boot_id(&cx.sys.files);
    Ok(node.is_some_and(|node| node.is_reported_by(&boot)))
}

/// Starts a kubelet that was set up before, and says whether it registered its node.
async fn start_known_kubelet(cx: &Context, client: &Client) -> Result<bool> {
    info!("the kubelet was set up before: starting it");
    kubeadm::reset_kubelet_failures(cx).await?;
    if let Err(error) = cx.sys.systemd.start(KUBELET).await {
        warn!("kubelet: {error:#}");
        return Ok(false);
    }
    let begin = cx.sys.clock.monotonic();
    while cx.sys.clock.monotonic().saturating_sub(begin) < REGISTERED_WITHIN {
        if has_reported(cx, client).await? {
            return Ok(true);
        }
        cx.report
            .waiting(Phase::Join, "the kubelet to register this node", "");
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    warn!(
        "the kubelet that was set up before has not registered this node: kubeadm sets it up anew"
    );
    Ok(false)
}

#[cfg(test)]
mod tests;
