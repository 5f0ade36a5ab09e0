//! What the cluster shows of Cilium, the stand-in's and the real one's: its DaemonSet, and Helm's releases.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;

/// Its agents.
pub fn daemon_set(cluster: &Cluster) -> Result<Value> {
    cluster
        .kube()
        .get(&["daemonset", "cilium", "-n", "kube-system"])
}

/// Its uid and generation: the same as long as nobody installs or changes it.
pub fn daemon_set_identity(set: &Value) -> Result<(String, String)> {
    let of = |key: &str| {
        let field = set["metadata"].get(key).map(ToString::to_string);
        field.context("no such field")
    };
    Ok((of("uid")?, of("generation")?))
}

/// Helm's releases by revision, each with its status, are these.
pub fn releases_are(cluster: &Cluster, wanted: &[(&str, &str)]) -> Result<()> {
    let secrets = cluster.kube().get(&[
        "secrets",
        "-n",
        "kube-system",
        "--field-selector=type=helm.sh/release.v1",
        "--sort-by=.metadata.name",
    ])?;
    let labels: Vec<&Value> = secrets["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|secret| &secret["metadata"]["labels"])
        .collect();
    let seen: Vec<(&str, &str)> = labels
        .iter()
        .filter_map(|l| Some((l["version"].as_str()?, l["status"].as_str()?)))
        .collect();
    ensure!(seen == wanted, "Helm's releases are {labels:?}");
    Ok(())
}
