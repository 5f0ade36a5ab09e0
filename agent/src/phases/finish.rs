//! The last step of a first boot: labels, the user's hooks, and the end of every secret that has served its purpose.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_wire::kubernetes::kubelet_may_set;
use ha_wire::paths;
use ha_wire::phase::Phase;
use tracing::{info, warn};

use super::{Outcome, hooks};
use crate::context::Context;
use crate::kube::{
    self, BOOTSTRAP_KUBELET_CONF, KUBELET, KUBELET_CONF, KUBELET_PEM, certs, cluster_ca, kubeconfig,
};

/// The kubelet asks for its own certificate as soon as it runs; the controller manager signs it in a second or two.
const OWN_CERTIFICATE_WITHIN_MS: u64 = 60_000;
/// A kubelet that still shows the first identity after this long is not asking (see [`nudge_kubelet`]).
const NUDGE_AFTER_MS: u64 = 5_000;
const LOOK: Duration = Duration::from_millis(250);
/// The kubelet's client certificates: dated pairs, and a link to the one in use.
const KUBELET_STORE: &str = "/var/lib/kubelet/pki";

/// What is wiped: this node's first identity, what was made of it, and every copy of the Ignition config that lies on
/// the node (a hypervisor's own copy is out of the agent's reach).
const SECRETS: [&str; 7] = [
    paths::DISCOVERY,
    BOOTSTRAP_KUBELET_CONF,
    "/run/ignition.json",
    "/oem/config.ign",
    "/usr/share/oem/config.ign",
    paths::IDENTITY_CERT,
    // Last: its absence means that all of this is done.
    paths::IDENTITY_KEY,
];

/// Needed while a secret or a hook is left.
pub async fn needed(cx: &Context) -> Result<bool> {
    let secrets = SECRETS.iter().any(|name| cx.sys.files.exists(name));
    Ok(secrets || hooks::are_due(cx, "after-ready", &cx.node.hooks.after_ready))
}

/// Ends the first boot.
pub async fn run(cx: &Context) -> Result<Outcome> {
    set_labels(cx).await?;
    hooks::run_once(cx, "after-ready", &cx.node.hooks.after_ready, Phase::Finish).await?;
    wait_for_own_certificate(cx).await?;
    settle_kubelet_conf(cx)?;
    for name in SECRETS {
        if let Err(error) = cx.sys.files.wipe(name) {
            // A read-only partition, e.g. /usr/share/oem: nothing of ours is written there.
            if name.starts_with(paths::AGENT_DIR) {
                return Err(error);
            }
            warn!("{name}: {error:#}");
        }
    }
    info!("the first identity of this node is wiped");
    Ok(Outcome::Done)
}

/// Labels that a kubelet may not give itself; on workers nobody on the node may.
async fn set_labels(cx: &Context) -> Result<()> {
    let labels: std::collections::BTreeMap<_, _> = cx
        .node
        .labels
        .iter()
        .filter(|(k, _)| !kubelet_may_set(k))
        .collect();
    if labels.is_empty() {
        return Ok(());
    }
    if !cx.node.is_control_plane() {
        warn!(
            "labels {:?}: a worker may not set these labels; set them with kubectl",
            labels.keys().collect::<Vec<_>>()
        );
        return Ok(());
    }
    kube::as_admin(cx)?
        .label_node(&cx.node.name, &labels)
        .await
        .context("labels")
}

/// The kubelet begins with the identity from Ignition and replaces it by one whose key never left this machine.
async fn wait_for_own_certificate(cx: &Context) -> Result<()> {
    let first = first_identity(cx)?;
    let begin = cx.sys.clock.now_ms();
    let mut nudged = false;
    loop {
        let now = read_certificates(cx, KUBELET_PEM)?;
        if !now.is_empty() && now != first {
            return wipe_from_kubelet_store(cx, &first);
        }
        let waited = cx.sys.clock.now_ms().saturating_sub(begin);
        if waited > OWN_CERTIFICATE_WITHIN_MS {
            bail!(
                "the kubelet has no certificate of its own yet: is its CertificateSigningRequest approved?"
            );
        }
        if now == first && waited > NUDGE_AFTER_MS && !nudged {
            nudge_kubelet(cx).await?;
            nudged = true;
        }
        cx.report
            .waiting(Phase::Finish, "the kubelet's own certificate", "");
        cx.sys.clock.sleep(LOOK).await;
    }
}

/// A kubelet keeps the first identity in its store and asks for its own certificate at once; one that is restarted in
/// between takes what it finds there for its own, and would ask only when that is about to end. Without it, it asks.
async fn nudge_kubelet(cx: &Context) -> Result<()> {
    warn!("the kubelet uses the first identity as its own certificate: restarting it without");
    cx.sys.files.wipe(KUBELET_PEM)?;
    cx.sys.systemd.restart(KUBELET).await
}

/// The kubelet never removes an older pair: the one that holds the first identity's key is wiped here.
fn wipe_from_kubelet_store(cx: &Context, first: &[Vec<u8>]) -> Result<()> {
    for name in cx.sys.files.names(KUBELET_STORE)? {
        let name = format!("{KUBELET_STORE}/{name}");
        if name.ends_with(".pem") && !first.is_empty() && read_certificates(cx, &name)? == first {
            cx.sys.files.wipe(&name)?;
        }
    }
    Ok(())
}

fn first_identity(cx: &Context) -> Result<Vec<Vec<u8>>> {
    read_certificates(cx, paths::IDENTITY_CERT)
}

/// The certificates in a PEM file; none if it is not there.
fn read_certificates(cx: &Context, name: &str) -> Result<Vec<Vec<u8>>> {
    let text = cx.sys.files.read(name)?;
    Ok(text
        .map(|pem| certs::certificates_in(&pem))
        .unwrap_or_default())
}

/// Takes the first identity out of the kubelet's kubeconfig, which then names the file that the kubelet renews: what
/// kubeadm does on a node that it has initialised. A control plane's kubelet talks to its own apiserver from its next
/// start on, as kubeadm wants it, so that it is never newer than the apiserver it talks to.
fn settle_kubelet_conf(cx: &Context) -> Result<()> {
    let text = cx
        .sys
        .files
        .read(KUBELET_CONF)?
        .with_context(|| format!("{KUBELET_CONF} is missing"))?;
    if !kubeconfig::holds_private_key(&text) {
        return Ok(());
    }
    let server = if cx.node.is_control_plane() {
        kube::apiserver_url(cx.node.address)
    } else {
        kube::vip_url(cx)
    };
    let settled = kubeconfig::render_with_file(&server, &cluster_ca(cx)?, KUBELET_PEM);
    cx.sys
        .files
        .write(KUBELET_CONF, 0o600, settled.expose().as_bytes())
        .map(drop)
}

#[cfg(test)]
mod tests;
