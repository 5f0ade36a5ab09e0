//! Which Ignition configs a launch writes.

use std::path::Path;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::Cluster;
use ha_host_base::clock::now_ms;
use ha_providers::{Machine, Provider};

use crate::ignition::{ConfigRenderer, FOUNDER_SECONDS, founder_permission};
use crate::inputs::OperatorFiles;
use crate::pki::Pki;
use crate::state::ClusterStore;

/// A node without a machine gets a config made now: its identity and the permission to found are fresh. A node with a
/// machine keeps what it was made from. Warnings come back.
pub fn write_missing(
    store: &ClusterStore,
    cluster: &Cluster,
    pki: &Pki,
    files: &OperatorFiles,
    provider: &dyn Provider,
) -> Result<Vec<String>> {
    let founded = store.record()?.is_some_and(|r| r.founded);
    let founder = (!founded).then(|| founder_permission(now_ms()));
    let renderer = ConfigRenderer {
        cluster,
        pki,
        files,
        founder,
    };
    let mut warnings = Vec::new();
    let machines = provider.states(&cluster.nodes)?;
    for (node, machine) in cluster.nodes.iter().zip(machines) {
        let path = store.ignition(&node.name);
        let kept = path.exists() && machine != Machine::Absent;
        if !kept {
            let config = renderer.render(node)?;
            store.put_ignition(&node.name, config.text.expose())?;
            warnings.extend(config.warning);
        } else if !founded
            && cluster.founder() == Some(node)
            && seconds_since_written(&path)? > FOUNDER_SECONDS
        {
            bail!(
                "{node} may no longer found the cluster: its permission ran out before any apiserver answered; nothing \
                 stands yet, so begin anew:  ha-host destroy {name} --yes  and launch again",
                node = node.name,
                name = cluster.name
            );
        }
    }
    Ok(warnings)
}

/// Seconds since a config was written.
fn seconds_since_written(path: &Path) -> Result<u64> {
    let written = std::fs::metadata(path)?.modified()?;
    Ok(written.elapsed().map_or(0, |age| age.as_secs()))
}

/// The cluster answers: nobody may found it again. Takes the permission out of the stored config, then remembers that.
pub fn close_founding(
    store: &ClusterStore,
    cluster: &Cluster,
    pki: &Pki,
    files: &OperatorFiles,
) -> Result<()> {
    if store.record()?.is_none_or(|record| record.founded) {
        return Ok(());
    }
    let renderer = ConfigRenderer {
        cluster,
        pki,
        files,
        founder: None,
    };
    if let Some(node) = cluster.founder() {
        store.put_ignition(&node.name, renderer.render(node)?.text.expose())?;
    }
    store.note_founded()
}
