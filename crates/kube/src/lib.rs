//! Kubernetes and etcd as the agent, ha-host and the tests speak to them: types, the TLS client, leases, etcd's membership,
//! certificates and kubeconfigs. It takes texts, addresses and the time; it knows no node and no cluster file.

pub mod authority;
pub mod certificate;
pub mod client;
pub mod error;
pub mod etcd;
pub mod handshake;
pub mod https;
pub mod kubeadm_config;
pub mod kubeconfig;
pub mod lease;
pub mod objects;
mod secret;
pub mod signed_labels;
#[cfg(feature = "testing")]
pub mod testing;

pub use authority::{Authority, Identity};
pub use client::Client;
pub use error::{ApiError, ErrorKind};
pub use ha_wire::kubernetes::{APISERVER_PORT, ETCD_CLIENT_PORT};
pub use secret::Secret;

/// A name that every apiserver's certificate holds, for where it answers under an address that is not its own.
pub const APISERVER_NAME: &str = "kubernetes";

/// The base of the URLs of a server at its own address: `https://10.77.0.11:6443`, brackets around an IPv6 address.
pub fn url_of(address: std::net::SocketAddr) -> String {
    format!("https://{address}")
}

/// The same for an apiserver that is reached at another address, e.g. at a port of this machine that is forwarded to it:
/// its certificate is then checked against [`APISERVER_NAME`], which the client takes for the loopback address.
pub fn apiserver_url(address: std::net::SocketAddr, reached_at: std::net::SocketAddr) -> String {
    if address == reached_at {
        url_of(address)
    } else {
        format!("https://{APISERVER_NAME}:{}", reached_at.port())
    }
}
