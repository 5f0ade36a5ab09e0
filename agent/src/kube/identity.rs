//! Who this node is towards the cluster: the kubelet's own certificate as soon as there is one, the identity that Ignition
//! brought until then, and on a control plane one minted from the CA once that is over.

use anyhow::Result;
use ha_kube::certificate::{certificates_in, is_key_pair, validity_of_ms};
use ha_kube::{Identity, Secret};
use ha_wire::paths;

use super::KUBELET_PEM;
use crate::context::Context;
use crate::needs_a_person::NeedsAPerson;

/// The identity that Ignition brought; none once it is wiped.
pub fn from_ignition(cx: &Context) -> Result<Option<Identity>> {
    let cert = cx.sys.files.read(paths::IDENTITY_CERT)?;
    let key = cx.sys.files.read(paths::IDENTITY_KEY)?.map(Secret::new);
    Ok(cert.zip(key).map(|(cert, key)| Identity { cert, key }))
}

/// The certificate that the kubelet asked for, with a key that it made itself; none while it has none, or uses the first
/// identity in its place.
pub fn kubelet_identity(cx: &Context) -> Result<Option<Identity>> {
    let Some(both) = cx.sys.files.read(KUBELET_PEM)? else {
        return Ok(None);
    };
    let own = !is_first_identity(cx, &both)?
        && is_key_pair(&both, &both)
        && !certificate_has_ended(cx, &both);
    Ok(own.then(|| Identity::from_joint_pem(&both)))
}

/// Whether this is the certificate that Ignition brought.
pub fn is_first_identity(cx: &Context, cert: &str) -> Result<bool> {
    let first = cx.sys.files.read(paths::IDENTITY_CERT)?;
    Ok(first.is_some_and(|first| certificates_in(&first) == certificates_in(cert)))
}

/// This node as the cluster knows it.
pub fn of_node(cx: &Context) -> Result<Identity> {
    match kubelet_identity(cx)? {
        Some(own) => Ok(own),
        None => joining_identity(cx),
    }
}

/// What a kubelet without a certificate of its own begins with. It lasts a day; a control plane, which holds the CA, makes
/// itself another one then.
pub fn joining_identity(cx: &Context) -> Result<Identity> {
    match from_ignition(cx)? {
        Some(brought) if !certificate_has_ended(cx, &brought.cert) => Ok(brought),
        _ if cx.node.is_control_plane() => cx.clients.node_identity(&cx.sys, &cx.node.name),
        _ => Err(NeedsAPerson(format!(
            "{} is over or gone, and the kubelet has no certificate of its own: this node cannot join any more; `ha-host \
             launch` makes it anew (if the cluster lists a node of its name, after `kubectl delete node {}`)",
            paths::IDENTITY_CERT,
            cx.node.name
        ))
        .into()),
    }
}

/// Whether this node is lost when the first identity ends.
pub fn depends_on_first_identity(cx: &Context) -> bool {
    let own = kubelet_identity(cx).ok().flatten();
    !cx.node.is_control_plane() && own.is_none()
}

/// By this machine's clock. One that cannot be read has.
pub fn certificate_has_ended(cx: &Context, cert: &str) -> bool {
    validity_of_ms(cert).is_none_or(|(_, until)| until < cx.sys.clock.now_ms())
}

#[cfg(test)]
mod tests;
