//! Which Ignition configs a launch writes.

use std::path::Path;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::Cluster;
use ha_host_base::clock::now_ms;
use ha_providers::{Machine, Provider};

use crate::ignition::{Extras, FOUNDER_SECONDS, Material, founder};
use crate::pki::Pki;
use crate::state::Store;

/// A node without a machine gets a config made now: its identity and the permission to found are fresh. A node with a
/// machine keeps what it was made from.
pub fn render(
    store: &Store,
    cluster: &Cluster,
    pki: &Pki,
    extras: &Extras,
    provider: &dyn Provider,
) -> Result<()> {
    let founded = store.record()?.is_some_and(|r| r.founded);
    let founder = (!founded).then(|| founder(now_ms()));
    let material = Material {
        cluster,
        pki,
        extras,
        founder,
    };
    for node in &cluster.nodes {
        let path = store.ignition(&node.name);
        let kept = path.exists() && provider.state(node)? != Machine::Absent;
        if !kept {
            store.put_ignition(&node.name, material.render(node)?.expose())?;
        } else if !founded && cluster.founder() == Some(node) && age(&path)? > FOUNDER_SECONDS {
            bail!(
                "{node} may no longer found the cluster: its permission ran out before any apiserver answered; nothing \
                 stands yet, so begin anew:  ha-host destroy {name} --yes  and launch again",
                node = node.name,
                name = cluster.name
            );
        }
    }
    Ok(())
}

/// Seconds since a config was written.
fn age(path: &Path) -> Result<u64> {
    let written = std::fs::metadata(path)?.modified()?;
    Ok(written.elapsed().map_or(0, |age| age.as_secs()))
}

/// The cluster answers: nobody may found it again. Takes the permission out of the stored config, then remembers that.
pub fn close_founding(store: &Store, cluster: &Cluster, pki: &Pki, extras: &Extras) -> Result<()> {
    let Some(mut record) = store.record()?.filter(|r| !r.founded) else {
        return Ok(());
    };
    let material = Material {
        cluster,
        pki,
        extras,
        founder: None,
    };
    if let Some(node) = cluster.founder() {
        store.put_ignition(&node.name, material.render(node)?.expose())?;
    }
    record.founded = true;
    store.put(&record)
}
