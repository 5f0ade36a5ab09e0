//! The administrator's kubeconfig.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ha_cluster_file::cluster::Cluster;
use ha_providers::Provider;
use time::Duration;

use super::{Pki, Secret, remaining};
use crate::api::APISERVER_NAME;

/// A kubeconfig that ends sooner than this is made anew.
const RENEW_BEFORE: Duration = Duration::days(30);

/// Where the API answers for whoever holds the kubeconfig, as its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server(String);

impl Server {
    /// The VIP; or the port of this machine that the provider forwards to it, with a name that the certificate holds.
    pub fn of(cluster: &Cluster, provider: &dyn Provider) -> Self {
        let vip = SocketAddr::new(cluster.endpoint.vip, cluster.endpoint.port);
        match provider.reach(vip) {
            there if there == vip => Self(format!("server: https://{vip}\n")),
            there => Self(format!(
                "server: https://{there}\n    tls-server-name: {APISERVER_NAME}\n"
            )),
        }
    }
}

/// A new one.
pub fn render(name: &str, server: &Server, pki: &Pki) -> Result<Secret> {
    let admin = pki.admin()?;
    let (ca, cert) = (
        STANDARD.encode(pki.cluster.cert()),
        STANDARD.encode(&admin.cert),
    );
    let key = Secret::new(STANDARD.encode(admin.key.expose()));
    Ok(Secret::new(format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    {server}    certificate-authority-data: {ca}
users:
- name: {name}-admin
  user:
    client-certificate-data: {cert}
    client-key-data: {key}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {name}-admin}}
current-context: {name}
",
        server = server.0,
        key = key.expose(),
    )))
}

/// Whether this text is still the right one for the cluster and lives long enough.
pub fn is_current(text: &str, server: &Server, pki: &Pki) -> bool {
    let ca = format!(
        "certificate-authority-data: {}\n",
        STANDARD.encode(pki.cluster.cert())
    );
    let server = format!("{}    certificate-", server.0);
    let life = certificate(text).and_then(|cert| remaining(&cert));
    text.contains(&ca) && text.contains(&server) && life.is_ok_and(|life| life > RENEW_BEFORE)
}

fn certificate(text: &str) -> Result<String> {
    let line = text
        .lines()
        .find_map(|l| l.trim().strip_prefix("client-certificate-data: "));
    Ok(String::from_utf8(
        STANDARD.decode(line.context("no certificate")?)?,
    )?)
}
