//! Which version of Kubernetes a cluster that stands is of by its own word: `kubeadm upgrade` is a person's work, and the cluster
//! file follows it.

use ha_cluster_file::cluster::Cluster;

use super::make_provider::MakeProvider;
use crate::api::Api;
use crate::state::ClusterDir;

/// What the cluster says. The error, in words: it could not be asked.
pub fn ask_version(
    dir: &ClusterDir,
    launched: &Cluster,
    make_provider: MakeProvider<'_>,
) -> Result<String, String> {
    let api = || Api::new(launched, &dir.keys()?, make_provider(launched)?);
    let api = api().map_err(|error| format!("{error:#}"))?;
    let asked = ha_host_base::block_on(api.kubernetes_version());
    asked.unwrap_or_else(|error| Err(format!("{error:#}")))
}
