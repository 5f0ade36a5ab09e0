//! The administrator's kubeconfig.

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_kube::certificate::validity_of;
use ha_kube::kubeconfig::{self, Kubeconfig, Names};
use ha_kube::{APISERVER_NAME, Secret};
use ha_providers::Provider;
use time::{Duration, OffsetDateTime};

use super::Pki;

/// A kubeconfig that ends sooner than this is made anew.
pub const RENEW_BEFORE: Duration = Duration::days(30);

/// Where the API answers for whoever holds the kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    name: Option<String>,
}

impl Server {
    /// The VIP; or the port of this machine that the provider forwards to it, with a name that the certificate holds.
    pub fn of(cluster: &Cluster, provider: &dyn Provider) -> Self {
        let vip = cluster.endpoint.socket();
        let there = provider.reach(vip);
        Self {
            url: match there == vip {
                true => format!("https://{}", cluster.endpoint.authority()),
                false => ha_kube::url_of(there),
            },
            name: (there != vip).then(|| APISERVER_NAME.to_owned()),
        }
    }

    fn trusting(&self, ca: &str) -> kubeconfig::Cluster {
        let mut cluster = kubeconfig::Cluster::new(&self.url, ca);
        cluster.tls_server_name.clone_from(&self.name);
        cluster
    }
}

/// A new one.
pub fn render(name: &str, server: &Server, pki: &Pki) -> Result<Secret> {
    let names = Names {
        cluster: name,
        user: &format!("{name}-admin"),
    };
    let cluster = server.trusting(pki.cluster.cert());
    Ok(Kubeconfig::embedded(names, cluster, &pki.admin()?).to_text())
}

/// Whether this text is still the right one for the cluster and lives long enough.
pub fn is_current(text: &str, server: &Server, pki: &Pki) -> bool {
    let Ok(config) = Kubeconfig::parse(text) else {
        return false;
    };
    config.cluster() == Some(&server.trusting(pki.cluster.cert()))
        && end_of(&config).is_some_and(|until| until - OffsetDateTime::now_utc() > RENEW_BEFORE)
}

/// When the administrator's certificate in this text ends; none: there is none.
pub fn certificate_end(text: &str) -> Option<OffsetDateTime> {
    end_of(&Kubeconfig::parse(text).ok()?)
}

fn end_of(config: &Kubeconfig) -> Option<OffsetDateTime> {
    let (_, until) = validity_of(&config.client_certificate()?)?;
    Some(until)
}
