//! The cluster as it is seen from outside: the API through the VIP, etcd's member list, every apiserver.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Cluster;
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use serde::de::DeserializeOwned;

mod look;
mod types;

pub use look::{Look, Member, Seen};

use crate::pki::{Pair, Pki, Secret};
use ha_providers::Provider;
use types::{List, Members, Node};

/// A healthy apiserver answers in milliseconds; one that needs longer is not healthy.
const REQUEST: Duration = Duration::from_secs(3);
/// Nodes are one hop away.
const CONNECT: Duration = Duration::from_secs(1);
/// kubeadm's apiserver port on every control plane.
const APISERVER: u16 = 6443;
/// etcd's client port on every control plane.
const ETCD: u16 = 2379;

/// A name that every apiserver's certificate holds, for where it answers under an address that is not its own.
pub const APISERVER_NAME: &str = "kubernetes";

/// Asks one cluster.
#[derive(Debug, Clone)]
pub struct Api {
    cluster: Cluster,
    provider: Arc<dyn Provider>,
    kube: Client,
    etcd: Client,
}

impl Api {
    /// With a certificate of its own from the cluster's CAs.
    pub fn new(cluster: &Cluster, pki: &Pki, provider: Arc<dyn Provider>) -> Result<Self> {
        let kube = client(pki.cluster.cert(), &pki.admin()?)?;
        let etcd = client(pki.etcd.cert(), &pki.etcd_client()?)?;
        Ok(Self {
            cluster: cluster.clone(),
            provider,
            kube,
            etcd,
        })
    }

    /// The begin of an apiserver's URLs: by its own address, or by its name where the provider forwards it to a port of
    /// this machine.
    fn apiserver(&self, at: SocketAddr) -> String {
        let there = self.provider.reach(at);
        if there == at {
            return format!("https://{at}");
        }
        format!("https://{APISERVER_NAME}:{}", there.port())
    }

    /// One look at everything. What cannot be known without what failed before it is not asked.
    pub async fn look(&self) -> Look {
        let mut look = Look {
            vip: self.readyz(self.endpoint()).await,
            ..Look::default()
        };
        if look.vip.is_err() {
            return look;
        }
        match self.nodes().await {
            Ok(nodes) => look.nodes = nodes,
            Err(error) => look.vip = Err(error),
        }
        if look.all_there(&self.cluster) {
            (look.etcd, look.apiservers) = tokio::join!(self.members(), self.apiservers());
        }
        look
    }

    /// Everything, even if nodes are not Ready: for `status`.
    pub async fn look_further(&self) -> Look {
        let (mut look, etcd, apiservers) =
            tokio::join!(self.look(), self.members(), self.apiservers());
        (look.etcd, look.apiservers) = (etcd, apiservers);
        look
    }

    fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.cluster.endpoint.vip, self.cluster.endpoint.port)
    }

    async fn readyz(&self, at: SocketAddr) -> Result<(), String> {
        let answer = self
            .kube
            .get(format!("{}/readyz", self.apiserver(at)))
            .send()
            .await
            .map_err(|e| root(&e))?;
        match answer.status().as_u16() {
            200 => Ok(()),
            code => Err(format!("/readyz answers {code}")),
        }
    }

    async fn nodes(&self) -> Result<BTreeMap<String, Seen>, String> {
        let url = format!("{}/api/v1/nodes", self.apiserver(self.endpoint()));
        let list: List<Node> = fetch(self.kube.get(url)).await?;
        Ok(list
            .items
            .into_iter()
            .map(|n| (n.metadata.name.clone(), n.seen()))
            .collect())
    }

    /// Every control plane's apiserver by itself.
    async fn apiservers(&self) -> BTreeMap<String, Result<(), String>> {
        let mut tasks = tokio::task::JoinSet::new();
        for node in self.cluster.control_planes() {
            let (api, name, at) = (
                self.clone(),
                node.name.clone(),
                SocketAddr::new(node.address, APISERVER),
            );
            tasks.spawn(async move { (name, api.readyz(at).await) });
        }
        tasks.join_all().await.into_iter().collect()
    }

    /// The member list of the first control plane that answers; a learner has no vote yet.
    async fn members(&self) -> Result<Vec<look::Member>, String> {
        let mut last = "no control plane".to_owned();
        let addresses: Vec<IpAddr> = self.cluster.control_planes().map(|n| n.address).collect();
        for address in addresses {
            let url = format!(
                "https://{}/v3/cluster/member/list",
                // etcd's certificate holds 127.0.0.1, where forwards end.
                self.provider.reach(SocketAddr::new(address, ETCD))
            );
            match fetch::<Members>(self.etcd.post(url).body("{}")).await {
                Ok(list) => return Ok(list.members.into_iter().map(Into::into).collect()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn client(ca: &str, identity: &Pair) -> Result<Client> {
    let pem = Secret::new(format!("{}{}", identity.cert, identity.key.expose()));
    let ca = Certificate::from_pem(ca.as_bytes())?;
    let builder = ClientBuilder::new()
        .tls_certs_only([ca])
        .identity(Identity::from_pem(pem.expose().as_bytes())?)
        // The port is the URL's.
        .resolve(APISERVER_NAME, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    builder
        .no_proxy()
        .timeout(REQUEST)
        .connect_timeout(CONNECT)
        .build()
        .context("cannot make a TLS client")
}

async fn fetch<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, String> {
    let answer = request.send().await.map_err(|e| root(&e))?;
    if !answer.status().is_success() {
        return Err(format!(
            "{} answers {}",
            answer.url().path(),
            answer.status().as_u16()
        ));
    }
    answer.json().await.map_err(|e| root(&e))
}

/// The innermost cause: "Connection refused" says more than "error sending request".
fn root(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
