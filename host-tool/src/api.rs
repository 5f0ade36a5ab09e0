//! The cluster as it is seen from outside: the API through the VIP, etcd's member list, every apiserver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_kube::etcd::{Etcd, Member};
use ha_kube::{APISERVER_PORT, ApiError, Client, ETCD_CLIENT_PORT, ErrorKind, Identity};

mod membership;
mod view;

pub use view::ClusterView;
#[cfg(test)]
pub use view::NodeView;

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
        let client = |at| apiserver_client(at, provider.reach(at), pki, &admin);
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
    pub async fn observe(&self) -> ClusterView {
        let mut view = ClusterView {
            vip: check_ready(&self.vip).await,
            ..ClusterView::default()
        };
        if view.vip.is_err() {
            return view;
        }
        match self.vip.nodes().await {
            Ok(nodes) => view.nodes = nodes.iter().map(view::node_view).collect(),
            Err(error) => view.vip = Err(describe_error(&error)),
        }
        if view.all_there(&self.cluster) {
            (view.etcd, view.apiservers) = tokio::join!(self.members(), self.apiservers());
        }
        view
    }

    /// Everything, even if nodes are not Ready: for `status`.
    pub async fn observe_all(&self) -> ClusterView {
        let (mut view, etcd, apiservers) =
            tokio::join!(self.observe(), self.members(), self.apiservers());
        (view.etcd, view.apiservers) = (etcd, apiservers);
        view
    }

    /// Every control plane's apiserver by itself.
    async fn apiservers(&self) -> BTreeMap<String, Result<(), String>> {
        let mut tasks = tokio::task::JoinSet::new();
        for (name, client) in self.apiservers.clone() {
            tasks.spawn(async move { (name, check_ready(&client).await) });
        }
        tasks.join_all().await.into_iter().collect()
    }

    /// The member list of the first control plane that answers; a learner has no vote yet.
    async fn members(&self) -> Result<Vec<Member>, String> {
        self.etcd.members().await.map_err(|e| describe_error(&e))
    }
}

fn apiserver_client(
    at: SocketAddr,
    reached_at: SocketAddr,
    pki: &Pki,
    me: &Identity,
) -> Result<Client, ApiError> {
    let url = ha_kube::apiserver_url(at, reached_at);
    Ok(Client::new(&url, pki.cluster.cert(), Some(me))?.within(REQUEST))
}

async fn check_ready(apiserver: &Client) -> Result<(), String> {
    apiserver.ready().await.map_err(|e| describe_error(&e))
}

/// Without where: the line that it stands in says it.
fn describe_error(error: &ApiError) -> String {
    match &error.kind {
        ErrorKind::Status { code, .. } => format!("answers HTTP {code}"),
        kind => kind.to_string(),
    }
}
