//! The cluster as it is seen from outside: the API through the VIP, etcd's member list, every apiserver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_health::cluster::{MemberView, NodeView};
use ha_kube::etcd::{Etcd, Member};
use ha_kube::https::Server;
use ha_kube::objects::{CONTROL_PLANE_LABEL, EXCLUDED_LABEL, Node};
use ha_kube::{ApiError, Client, ETCD_CLIENT_PORT, ErrorKind, Identity};

mod agents;
mod expected;
mod kubernetes_version;
mod membership;
mod overview;

#[cfg(test)]
pub use agents::agent_views;
pub use agents::{WholeLook, look_at_everything};
pub use expected::{
    all_findings, describe_missing, etcd_endpoints, further_findings, missing_at_the_end,
    vip_held_seconds, vip_holder, vip_holders,
};
pub use ha_health::cluster::ClusterView;

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
    /// etcd on the control planes; of somebody else's they tell themselves.
    etcd: Etcd,
    /// Each control plane's own member.
    etcd_members: BTreeMap<String, Etcd>,
}

impl Api {
    /// With a certificate of its own from the cluster's CAs.
    pub fn new(cluster: &Cluster, pki: &Pki, provider: Arc<dyn Provider>) -> Result<Self> {
        let admin = pki.admin()?;
        let client = |at| apiserver_client(at, provider.reach(at), pki, &admin);
        let apiservers = cluster.control_planes().map(|node| {
            let own = cluster.endpoint.apiserver(node.address);
            Ok((node.name.clone(), client(own)?))
        });
        let apiservers = apiservers.collect::<Result<_, ApiError>>()?;
        // etcd's certificate holds 127.0.0.1, where forwards end.
        let reach = |address| provider.reach(SocketAddr::new(address, ETCD_CLIENT_PORT));
        let url = |address| ha_kube::url_of(reach(address));
        let (ca, me) = (pki.etcd.cert(), pki.etcd_client()?);
        let at = |urls: Vec<String>| Ok::<_, ApiError>(Etcd::at(urls, ca, &me)?.within(REQUEST));
        let is_external = cluster.kubernetes.external_etcd().is_some();
        let members = || cluster.control_planes().filter(|_| !is_external);
        let of_each = members().map(|node| Ok((node.name.clone(), at(vec![url(node.address)])?)));
        Ok(Self {
            vip: endpoint_client(cluster, &*provider, pki, &admin)?,
            apiservers,
            etcd: at(members().map(|n| url(n.address)).collect())?,
            etcd_members: of_each.collect::<Result<_, ApiError>>()?,
            cluster: cluster.clone(),
        })
    }

    /// Through the VIP, or at the first control plane that answers. The error: the last one's, in words.
    async fn ask_any<T>(
        &self,
        ask: impl AsyncFn(&Client) -> Result<T, ApiError>,
    ) -> Result<T, String> {
        let mut last = String::new();
        for apiserver in std::iter::once(&self.vip).chain(self.apiservers.values()) {
            match ask(apiserver).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = describe_error(&error),
            }
        }
        Err(last)
    }

    /// One look at what a launch waits for. What cannot be known without what failed before it is not asked.
    pub async fn observe(&self) -> ClusterView {
        let mut view = self.nodes_behind_vip().await;
        if view.vip.is_ok() && expected::all_nodes_there(&self.cluster, &view) {
            (view.etcd, view.apiservers) = tokio::join!(self.member_views(), self.apiservers());
        }
        view
    }

    /// Everything that can be asked over the network, whatever fails of it.
    pub async fn observe_all(&self) -> ClusterView {
        let (mut view, etcd, apiservers) = tokio::join!(
            self.nodes_behind_vip(),
            self.member_views(),
            self.apiservers()
        );
        (view.etcd, view.apiservers) = (etcd, apiservers);
        self.add_facts(&mut view).await;
        view
    }

    async fn nodes_behind_vip(&self) -> ClusterView {
        let mut view = ClusterView {
            vip: check_ready(&self.vip).await,
            ..ClusterView::default()
        };
        if view.vip.is_ok() {
            match self.vip.nodes().await {
                Ok(nodes) => view.nodes = nodes.iter().map(node_view).collect(),
                Err(error) => view.vip = Err(describe_error(&error)),
            }
        }
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

    async fn member_views(&self) -> Result<Vec<MemberView>, String> {
        let view = |m: Member| MemberView {
            name: m.name,
            is_learner: m.is_learner,
        };
        Ok(self.members().await?.into_iter().map(view).collect())
    }

    /// The member list of the first control plane that answers; a learner has no vote yet.
    async fn members(&self) -> Result<Vec<Member>, String> {
        if self.cluster.kubernetes.external_etcd().is_some() {
            return Ok(Vec::new());
        }
        self.etcd.members().await.map_err(|e| describe_error(&e))
    }
}

/// What matters of a Node object, by its name.
fn node_view(node: &Node) -> (String, NodeView) {
    let has = |label| node.metadata.labels.contains_key(label);
    let mut taints = node.spec.taints.iter();
    let condition = node.ready_condition();
    let seen = NodeView {
        ready: node.is_ready(),
        reason: node.why_not_ready(),
        changed_ms: condition.and_then(ha_kube::objects::Condition::changed_ms),
        pressures: node.pressures(),
        takes_dns: node.schedulable_since_ms().is_some(),
        is_labelled: has(CONTROL_PLANE_LABEL),
        is_excluded: has(EXCLUDED_LABEL),
        is_tainted: taints.any(|t| t.key == CONTROL_PLANE_LABEL),
    };
    (node.metadata.name.clone(), seen)
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

/// By its addresses, whatever this machine's name servers know.
fn endpoint_client(
    cluster: &Cluster,
    provider: &dyn Provider,
    pki: &Pki,
    me: &Identity,
) -> Result<Client, ApiError> {
    let at = cluster.endpoint.socket();
    match provider.reach(at) {
        there if there == at => {
            let server = Server::of_endpoint(&cluster.endpoint);
            Ok(Client::new(server, pki.cluster.cert(), Some(me))?.within(REQUEST))
        }
        there => apiserver_client(at, there, pki, me),
    }
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
