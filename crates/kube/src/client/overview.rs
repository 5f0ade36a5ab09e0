//! Questions about a cluster as a whole.

use reqwest::Method;
use serde_json::json;

use super::{Client, KUBE_SYSTEM, NODE_LEASES, none_if_not_found};
use crate::error::ApiError;
use crate::https::Body;
use crate::objects::{
    CertificateSigningRequest, DaemonSetOverview, Deployment, Lease, List, Service,
};

/// A write that is tried as a dry run, and so never exists.
const PROBE: &str = "ha-host-write-probe";

impl Client {
    /// The server's clock, milliseconds since 1970 in whole seconds; none: it does not tell.
    pub async fn now_ms(&self) -> Result<Option<u64>, ApiError> {
        self.https.server_time_ms("/readyz").await
    }

    /// Whether a write would be taken: authorized, admitted, and then stored nowhere.
    pub async fn try_write(&self) -> Result<(), ApiError> {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PROBE}});
        let path = format!("{KUBE_SYSTEM}/configmaps?dryRun=All");
        let answer = self.https.text(Method::POST, &path, Body::json(&object));
        answer.await.map(drop)
    }

    /// The Leases of all kubelets.
    pub async fn node_leases(&self) -> Result<Vec<Lease>, ApiError> {
        let list: List<Lease> = self.get(NODE_LEASES).await?;
        Ok(list.items)
    }

    /// The Services of all namespaces.
    pub async fn services(&self) -> Result<Vec<Service>, ApiError> {
        let list: List<Service> = self.get("/api/v1/services").await?;
        Ok(list.items)
    }

    /// The kubelets' requests for serving certificates.
    pub async fn serving_requests(&self) -> Result<Vec<CertificateSigningRequest>, ApiError> {
        let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests\
                    ?fieldSelector=spec.signerName%3Dkubernetes.io%2Fkubelet-serving";
        let list: List<CertificateSigningRequest> = self.get(path).await?;
        Ok(list.items)
    }

    /// A Deployment of kube-system; none if it is not there.
    pub async fn deployment(&self, name: &str) -> Result<Option<Deployment>, ApiError> {
        let path = format!("/apis/apps/v1/namespaces/kube-system/deployments/{name}");
        none_if_not_found(self.get(&path).await)
    }

    /// The DaemonSets of all namespaces.
    pub async fn daemon_sets(&self) -> Result<Vec<DaemonSetOverview>, ApiError> {
        let list: List<DaemonSetOverview> = self.get("/apis/apps/v1/daemonsets").await?;
        Ok(list.items)
    }

    /// The last line that a pod of kube-system wrote in its last life; empty: nothing.
    pub async fn last_words(&self, pod: &str) -> Result<String, ApiError> {
        let path = format!("{KUBE_SYSTEM}/pods/{pod}/log?previous=true&tailLines=1");
        let text = self.https.text(Method::GET, &path, Body::none()).await?;
        Ok(text.trim().to_owned())
    }
}
