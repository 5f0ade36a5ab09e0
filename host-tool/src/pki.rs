//! The keys of one cluster: its certificate authorities, and what they sign for nodes and for the administrator.

use std::path::Path;

use anyhow::{Context, Result};
use ha_host_base::files::NewDir;
use ha_kube::authority::service_account_keys;
use ha_kube::certificate::validity_of;
use ha_kube::{Authority, Identity, Secret};
use time::{Duration, OffsetDateTime};

pub mod kubeconfig;

/// How long a node's own identity lives: long enough for a first boot, too short to be worth stealing later.
const IDENTITY_LIFE: Duration = Duration::hours(24);
/// How long the administrator's kubeconfig lives; `ha-host kubeconfig` renews it.
const ADMIN_LIFE: Duration = Duration::days(365);
/// How long this program's own certificate for etcd lives: one run.
const ETCD_LIFE: Duration = Duration::hours(24);

/// Everything secret of one cluster.
#[derive(Debug)]
pub struct Pki {
    /// Signs the apiserver, kubelets and clients.
    pub cluster: Authority,
    /// Signs the aggregation layer's client.
    pub front_proxy: Authority,
    /// Signs etcd's members and clients.
    pub etcd: Authority,
    /// Signs service-account tokens: public key and key.
    pub service_account: (String, Secret),
}

impl Pki {
    /// A new one.
    pub fn create() -> Result<Self> {
        let now = OffsetDateTime::now_utc();
        Ok(Self {
            cluster: Authority::create("kubernetes", now)?,
            front_proxy: Authority::create("front-proxy-ca", now)?,
            etcd: Authority::create("etcd-ca", now)?,
            service_account: service_account_keys()?,
        })
    }

    /// One that [`Self::save`] wrote.
    pub fn load(dir: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))
        };
        let authority = |name: &str| {
            let (cert, key) = (
                read(&format!("{name}.crt"))?,
                Secret::new(read(&format!("{name}.key"))?),
            );
            Authority::load(cert, key).with_context(|| format!("{}/{name}.crt", dir.display()))
        };
        Ok(Self {
            cluster: authority("ca")?,
            front_proxy: authority("front-proxy-ca")?,
            etcd: authority("etcd/ca")?,
            service_account: (read("sa.pub")?, Secret::new(read("sa.key")?)),
        })
    }

    /// Writes everything into a directory that appears whole or not at all.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let new = NewDir::begin(dir)?;
        for (name, text) in self.files() {
            new.add(name, text.as_bytes())?;
        }
        new.commit()
    }

    /// The files as kubeadm expects them under `/etc/kubernetes/pki` of a control plane.
    pub fn files(&self) -> [(&'static str, &str); 8] {
        [
            ("ca.crt", self.cluster.cert()),
            ("ca.key", self.cluster.key().expose()),
            ("front-proxy-ca.crt", self.front_proxy.cert()),
            ("front-proxy-ca.key", self.front_proxy.key().expose()),
            ("etcd/ca.crt", self.etcd.cert()),
            ("etcd/ca.key", self.etcd.key().expose()),
            ("sa.pub", &self.service_account.0),
            ("sa.key", self.service_account.1.expose()),
        ]
    }

    /// When the first of the three authorities ends, and with it the cluster; none: it cannot be read.
    pub fn ends(&self) -> Option<OffsetDateTime> {
        let ends = [&self.cluster, &self.front_proxy, &self.etcd]
            .map(|authority| validity_of(authority.cert()).map(|(_, until)| until));
        ends.into_iter()
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .min()
    }

    /// What a node joins with.
    pub fn node_identity(&self, node: &str) -> Result<Identity> {
        let name = format!("system:node:{node}");
        sign_client_now(&self.cluster, &name, Some("system:nodes"), IDENTITY_LIFE)
    }

    /// The administrator's certificate: bound to cluster-admin by kubeadm's own ClusterRoleBinding.
    pub fn admin(&self) -> Result<Identity> {
        let group = Some("kubeadm:cluster-admins");
        sign_client_now(&self.cluster, "kubernetes-admin", group, ADMIN_LIFE)
    }

    /// This program's certificate for asking etcd.
    pub fn etcd_client(&self) -> Result<Identity> {
        sign_client_now(&self.etcd, "ha-host", None, ETCD_LIFE)
    }
}

fn sign_client_now(
    ca: &Authority,
    common_name: &str,
    organization: Option<&str>,
    life: Duration,
) -> Result<Identity> {
    Ok(ca.sign_client(common_name, organization, life, OffsetDateTime::now_utc())?)
}

#[cfg(test)]
mod tests;
