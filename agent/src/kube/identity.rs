//! Who this node is towards the cluster: the identity that Ignition brought, or the kubelet's own.

use anyhow::{Context as _, Result};
use ha_kube::{Identity, Secret};
use ha_wire::paths;

use super::KUBELET_PEM;
use crate::context::Context;

/// The identity that Ignition brought; none once it is wiped.
pub fn from_ignition(cx: &Context) -> Result<Option<Identity>> {
    let cert = cx.sys.files.read(paths::IDENTITY_CERT)?;
    let key = cx.sys.files.read(paths::IDENTITY_KEY)?.map(Secret::new);
    Ok(cert.zip(key).map(|(cert, key)| Identity { cert, key }))
}

/// This node as the cluster knows it: Ignition's identity, then the kubelet's own.
pub fn of_node(cx: &Context) -> Result<Identity> {
    if let Some(mine) = from_ignition(cx)? {
        return Ok(mine);
    }
    let both = cx.sys.files.read(KUBELET_PEM)?.with_context(|| {
        format!(
            "no identity: neither {} nor {KUBELET_PEM} is there",
            paths::IDENTITY_CERT
        )
    })?;
    Ok(Identity::from_joint_pem(&both))
}
