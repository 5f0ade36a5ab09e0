//! The cluster as it is seen from outside: the API through the VIP, etcd's member list, every apiserver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_kube::etcd::{Etcd, Member};
use ha_kube::{APISERVER_PORT, ApiError, Client, ETCD_CLIENT_PORT, ErrorKind, Identity};

mod look;

pub use look::ClusterView;

use crate::pki::Pki;
use ha_providers::Provider;

/// A healthy apiserver answers in milliseconds; one that needs longer is not healthy.
const REQUEST: Duration = Duration::from_secs(3);

/// Asks one cluster.
#[derive(Debug, Clone)]
pub struct Api {
    cluster: Cluster,
    /// The API through the VIP.
    vip: Client,
    /// Each control plane's own apiserver.
    apiservers: BTreeMap<String, Client>,
    etcd: Etcd,
}

impl Api {
    /// With a certificate of its own from the cluster's CAs.
    pub fn new(cluster: &Cluster, pki: &Pki, provider: Arc<dyn Provider>) -> Result<Self> {
        let admin = pki.admin()?;
        let client = |at| apiserver(at, provider.reach(at), pki, &admin);
        let apiservers = cluster.control_planes().map(|node| {
            let own = SocketAddr::new(node.address, APISERVER_PORT);
            Ok((node.name.clone(), client(own)?))
        });
        let apiservers = apiservers.collect::<Result<_, ApiError>>()?;
        // etcd's certificate holds 127.0.0.1, where forwards end.
        let etcd = cluster.control_planes().map(|node| {
            let own = SocketAddr::new(node.address, ETCD_CLIENT_PORT);
            ha_kube::url_of(provider.reach(own))
        });
        Ok(Self {
            vip: client(SocketAddr::new(cluster.endpoint.vip, cluster.endpoint.port))?,
            apiservers,
            etcd: Etcd::at(etcd, pki.etcd.cert(), &pki.etcd_client()?)?.within(REQUEST),
            cluster: cluster.clone(),
        })
    }

    /// One look at everything. What cannot be known without what failed before it is not asked.
    pub async fn look(&self) -> ClusterView {
        let mut look = ClusterView {
            vip: ready(&self.vip).await,
            ..ClusterView::default()
        };
        if look.vip.is_err() {
            return look;
        }
        match self.vip.nodes().await {
            Ok(nodes) => look.nodes = nodes.iter().map(look::seen).collect(),
            Err(error) => look.vip = Err(one_line(&error)),
        }
        if look.all_there(&self.cluster) {
            (look.etcd, look.apiservers) = tokio::join!(self.members(), self.apiservers());
        }
        look
    }

    /// Everything, even if nodes are not Ready: for `status`.
    pub async fn look_further(&self) -> ClusterView {
        let (mut look, etcd, apiservers) =
            tokio::join!(self.look(), self.members(), self.apiservers());
        (look.etcd, look.apiservers) = (etcd, apiservers);
        look
    }

    /// Every control plane's apiserver by itself.
    async fn apiservers(&self) -> BTreeMap<String, Result<(), String>> {
        let mut tasks = tokio::task::JoinSet::new();
        for (name, client) in self.apiservers.clone() {
            tasks.spawn(async move { (name, ready(&client).await) });
        }
        tasks.join_all().await.into_iter().collect()
    }

    /// The member list of the first control plane that answers; a learner has no vote yet.
    async fn members(&self) -> Result<Vec<Member>, String> {
        self.etcd.members().await.map_err(|e| one_line(&e))
    }
}

fn apiserver(
    at: SocketAddr,
    reached_at: SocketAddr,
    pki: &Pki,
    me: &Identity,
) -> Result<Client, ApiError> {
    let url = ha_kube::apiserver_url(at, reached_at);
    Ok(Client::new(&url, pki.cluster.cert(), Some(me))?.within(REQUEST))
}

async fn ready(apiserver: &Client) -> Result<(), String> {
    apiserver.ready().await.map_err(|e| one_line(&e))
}

/// Without where: the line that it stands in says it.
fn one_line(error: &ApiError) -> String {
    match &error.kind {
        ErrorKind::Status { code, .. } => format!("answers HTTP {code}"),
        kind => kind.to_string(),
    }
}
