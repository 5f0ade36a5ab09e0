//! The cluster as this node speaks to it: who it is, what lies on its disk, which clients it has. All else is `ha_kube`'s.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use ha_kube::https::{HttpsClient, Server};
use ha_kube::objects::Node;
use ha_kube::{ApiError, Client, ETCD_CLIENT_PORT, Identity, Secret};
use ha_wire::node::Peer;
use ha_wire::paths;

pub use ha_kube::{certificate as certs, client, error, etcd};

use crate::clients::Ca;
use crate::context::Context;

pub mod identity;
pub mod kubeconfig;
pub mod lock;
#[cfg(test)]
pub mod testing;

use etcd::Etcd;

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
pub const ETCD_DATA: &str = "/var/lib/etcd";
pub const KUBELET: &str = "kubelet.service";

/// A file below kubeadm's PKI directory.
pub fn pki_file(name: &str) -> String {
    format!("{}/{name}", paths::PKI_DIR)
}

/// A static pod's pod_manifest, e.g. `etcd`.
pub fn pod_manifest(name: &str) -> String {
    format!("{STATIC_PODS}/{name}.yaml")
}

/// The cluster CA's certificate; without it nothing that answers can be trusted.
pub fn cluster_ca(cx: &Context) -> Result<String> {
    let name = pki_file("ca.crt");
    cx.sys.files.read(&name)?.with_context(|| {
        format!("{name} is missing: Ignition did not bring the cluster's CA certificate")
    })
}

/// A client through the VIP under this node's own identity.
pub fn as_node(cx: &Context) -> Result<Client> {
    as_identity(cx, &identity::of_node(cx)?)
}

/// The same under one of this node's identities.
pub fn as_identity(cx: &Context, me: &Identity) -> Result<Client> {
    cx.clients
        .of_node(endpoint_server(cx), &cluster_ca(cx)?, me)
        .map(Client::over)
}

/// A client through the VIP with an administrator's rights (control planes only).
pub fn as_admin(cx: &Context) -> Result<Client> {
    minted_client(cx, Ca::Cluster, endpoint_server(cx)).map(Client::over)
}

/// The same at one apiserver, e.g. this node's own.
pub fn as_admin_at(cx: &Context, base: &str) -> Result<Client> {
    minted_client(cx, Ca::Cluster, base).map(Client::over)
}

fn minted_client(cx: &Context, ca: Ca, base: impl Into<Server>) -> Result<HttpsClient> {
    cx.clients.minted(&cx.sys, &cx.node.name, ca, base)
}

/// A client with the most rights that this node has.
pub fn as_best(cx: &Context) -> Result<Client> {
    if cx.node.is_control_plane() {
        as_admin(cx)
    } else {
        as_node(cx)
    }
}

/// etcd on these nodes.
pub fn etcd_on(cx: &Context, addresses: impl IntoIterator<Item = IpAddr>) -> Result<Etcd> {
    let url = |address| ha_kube::url_of(SocketAddr::new(address, ETCD_CLIENT_PORT));
    etcd_at(cx, addresses.into_iter().map(url))
}

/// etcd at these URLs.
pub fn etcd_at(cx: &Context, urls: impl IntoIterator<Item = String>) -> Result<Etcd> {
    let servers = urls
        .into_iter()
        .map(|url| minted_client(cx, Ca::Etcd, &url));
    Ok(Etcd::over(servers.collect::<Result<_>>()?))
}

/// Somebody else's etcd at all of its endpoints, as the node file names them.
pub fn external_etcd(cx: &Context) -> Result<Etcd> {
    external_etcd_at(cx, &cx.node.kubernetes.external_etcd)
}

/// The same at some of them.
pub fn external_etcd_at(cx: &Context, endpoints: &[String]) -> Result<Etcd> {
    let read = |name: &str| {
        let text = cx.sys.files.read(name)?;
        text.with_context(|| format!("{name} is missing: Ignition did not bring it"))
    };
    let ca = read(paths::EXTERNAL_ETCD_CA)?;
    let me = Identity {
        cert: read(paths::EXTERNAL_ETCD_CERT)?,
        key: Secret::new(read(paths::EXTERNAL_ETCD_KEY)?),
    };
    let servers = endpoints.iter().map(|url| cx.clients.given(url, &ca, &me));
    Ok(Etcd::over(servers.collect::<Result<_>>()?))
}

/// The nodes that kubeadm marked as control planes, by their registered addresses.
pub async fn control_planes(client: &Client) -> Result<Vec<Peer>, ApiError> {
    let peer = |node: Node| {
        Some(Peer {
            address: node.internal_ip()?,
            name: node.metadata.name,
        })
    };
    let nodes = client.control_planes().await?;
    Ok(nodes.into_iter().filter_map(peer).collect())
}

fn endpoint_server(cx: &Context) -> Server {
    Server::of_endpoint(&cx.node.endpoint)
}

/// As it stands in kubeconfigs: a name is in the hosts file.
pub fn vip_url(cx: &Context) -> String {
    format!("https://{}", cx.node.endpoint.authority())
}

pub fn apiserver_url(cx: &Context, address: IpAddr) -> String {
    ha_kube::url_of(cx.node.endpoint.apiserver(address))
}
