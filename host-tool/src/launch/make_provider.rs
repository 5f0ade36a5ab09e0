//! Who makes the machines of the cluster that a launch is of, or was of.

use std::sync::Arc;

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_providers::{Provider, provider_of};

use crate::state::ClusterDir;

/// Makes a cluster's provider, as the state directory is then.
pub type MakeProvider<'a> = &'a dyn Fn(&Cluster) -> Result<Arc<dyn Provider>>;

/// Makes providers whose clusters are kept in this directory.
pub fn provider_maker(dir: &ClusterDir) -> impl Fn(&Cluster) -> Result<Arc<dyn Provider>> {
    |cluster| Ok(Arc::from(provider_of(cluster, dir.path())?))
}
