//! Which version of Kubernetes the cluster is of by its own word.

use ha_kube::kubeadm_config;

use super::{Api, describe_error};

impl Api {
    /// Of the control plane, by kubeadm's ConfigMap: asked through the VIP or at the first control plane that answers.
    pub async fn kubernetes_version(&self) -> Result<String, String> {
        let mut last = String::new();
        for apiserver in std::iter::once(&self.vip).chain(self.apiservers.values()) {
            match apiserver.config_map(kubeadm_config::NAME).await {
                Ok(config) => {
                    let version = kubeadm_config::kubernetes_version(&config);
                    return version.ok_or_else(|| {
                        format!("its ConfigMap {} does not say it", kubeadm_config::NAME)
                    });
                }
                Err(error) => last = describe_error(&error),
            }
        }
        Err(last)
    }
}
