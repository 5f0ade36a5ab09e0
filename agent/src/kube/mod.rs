//! The cluster over HTTPS: its API, etcd, certificates. Addresses only, never a name; a deadline on every request.

use anyhow::{Context as _, Result};
use ha_wire::paths;

use crate::context::Context;

pub mod certs;
pub mod client;
pub mod error;
pub mod etcd;
pub mod identity;
pub mod kubeconfig;
pub mod lease;
pub mod lock;
pub mod objects;
#[cfg(test)]
pub mod testing;
pub mod wire;

use client::Client;
use identity::Identity;

/// kubeadm's directory of manifests that the kubelet runs by itself.
pub const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// The kubelet's own kubeconfig.
pub use ha_wire::paths::KUBELET_CONF;
/// What kubeadm leaves behind when it dies between writing it and the kubelet's first certificate.
pub const BOOTSTRAP_KUBELET_CONF: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
/// The administrator's kubeconfig as kubeadm makes it on control planes.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
/// The kubelet's configuration; its unit starts only once this is there.
pub const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// The kubelet's current client certificate with its key.
pub const KUBELET_PEM: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// etcd's data directory.
pub const ETCD_DATA: &str = "/var/lib/etcd";
/// The kubelet's unit.
pub const KUBELET: &str = "kubelet.service";
/// The port of every apiserver on its node's own address.
pub const APISERVER_PORT: u16 = 6443;

/// A file below kubeadm's PKI directory.
pub fn pki(name: &str) -> String {
    format!("{}/{name}", paths::PKI_DIR)
}

/// A static pod's manifest, e.g. `etcd`.
pub fn manifest(name: &str) -> String {
    format!("{STATIC_PODS}/{name}.yaml")
}

/// The cluster CA's certificate; without it nothing that answers can be trusted.
pub fn cluster_ca(cx: &Context) -> Result<String> {
    let name = pki("ca.crt");
    cx.sys.files.read(&name)?.with_context(|| {
        format!("{name} is missing: Ignition did not bring the cluster's CA certificate")
    })
}

/// A client through the VIP under this node's own identity: the one from Ignition, or the kubelet's once that is wiped.
pub fn as_node(cx: &Context) -> Result<Client> {
    let me = Identity::of_node(cx)?;
    Ok(Client::new(&vip_url(cx), &cluster_ca(cx)?, Some(&me))?)
}

/// A client through the VIP with an administrator's rights (control planes only).
pub fn as_admin(cx: &Context) -> Result<Client> {
    as_admin_at(cx, &vip_url(cx))
}

/// The same at one apiserver, e.g. this node's own.
pub fn as_admin_at(cx: &Context, base: &str) -> Result<Client> {
    let me = Identity::admin(cx)?;
    Ok(Client::new(base, &cluster_ca(cx)?, Some(&me))?)
}

/// A client with the most rights that this node has.
pub fn as_best(cx: &Context) -> Result<Client> {
    if cx.node.is_control_plane() {
        as_admin(cx)
    } else {
        as_node(cx)
    }
}

/// `https://10.77.0.30:6444`.
pub fn vip_url(cx: &Context) -> String {
    format!("https://{}", cx.node.endpoint.authority())
}

/// `https://10.77.0.11:6443`, with brackets around an IPv6 address.
pub fn apiserver_url(address: std::net::IpAddr) -> String {
    format!(
        "https://{}",
        std::net::SocketAddr::new(address, APISERVER_PORT)
    )
}
