//! Which version of Kubernetes the cluster is of by its own word.

use ha_kube::kubeadm_config;

use super::Api;

impl Api {
    /// Of the control plane, by kubeadm's ConfigMap: asked through the VIP or at the first control plane that answers.
    pub async fn kubernetes_version(&self) -> Result<String, String> {
        let name = kubeadm_config::NAME;
        let config = self.ask_any(async |client| client.config_map(name).await);
        let version = kubeadm_config::kubernetes_version(&config.await?);
        version.ok_or_else(|| format!("its ConfigMap {name} does not say it"))
    }
}
