//! `kubeadm init` on the one node that may found the cluster, and only if no cluster answers. Once an apiserver of this
//! cluster has answered nothing is ever reset: an interrupted init is resumed, kubeadm's phases may all be run again.

use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::join_all;
use ha_wire::phase::Phase;
use ha_wire::settings::KubeProxy;
use tracing::{info, warn};

use super::{ConfigFile, Outcome, hooks, is_settled, kubeadm};
use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::error::{ApiError, ErrorKind};
use crate::kube::{self, cluster_ca, pod_manifest};
use crate::render;
use crate::render::kubeadm::EffectiveSettings;

/// A peer on the same segment answers at once; one that is switched off never does.
const PROBE: Duration = Duration::from_secs(2);
/// Who accepts a connection and does not answer is asked so often in one attempt; the next attempt asks anew.
const ASKED: u32 = 5;
/// A busy apiserver stalls for seconds.
const BEFORE_ASKING_AGAIN: Duration = Duration::from_secs(1);
/// In the manifest of an etcd that joined others; an etcd that founds has `new` or nothing.
const JOINED: &str = "--initial-cluster-state=existing";
/// Shown in place of the token.
const PLACEHOLDER_TOKEN: &str = "random.0000000000000000";
/// Phases whose work is done elsewhere or unwanted: the agent's own preflight, and a join command with a token in it.
const SKIP: [&str; 2] = ["preflight", "show-join-command"];

/// Needed until this node's own init is complete; a re-made founder is sent to join by [`run`].
pub async fn needed(cx: &Context) -> Result<bool> {
    if is_settled(cx) {
        return Ok(false);
    }
    if !has_founded_etcd(cx)? {
        return Ok(true);
    }
    Ok(match is_complete(cx).await {
        Ok(complete) => !complete,
        Err(error) => {
            info!("own apiserver: {error:#}: resuming init");
            true
        }
    })
}

/// Founds, resumes, or finds that a cluster stands.
pub async fn run(cx: &Context) -> Result<Outcome> {
    if has_founded_etcd(cx)? {
        info!("init was interrupted on this node: resuming it");
    } else {
        if !may_found(cx) {
            warn!("the permission to found the cluster has expired: this node joins");
            return Ok(Outcome::ClusterStands);
        }
        cx.report.waiting(
            Phase::Init,
            "checking for an existing cluster at the VIP and the other control planes",
            "",
        );
        if let Some(who) = standing_cluster(cx).await? {
            info!("{who} answers: the cluster exists already, this node joins it");
            return Ok(Outcome::ClusterStands);
        }
    }
    hooks::run_once(cx, "before-join", &cx.node.hooks.before_join, Phase::Init).await?;
    found_cluster(cx).await?;
    Ok(Outcome::Done)
}

async fn found_cluster(cx: &Context) -> Result<()> {
    kubeadm::reset_kubelet_failures(cx).await?;
    let token = kubeadm::random_token()?;
    let config = kubeadm_config(cx, &token);
    let args = ["init", "--skip-token-print"];
    kubeadm::run_kubeadm(cx, Phase::Init, &args, &config).await?;
    if let Err(error) = remove_token(cx, &token).await {
        warn!("kubeadm's token could not be deleted; it expires in ten minutes: {error:#}");
    }
    Ok(())
}

fn kubeadm_config(cx: &Context, token: &str) -> ConfigFile {
    let text =
        render::kubeadm::init_config(&cx.node, kubeadm::machine_traits(cx), Some(token), &SKIP);
    kubeadm::config_file("init", text)
}

/// As [`run`] writes it, but for the token, which is drawn anew for each run.
pub fn config_files(cx: &Context) -> Vec<ConfigFile> {
    vec![kubeadm_config(cx, PLACEHOLDER_TOKEN)]
}

/// kubeadm insists on a token; nobody knows it, and nobody shall.
async fn remove_token(cx: &Context, token: &str) -> Result<()> {
    let id = token.split('.').next().unwrap_or_default();
    kube::as_admin(cx)?
        .delete_secret(&format!("bootstrap-token-{id}"))
        .await?;
    Ok(())
}

fn may_found(cx: &Context) -> bool {
    cx.node
        .founder
        .is_some_and(|f| cx.sys.clock.now_ms() / 1000 < f.until)
}

/// Whether this node's disk holds an etcd that it founded itself.
pub(super) fn has_founded_etcd(cx: &Context) -> Result<bool> {
    let etcd = cx.sys.files.read(&pod_manifest("etcd"))?;
    Ok(etcd.is_some_and(|text| !text.contains(JOINED)))
}

/// Whether all that kubeadm init does, to its last phase, is there.
async fn is_complete(cx: &Context) -> Result<bool> {
    let client = kube::as_admin_at(cx, &kube::apiserver_url(cx.node.address))?.within(PROBE);
    client.config_map("kubeadm-config").await?;
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

/// Who answers under this cluster's CA, asked all at once: the VIP and every other control plane. Who neither answers nor
/// is absent is asked again; with it undecided nothing is founded.
async fn standing_cluster(cx: &Context) -> Result<Option<String>> {
    let ca = cluster_ca(cx)?;
    let peers = cx.node.peers().map(|p| kube::apiserver_url(p.address));
    let mut urls: Vec<String> = std::iter::once(kube::vip_url(cx)).chain(peers).collect();
    let mut asked = 0;
    loop {
        let answers = join_all(urls.iter().map(|url| probe_apiserver(url, &ca))).await;
        let mut undecided = Vec::new();
        for (url, answer) in urls.into_iter().zip(answers) {
            match presence_of(answer)? {
                Presence::Stands => return Ok(Some(url)),
                Presence::Absent => {}
                Presence::Undecided(error) => undecided.push((url, error)),
            }
        }
        asked += 1;
        let Some((url, error)) = undecided.first() else {
            return Ok(None);
        };
        cx.report.waiting(
            Phase::Init,
            &format!("an answer of {url}"),
            &error.kind.to_string(),
        );
        if asked == ASKED {
            bail!(
                "{error}: somebody is there, and it may be this cluster: nothing is founded beside it"
            );
        }
        urls = undecided.into_iter().map(|(url, _)| url).collect();
        cx.sys.clock.sleep(BEFORE_ASKING_AGAIN).await;
    }
}

async fn probe_apiserver(url: &str, ca: &str) -> Result<(), ApiError> {
    Client::new(url, ca, None)?.within(PROBE).ready().await
}

/// What a probe says about its address.
#[derive(Debug)]
enum Presence {
    /// An apiserver of this cluster.
    Stands,
    /// Nobody, or a load balancer without a backend, which accepts connections and closes them.
    Absent,
    /// Somebody who has not said who it is.
    Undecided(ApiError),
}

/// Any HTTP answer that the CA vouches for means that a cluster stands, however sick. Somebody else's cluster is a fault.
fn presence_of(answer: Result<(), ApiError>) -> Result<Presence, ApiError> {
    let Err(error) = answer else {
        return Ok(Presence::Stands);
    };
    match error.kind {
        ErrorKind::Status { .. } | ErrorKind::Body(_) => Ok(Presence::Stands),
        ErrorKind::NotConnected(_)
        | ErrorKind::ConnectTimeout(_)
        | ErrorKind::ClosedInHandshake(_) => Ok(Presence::Absent),
        ErrorKind::Silent(_)
        | ErrorKind::Broken(_)
        | ErrorKind::CertificateExpired
        | ErrorKind::Tls(_) => Ok(Presence::Undecided(error)),
        ErrorKind::UnknownIssuer { .. } | ErrorKind::BadSignature { .. } | ErrorKind::Local(_) => {
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;
