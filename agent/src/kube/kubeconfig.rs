//! The kubeconfigs of this node.

use ha_kube::kubeconfig::{Cluster, Kubeconfig, Names};
use ha_kube::{Identity, Secret};

const NAMES: Names<'static> = Names {
    cluster: "kubernetes",
    user: "node",
};

/// With everything embedded: no file beside it is needed.
pub fn render_embedded(server: &str, ca: &str, me: &Identity) -> Secret {
    Kubeconfig::embedded(NAMES, Cluster::new(server, ca), me).to_text()
}

/// With the path of a certificate file that somebody renews.
pub fn render_with_file(server: &str, ca: &str, pem: &str) -> Secret {
    Kubeconfig::with_file(NAMES, Cluster::new(server, ca), pem).to_text()
}

/// Whether a kubeconfig holds a private key itself. One that cannot be read is taken for one: it is written anew.
pub fn holds_private_key(text: &str) -> bool {
    Kubeconfig::parse(text).map_or(true, |config| config.has_key())
}

/// Whether a text is a kubeconfig that leads to a server and to an identity.
pub fn is_whole(text: &str) -> bool {
    Kubeconfig::parse(text).is_ok_and(|config| config.is_whole())
}

/// The client certificate inside, PEM.
pub fn embedded_certificate(text: &str) -> Option<String> {
    Kubeconfig::parse(text).ok()?.client_certificate()
}

/// The CA that a kubeconfig carries, PEM.
pub fn carried_ca(text: &str) -> Option<String> {
    Kubeconfig::parse(text).ok()?.cluster()?.ca()
}
