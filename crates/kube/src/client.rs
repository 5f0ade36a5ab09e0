//! The Kubernetes API, as much of it as is needed.

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::Identity;
use crate::error::ApiError;
use crate::https::{Body, HttpsClient, Server};
use crate::objects::{ConfigMap, DaemonSet, Lease, List, Metadata, Named, Node, Pod};
use crate::signed_labels;

mod overview;

/// The API at one address, under one identity.
#[derive(Debug, Clone)]
pub struct Client {
    https: HttpsClient,
}

const KUBE_SYSTEM: &str = "/api/v1/namespaces/kube-system";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const NODE_LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

impl Client {
    /// The API at `https://ADDRESS:PORT`, trusting nobody but the CA.
    pub fn new(
        server: impl Into<Server>,
        ca: &str,
        me: Option<&Identity>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            https: HttpsClient::new(server, ca, me)?,
        })
    }

    /// The API behind a client that exists already.
    pub fn over(https: HttpsClient) -> Self {
        Self { https }
    }

    /// The same with another deadline for each request.
    pub fn within(self, deadline: std::time::Duration) -> Self {
        Self {
            https: self.https.within(deadline),
        }
    }

    /// 200 from `/readyz`.
    pub async fn ready(&self) -> Result<(), ApiError> {
        self.https
            .text(Method::GET, "/readyz", Body::none())
            .await
            .map(drop)
    }

    /// kube-system itself: made once in a cluster's life, so that its uid tells clusters of one CA apart.
    pub async fn kube_system(&self) -> Result<Metadata, ApiError> {
        self.get::<Named>(KUBE_SYSTEM).await.map(|n| n.metadata)
    }

    /// A ConfigMap of kube-system.
    pub async fn config_map(&self, name: &str) -> Result<ConfigMap, ApiError> {
        self.get(&format!("{KUBE_SYSTEM}/configmaps/{name}")).await
    }

    /// A node; none if it is not registered.
    pub async fn node(&self, name: &str) -> Result<Option<Node>, ApiError> {
        none_if_not_found(self.get(&format!("/api/v1/nodes/{name}")).await)
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let list: List<Node> = self.get("/api/v1/nodes").await?;
        Ok(list.items)
    }

    /// Removes a node; fine if it is not there.
    pub async fn delete_node(&self, name: &str) -> Result<(), ApiError> {
        self.delete(&format!("/api/v1/nodes/{name}")).await
    }

    /// Sets labels and annotations of a node, `{"labels": {...}, "annotations": {...}}`; a null takes one away.
    pub async fn mark_node(&self, name: &str, metadata: &impl Serialize) -> Result<(), ApiError> {
        let patch = Body::merge_patch(&json!({"metadata": metadata}));
        self.https
            .text(Method::PATCH, &format!("/api/v1/nodes/{name}"), patch)
            .await
            .map(drop)
    }

    /// The nodes that kubeadm marked as control planes.
    pub async fn control_planes(&self) -> Result<Vec<Node>, ApiError> {
        let path = "/api/v1/nodes?labelSelector=node-role.kubernetes.io%2Fcontrol-plane";
        let list: List<Node> = self.get(path).await?;
        Ok(list.items)
    }

    /// The nodes that ask for labels.
    pub async fn nodes_asking_for_labels(&self) -> Result<Vec<Node>, ApiError> {
        let label = signed_labels::ASKING.replace('/', "%2F");
        let list: List<Node> = self
            .get(&format!("/api/v1/nodes?labelSelector={label}"))
            .await?;
        Ok(list.items)
    }

    /// The pods of the cluster's DNS, without those that have ended.
    pub async fn dns_pods(&self) -> Result<Vec<Pod>, ApiError> {
        let ended = "status.phase%21%3DFailed%2Cstatus.phase%21%3DSucceeded";
        let path =
            format!("{KUBE_SYSTEM}/pods?labelSelector=k8s-app%3Dkube-dns&fieldSelector={ended}");
        let list: List<Pod> = self.get(&path).await?;
        Ok(list.items)
    }

    /// A pod of kube-system; none if it is not there.
    pub async fn pod(&self, name: &str) -> Result<Option<Pod>, ApiError> {
        none_if_not_found(self.get(&format!("{KUBE_SYSTEM}/pods/{name}")).await)
    }

    /// The pods of kube-system on one node that have this label, `KEY=VALUE` (empty: all of them). A node may ask this of itself.
    pub async fn pods_on_node(&self, node: &str, label: &str) -> Result<Vec<Pod>, ApiError> {
        let label = label.replace('=', "%3D");
        let path = format!(
            "{KUBE_SYSTEM}/pods?labelSelector={label}&fieldSelector=spec.nodeName%3D{node}"
        );
        let list: List<Pod> = self.get(&path).await?;
        Ok(list.items)
    }

    /// The pods of every namespace on one node. A node may ask this of itself.
    pub async fn all_pods_on_node(&self, node: &str) -> Result<Vec<Pod>, ApiError> {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
        let list: List<Pod> = self.get(&path).await?;
        Ok(list.items)
    }

    /// Removes a pod of kube-system; fine if it is not there.
    pub async fn delete_pod(&self, name: &str) -> Result<(), ApiError> {
        self.delete(&format!("{KUBE_SYSTEM}/pods/{name}")).await
    }

    /// A DaemonSet of kube-system.
    pub async fn daemon_set(&self, name: &str) -> Result<DaemonSet, ApiError> {
        self.get(&format!("{DAEMON_SETS}/{name}")).await
    }

    /// Adds variables, names and values, to the environment of the DaemonSet's container that is called as itself: its pods are
    /// replaced one after the other.
    pub async fn add_daemon_set_env(
        &self,
        name: &str,
        env: &[(&str, &str)],
    ) -> Result<(), ApiError> {
        let env = env
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        let container = json!({"name": name, "env": env.collect::<Vec<_>>()});
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        let path = format!("{DAEMON_SETS}/{name}");
        let patch = Body::strategic_patch(&patch);
        self.https.text(Method::PATCH, &path, patch).await.map(drop)
    }

    /// Whether an object exists, by its path.
    pub async fn exists(&self, path: &str) -> Result<bool, ApiError> {
        Ok(none_if_not_found(self.get::<Named>(path).await)?.is_some())
    }

    /// kube-system's Secrets of one type, without their content.
    pub async fn secrets_of_type(&self, kind: &str) -> Result<Vec<Metadata>, ApiError> {
        let path = format!(
            "{KUBE_SYSTEM}/secrets?fieldSelector=type%3D{}",
            kind.replace('/', "%2F")
        );
        let list: List<Named> = self.get(&path).await?;
        Ok(list.items.into_iter().map(|s| s.metadata).collect())
    }

    /// Removes a Secret of kube-system; fine if it is not there.
    pub async fn delete_secret(&self, name: &str) -> Result<(), ApiError> {
        self.delete(&format!("{KUBE_SYSTEM}/secrets/{name}")).await
    }

    /// A Lease of kube-system.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, ApiError> {
        none_if_not_found(self.get(&format!("{LEASES}/{name}")).await)
    }

    /// The Lease by which a node's kubelet says that it lives.
    pub async fn node_lease(&self, node: &str) -> Result<Option<Lease>, ApiError> {
        none_if_not_found(self.get(&format!("{NODE_LEASES}/{node}")).await)
    }

    /// Makes a Lease; 409 if somebody was faster.
    pub async fn create_lease(&self, lease: &Lease) -> Result<Lease, ApiError> {
        self.https
            .json(Method::POST, LEASES, Body::json(lease))
            .await
    }

    /// Changes a Lease; 409 if somebody was faster.
    pub async fn update_lease(&self, lease: &Lease) -> Result<Lease, ApiError> {
        let path = format!("{LEASES}/{}", lease.metadata.name);
        self.https.json(Method::PUT, &path, Body::json(lease)).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.https.json(Method::GET, path, Body::none()).await
    }

    async fn delete(&self, path: &str) -> Result<(), ApiError> {
        none_if_not_found(self.https.text(Method::DELETE, path, Body::none()).await).map(drop)
    }
}

fn none_if_not_found<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
