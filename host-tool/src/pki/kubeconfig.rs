//! The administrator's kubeconfig.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ha_spec::cluster::Cluster;
use time::Duration;

use super::{Pki, Secret, remaining};

/// A kubeconfig that ends sooner than this is made anew.
const RENEW_BEFORE: Duration = Duration::days(30);

/// A new one.
pub fn render(cluster: &Cluster, pki: &Pki) -> Result<Secret> {
    let (name, admin) = (&cluster.name, pki.admin()?);
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
    server: https://{server}
    certificate-authority-data: {ca}
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
        server = cluster.endpoint.authority(),
        key = key.expose(),
    )))
}

/// Whether this text is still the right one for the cluster and lives long enough.
pub fn is_current(text: &str, cluster: &Cluster, pki: &Pki) -> bool {
    let ca = format!(
        "certificate-authority-data: {}\n",
        STANDARD.encode(pki.cluster.cert())
    );
    let server = format!("server: https://{}\n", cluster.endpoint.authority());
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
