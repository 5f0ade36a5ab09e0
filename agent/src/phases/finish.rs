//! The last step of a first boot: labels, the end of every secret that has served its purpose, and the user's hooks, which may
//! fail for ever without keeping a secret.

use anyhow::{Context as _, Result, bail};
use ha_wire::paths;
use ha_wire::phase::Phase;
use tracing::{info, warn};

use super::{Outcome, hooks, is_settled, kubeadm, kubelet_conf, node_marks};
use crate::context::Context;
use crate::kube::{self, BOOTSTRAP_KUBELET_CONF, certs, identity};

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
    let is_first_boot = !is_settled(cx);
    if is_first_boot {
        node_marks::set_own(cx).await?;
        kubelet_conf::settle_unless_kubeadm_did(cx, Phase::Finish).await?;
        prove_own_certificate(cx).await?;
        // Once the first identity is gone, nothing can join again what a power cut takes.
        kubeadm::put_on_disk(cx).await?;
    }
    wipe_secrets(cx)?;
    if is_first_boot {
        info!("the first identity of this node is wiped");
    }
    hooks::run_once(cx, "after-ready", &cx.node.hooks.after_ready, Phase::Finish).await?;
    Ok(Outcome::Done)
}

/// The cluster takes the kubelet's own certificate for this node's.
async fn prove_own_certificate(cx: &Context) -> Result<()> {
    let name = &cx.node.name;
    let Some(own) = identity::kubelet_identity(cx)? else {
        bail!("the kubelet has no certificate of its own");
    };
    let client = kube::as_identity(cx, &own)?;
    let node = client.node(name).await;
    let node = node.context("the kubelet's own certificate")?;
    node.with_context(|| format!("node {name} is not in the cluster"))
        .map(drop)
}

fn wipe_secrets(cx: &Context) -> Result<()> {
    wipe_from_kubelet_store(cx)?;
    for name in SECRETS {
        if let Err(error) = cx.sys.files.wipe(name) {
            // A read-only partition, e.g. /usr/share/oem: nothing of ours is written there.
            if name.starts_with(paths::AGENT_DIR) {
                return Err(error);
            }
            warn!("{name}: {error:#}");
        }
    }
    Ok(())
}

/// The kubelet never removes an older pair: the one that holds the first identity's key is wiped here.
fn wipe_from_kubelet_store(cx: &Context) -> Result<()> {
    let first = read_certificates(cx, paths::IDENTITY_CERT)?;
    for name in cx.sys.files.names(KUBELET_STORE)? {
        let name = format!("{KUBELET_STORE}/{name}");
        if name.ends_with(".pem") && !first.is_empty() && read_certificates(cx, &name)? == first {
            cx.sys.files.wipe(&name)?;
        }
    }
    Ok(())
}

/// The certificates in a PEM file; none if it is not there.
fn read_certificates(cx: &Context, name: &str) -> Result<Vec<Vec<u8>>> {
    let text = cx.sys.files.read(name)?;
    Ok(text
        .map(|pem| certs::certificates_in(&pem))
        .unwrap_or_default())
}

#[cfg(test)]
mod tests;
