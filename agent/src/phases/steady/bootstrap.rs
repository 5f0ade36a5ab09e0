//! An etcd member that loses its data must end with an error that has a name, never as an empty cluster beside the one that
//! its peers hold. kubeadm leaves a founder, and every member that it upgrades, with a manifest that begins anew without
//! data. It is closed where that costs nothing: before the kubelet of a booting machine starts etcd; a changed manifest
//! restarts a running one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, bail};
use ha_kube::ETCD_CLIENT_PORT;
use tracing::warn;

use crate::context::Context;
use crate::kube::pod_manifest;
use crate::phases::etcd_manifest::{
    can_bootstrap, has_data, log_directory, read_manifest, without_bootstrap,
};
use crate::phases::{is_settled, kubelet_conf};
use crate::sys::net;

/// Whether there are others that hold the cluster: an apiserver has signed for this kubelet, so etcd had data once. Of a
/// single control plane nothing is left to protect.
fn is_member(cx: &Context) -> Result<bool> {
    Ok(cx.node.is_control_plane()
        && !cx.node.has_external_etcd()
        && cx.node.control_planes.len() > 1
        && kubelet_conf::names_signed_certificate(cx)?)
}

/// Before the kubelet starts. Says whether the manifest was changed; not while etcd runs with its data.
pub async fn close_before_start(cx: &Context) -> Result<bool> {
    let manifest = read_manifest(cx)?;
    if !is_member(cx)? || !can_bootstrap(&manifest) {
        return Ok(false);
    }
    // An init that goes on writes its manifest again: what it finds changed restarts etcd in its midst.
    let is_in_use = !is_settled(cx) || net::accepts_connections(own_etcd(cx)).await;
    if is_in_use && has_data(cx, &manifest)? {
        return Ok(false);
    }
    write_without_bootstrap(cx, &manifest)?;
    Ok(true)
}

/// In the steady state: data that are gone are a fault, and the manifest is closed at once.
pub fn check_data(cx: &Context) -> Result<()> {
    let manifest = read_manifest(cx)?;
    if !is_member(cx)? || has_data(cx, &manifest)? {
        return Ok(());
    }
    if can_bootstrap(&manifest) {
        write_without_bootstrap(cx, &manifest)?;
        warn!("etcd's data are gone: its manifest no longer lets it begin an empty cluster");
    }
    bail!(
        "{} holds no data: this member has lost them, and is kept from beginning an empty cluster. Its peers hold the \
         cluster: make this machine anew",
        log_directory(cx, &manifest)
    )
}

fn write_without_bootstrap(cx: &Context, manifest: &str) -> Result<()> {
    let text = without_bootstrap(manifest);
    let name = pod_manifest("etcd");
    cx.sys.files.write(&name, 0o600, text.as_bytes()).map(drop)
}

/// As kubeadm has it listen: on the loopback address of its own address' kind too, which is there from the first second on.
fn own_etcd(cx: &Context) -> SocketAddr {
    let loopback = match cx.node.address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(loopback, ETCD_CLIENT_PORT)
}

#[cfg(test)]
mod tests;
