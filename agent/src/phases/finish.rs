//! The last step of a first boot: labels, the user's hooks, and the end of every secret that has served its purpose.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_spec::paths;
use ha_spec::phase::Phase;
use tracing::{info, warn};

use super::{Outcome, hooks};
use crate::context::Context;
use crate::kube::{
    self, BOOTSTRAP_KUBELET_CONF, KUBELET_CONF, KUBELET_PEM, certs, cluster_ca, kubeconfig,
};
use crate::render::kubeadm::kubelet_may_set;

/// The kubelet asks for its own certificate as soon as it runs; the controller manager signs it in a second or two.
const OWN_CERTIFICATE_WITHIN_MS: u64 = 60_000;
const LOOK: Duration = Duration::from_millis(250);

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
    hooks::once(cx, "after-ready", &cx.node.hooks.after_ready, Phase::Finish).await?;
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
            "labels {:?}: a worker may not set them; set them with kubectl",
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
    let first = cx
        .sys
        .files
        .read(paths::IDENTITY_CERT)?
        .map(|pem| certs::certificates(&pem))
        .unwrap_or_default();
    let begin = cx.sys.clock.now_ms();
    loop {
        let now = cx
            .sys
            .files
            .read(KUBELET_PEM)?
            .map(|pem| certs::certificates(&pem))
            .unwrap_or_default();
        if !now.is_empty() && now != first {
            return Ok(());
        }
        if cx.sys.clock.now_ms().saturating_sub(begin) > OWN_CERTIFICATE_WITHIN_MS {
            bail!(
                "the kubelet has no certificate of its own yet: is its CertificateSigningRequest approved?"
            );
        }
        cx.tell
            .waiting(Phase::Finish, "the kubelet's own certificate", "");
        cx.sys.clock.sleep(LOOK).await;
    }
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
    if !text.contains("client-key-data") {
        return Ok(());
    }
    let server = if cx.node.is_control_plane() {
        kube::apiserver_url(cx.node.address)
    } else {
        kube::vip_url(cx)
    };
    let settled = kubeconfig::with_file(&server, &cluster_ca(cx)?, KUBELET_PEM);
    cx.sys
        .files
        .write(KUBELET_CONF, 0o600, settled.as_bytes())
        .map(drop)
}

#[cfg(test)]
#[path = "finish_tests.rs"]
mod tests;
