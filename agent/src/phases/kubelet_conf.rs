//! The kubelet's kubeconfig: with the first identity inside until the kubelet has a certificate of its own, then with the name
//! of the file that the kubelet renews. The first identity ends after a day, and a kubelet that finds it in its kubeconfig
//! then does not start any more, whatever else it has.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_kube::Secret;
use ha_wire::paths;
use ha_wire::phase::Phase;
use tracing::{info, warn};

use super::is_settled;
use crate::context::Context;
use crate::kube::{self, KUBELET, KUBELET_CONF, KUBELET_PEM, cluster_ca, identity, kubeconfig};

/// The kubelet asks for its own certificate as soon as it runs; the controller manager signs it in a second or two.
const OWN_CERTIFICATE_WITHIN: Duration = Duration::from_secs(60);
/// A kubelet that still shows the first identity after this long is not asking (see [`restart_without_first_identity`]).
const NUDGE_AFTER: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What a node joins with: kubeadm's discovery file, and the kubelet's kubeconfig. A kubelet that finds its kubeconfig uses it
/// at once and asks for a certificate of its own beside that, as on a node that kubeadm has initialised; without it, it would
/// first wait for that certificate to be signed. While a node joins, its own apiserver does not answer: both lead to the VIP.
pub fn write_for_join(cx: &Context) -> Result<()> {
    let server = kube::vip_url(cx);
    let text = if identity::kubelet_identity(cx)?.is_some() {
        conf_with_own_certificate(cx, &server)?
    } else {
        let me = identity::joining_identity(cx)?;
        kubeconfig::render_embedded(&server, &cluster_ca(cx)?, &me)
    };
    let files = &cx.sys.files;
    files.write(paths::DISCOVERY, 0o600, text.expose().as_bytes())?;
    write_conf(cx, &text)
}

/// Whether a join has nothing left to do to the kubelet's kubeconfig.
pub fn is_final(cx: &Context) -> Result<bool> {
    let text = cx.sys.files.read(KUBELET_CONF)?;
    let wanted = final_conf(cx)?;
    Ok(text.is_some_and(|text| text == wanted.expose()))
}

/// Whether an apiserver has signed for this kubelet: a cluster stood. Its certificate's file alone does not say so, for on a
/// node that kubeadm initialises the kubelet first files the one that kubeadm made for it.
pub fn names_signed_certificate(cx: &Context) -> Result<bool> {
    let text = cx.sys.files.read(KUBELET_CONF)?.unwrap_or_default();
    let names_file = kubeconfig::is_whole(&text) && !kubeconfig::holds_private_key(&text);
    Ok(names_file && cx.sys.files.exists(KUBELET_PEM))
}

/// Waits until the kubelet has a certificate of its own, and takes the first identity out of its kubeconfig: what kubeadm does
/// on a node that it has initialised. A control plane's kubelet talks to its own apiserver from its next start on, as
/// kubeadm wants it, so that it is never newer than the apiserver it talks to.
pub async fn switch_to_own_certificate(cx: &Context, phase: Phase) -> Result<()> {
    wait_for_own_certificate(cx, phase).await?;
    write_conf(cx, &final_conf(cx)?)
}

/// The same on any node, also on one where kubeadm itself has seen to it.
pub async fn settle_unless_kubeadm_did(cx: &Context, phase: Phase) -> Result<()> {
    let text = cx.sys.files.read(KUBELET_CONF)?;
    if text.is_some_and(|text| !kubeconfig::holds_private_key(&text)) {
        return wait_for_own_certificate(cx, phase).await;
    }
    switch_to_own_certificate(cx, phase).await
}

/// What a life before this one left undone, before anything of the cluster is asked: the kubelet must start first. The kubeconfig
/// that kubeadm makes for a founder is kubeadm's own matter: its identity lasts a year, and kubeadm wants it under its name.
pub fn fix_at_start(cx: &Context) -> Result<()> {
    let Some(_) = identity::kubelet_identity(cx)? else {
        return Ok(());
    };
    let text = cx.sys.files.read(KUBELET_CONF)?.unwrap_or_default();
    if is_settled(cx) {
        if !kubeconfig::is_whole(&text) {
            warn!("{KUBELET_CONF} is broken: it is written anew");
            write_conf(cx, &final_conf(cx)?)?;
        }
    } else if let Some(inside) = kubeconfig::embedded_certificate(&text)
        && (identity::is_first_identity(cx, &inside)?
            || identity::certificate_has_ended(cx, &inside))
    {
        info!("{KUBELET_CONF} names the kubelet's own certificate from now on");
        write_conf(cx, &conf_with_own_certificate(cx, &kube::vip_url(cx))?)?;
    }
    Ok(())
}

fn final_conf(cx: &Context) -> Result<Secret> {
    if cx.node.is_control_plane() {
        conf_with_own_certificate(cx, &kube::apiserver_url(cx, cx.node.address))
    } else {
        conf_with_own_certificate(cx, &kube::vip_url(cx))
    }
}

fn conf_with_own_certificate(cx: &Context, server: &str) -> Result<Secret> {
    let ca = cluster_ca(cx)?;
    Ok(kubeconfig::render_with_file(server, &ca, KUBELET_PEM))
}

fn write_conf(cx: &Context, text: &Secret) -> Result<()> {
    let files = &cx.sys.files;
    files.write(KUBELET_CONF, 0o600, text.expose().as_bytes())?;
    Ok(())
}

/// The kubelet begins with the first identity and replaces it by one whose key never left this machine.
async fn wait_for_own_certificate(cx: &Context, phase: Phase) -> Result<()> {
    let begin = cx.sys.clock.monotonic();
    let mut nudged = false;
    while identity::kubelet_identity(cx)?.is_none() {
        let waited = cx.sys.clock.monotonic().saturating_sub(begin);
        if waited > OWN_CERTIFICATE_WITHIN {
            bail!(
                "the kubelet has no certificate of its own yet: is its CertificateSigningRequest approved?"
            );
        }
        if waited > NUDGE_AFTER && !nudged && cx.sys.files.exists(KUBELET_PEM) {
            restart_without_first_identity(cx).await?;
            nudged = true;
        }
        cx.report
            .waiting(phase, "the kubelet's own certificate", "");
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// A kubelet keeps the first identity in its store and asks for its own certificate at once; one that is restarted in
/// between takes what it finds there for its own, and would ask only when that is about to end. Without it, it asks.
async fn restart_without_first_identity(cx: &Context) -> Result<()> {
    warn!("the kubelet uses the first identity as its own certificate: restarting it without");
    cx.sys.files.wipe(KUBELET_PEM)?;
    cx.sys.systemd.restart(KUBELET).await
}
