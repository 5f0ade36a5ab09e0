//! What kubeadm keeps of the cluster in its ConfigMap `kubeadm-config`.

use crate::kubeconfig::parse_yaml;
use crate::objects::ConfigMap;

/// The ConfigMap of kube-system.
pub const NAME: &str = "kubeadm-config";

/// The version of Kubernetes that the control plane was made with, or upgraded to by `kubeadm upgrade apply`: `1.37.2`. None: the
/// ConfigMap does not say it.
pub fn kubernetes_version(config: &ConfigMap) -> Option<String> {
    let document = parse_yaml(config.data.get("ClusterConfiguration")?).ok()?;
    let version = document.get("kubernetesVersion")?.as_str()?;
    Some(version.trim_start_matches('v').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_out_of_the_cluster_configuration() {
        let version = |text: &str| {
            let data = [("ClusterConfiguration".to_owned(), text.to_owned())].into();
            kubernetes_version(&ConfigMap { data })
        };
        // As kubeadm 1.37 writes it.
        let written = "apiServer: {}\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\nnetworking:\n  \
                       dnsDomain: cluster.local\n";
        assert_eq!(version(written).as_deref(), Some("1.37.2"));
        for other in ["", "kubernetesVersion: [v1.37.2]", "kubernetesVersion", "{"] {
            assert_eq!(version(other), None, "{other:?}");
        }
        assert_eq!(kubernetes_version(&ConfigMap::default()), None);
    }
}
