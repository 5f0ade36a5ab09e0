//! `kubeadm init` on the one node that may found the cluster, and only if no cluster stands. Once an apiserver of this
//! cluster has answered nothing is ever reset: an interrupted init is resumed, kubeadm's phases may all be run again.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_kube::kubeadm_config;
use ha_wire::phase::Phase;
use ha_wire::settings::KubeProxy;
use tracing::{info, warn};

use super::{ConfigFile, Outcome, hooks, is_settled, kube_proxy, kubeadm, kubeadm_run_config};
use crate::context::Context;
use crate::kube;
use crate::kube::client::Client;
use crate::kube::error::ApiError;
use crate::render;
use crate::render::kubeadm::EffectiveSettings;

mod claim;
mod disk;
mod permission;
mod search;
mod way;

use disk::DiskHistory;
pub use permission::is_valid as has_valid_permission;

/// The own apiserver answers in a millisecond or is busy.
const OWN_API: Duration = Duration::from_secs(2);
/// Shown in place of the token.
const PLACEHOLDER_TOKEN: &str = "random.0000000000000000";
/// Phases whose work is done elsewhere or unwanted: the agent's own preflight, and a join command with a token in it.
const SKIP: [&str; 2] = ["preflight", "show-join-command"];

/// Needed until this node's own init is complete; a re-made founder is sent to join by [`run`].
pub async fn needed(cx: &Context) -> Result<bool> {
    if is_settled(cx) {
        return Ok(false);
    }
    if disk::read_disk_history(cx)? != DiskHistory::Founded {
        return Ok(true);
    }
    Ok(match is_init_complete(cx).await {
        Ok(complete) => !complete,
        Err(error) => {
            info!("own apiserver: {error:#}: resuming init");
            true
        }
    })
}

/// Whether this node's disk holds an etcd that it founded itself, with data.
pub(super) fn has_founded_etcd(cx: &Context) -> Result<bool> {
    Ok(disk::read_disk_history(cx)? == DiskHistory::Founded)
}

/// Founds, resumes, or finds that a cluster stands. Nothing lies between the last look for one and kubeadm.
pub async fn run(cx: &Context) -> Result<Outcome> {
    let history = disk::read_disk_history(cx)?;
    match history {
        DiskHistory::Founded => info!("init was interrupted on this node: resuming it"),
        DiskHistory::KnewCluster => {
            info!("a cluster stood already when this disk was last used: this node joins it");
            return Ok(Outcome::ClusterStands);
        }
        DiskHistory::Unproved if !permission::is_valid_once_clock_is_set(cx).await => {
            return Ok(Outcome::ClusterStands);
        }
        DiskHistory::Unproved => {}
    }
    hooks::run_once(cx, "before-join", &cx.node.hooks.before_join, Phase::Init).await?;
    way::wait_for_balancer(cx).await?;
    if history == DiskHistory::Unproved && cluster_exists(cx).await? {
        return Ok(Outcome::ClusterStands);
    }
    claim::claim_external_etcd(cx).await?;
    found_cluster(cx).await?;
    Ok(Outcome::Done)
}

/// Whether a node that waits at its gate should decide once more whether it founds the cluster.
pub fn should_decide_anew(cx: &Context) -> Result<bool> {
    let may_found = cx.node.is_control_plane() && cx.node.founder.is_some();
    Ok(may_found
        && match disk::read_disk_history(cx)? {
            DiskHistory::Founded => true,
            DiskHistory::KnewCluster => false,
            DiskHistory::Unproved => has_valid_permission(cx),
        })
}

/// Who answered once is remembered for as long as the agent lives: a cluster does not cease to be by being off.
async fn cluster_exists(cx: &Context) -> Result<bool> {
    cx.report.waiting(
        Phase::Init,
        "checking for an existing cluster at the VIP and the other control planes",
        "",
    );
    if let Some(who) = search::find_cluster(cx).await? {
        info!("{who} answers: the cluster exists already, this node joins it");
        cx.cluster_seen_at.get_or_init(|| who);
        return Ok(true);
    }
    if let Some(who) = cx.cluster_seen_at.get() {
        bail!(
            "{who} answered under this cluster's CA, and nobody does any more: nothing is founded beside it. Start its \
             machines; if they are gone for good: systemctl restart ha-agent"
        );
    }
    Ok(false)
}

async fn found_cluster(cx: &Context) -> Result<()> {
    kubeadm::reset_kubelet_failures(cx).await?;
    disk::remove_unwritten_log(cx).await?;
    let token = kubeadm::random_token()?;
    let config = init_run_config(cx, &token);
    let args = ["init", "--skip-token-print"];
    kubeadm::run_kubeadm(cx, Phase::Init, &args, &config).await?;
    if let Err(error) = remove_token(cx, &token).await {
        warn!("kubeadm's token could not be deleted; it expires in ten minutes: {error:#}");
    }
    // While its first pod begins; else the steady state does it.
    let client = own_api(cx)?;
    if let Err(error) = kube_proxy::add_pings(cx, &client).await {
        warn!(
            "kube-proxy could not be told to ping its connection; the steady state will: {error}"
        );
    }
    Ok(())
}

fn init_run_config(cx: &Context, token: &str) -> ConfigFile {
    let text = render::kubeadm::init_config(
        &cx.node,
        kubeadm_run_config::machine_traits(cx),
        Some(token),
        &SKIP,
    );
    kubeadm_run_config::config_file("init", text)
}

/// As [`run`] writes it, but for the token, which is drawn anew for each run.
pub fn config_files(cx: &Context) -> Vec<ConfigFile> {
    vec![init_run_config(cx, PLACEHOLDER_TOKEN)]
}

/// kubeadm insists on a token; nobody knows it, and nobody shall.
async fn remove_token(cx: &Context, token: &str) -> Result<()> {
    let id = token.split('.').next().unwrap_or_default();
    kube::as_admin(cx)?
        .delete_secret(&format!("bootstrap-token-{id}"))
        .await?;
    Ok(())
}

/// The founder's own apiserver, whoever holds the VIP.
fn own_api(cx: &Context) -> Result<Client> {
    let url = kube::apiserver_url(cx, cx.node.address);
    Ok(kube::as_admin_at(cx, &url)?.within(OWN_API))
}

/// Whether all that kubeadm init does, to its last phase, is there.
async fn is_init_complete(cx: &Context) -> Result<bool> {
    let client = own_api(cx)?;
    client.config_map(kubeadm_config::NAME).await?;
    let marked = client
        .node(&cx.node.name)
        .await?
        .is_some_and(|n| n.is_control_plane());
    Ok(marked && addons_are_there(cx, &client).await?)
}

async fn addons_are_there(cx: &Context, client: &Client) -> Result<bool, ApiError> {
    const APPS: &str = "/apis/apps/v1/namespaces/kube-system";
    if EffectiveSettings::new(&cx.node).has_dns
        && !client
            .exists(&format!("{APPS}/deployments/coredns"))
            .await?
    {
        return Ok(false);
    }
    let wants_proxy = cx.node.kubernetes.proxy != KubeProxy::None;
    Ok(!wants_proxy
        || client
            .exists(&format!("{APPS}/daemonsets/kube-proxy"))
            .await?)
}

#[cfg(test)]
mod tests;
