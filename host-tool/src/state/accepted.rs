//! What was accepted of a cluster, as data: `accepted.json`, v1. Rules for cluster files change; what was accepted does not.

use std::path::Path;

use anyhow::{Context, Result, bail};
use ha_cluster_file::check::{read_accepted_file, removable_cluster, render_faults};
use ha_cluster_file::cluster::Cluster;
use ha_host_base::files;
use ha_host_base::stored::{StoredError, parse_stored};
use ha_wire::format::Version;
use serde::{Deserialize, Serialize};

use super::ClusterRecord;

/// The cluster as data.
pub const FILE: &str = "accepted.json";
/// The cluster file's text.
pub const TEXT: &str = "cluster.yaml";
/// The version of the format below. A further field anywhere in it is a further version, whose reader still reads this one.
const VERSION: Version<1> = Version;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Accepted<C> {
    version: Version<1>,
    cluster: C,
}

/// The file's text.
pub fn accepted_text(cluster: &Cluster) -> Result<String> {
    let version = VERSION;
    let mut text = serde_json::to_string_pretty(&Accepted { version, cluster })?;
    text.push('\n');
    Ok(text)
}

/// The cluster of a directory; none: no file was accepted yet.
pub fn read_accepted(dir: &Path, record: &ClusterRecord) -> Result<Option<Cluster>> {
    let path = dir.join(FILE);
    if let Some(text) = files::read_optional(&path)? {
        return parse_accepted(&text)
            .map(Some)
            .with_context(|| format!("{} cannot be understood", path.display()));
    }
    // Versions before there was this file kept the text alone.
    let path = dir.join(TEXT);
    let Some(text) = files::read_optional(&path)? else {
        return Ok(None);
    };
    read_accepted_file(&text, &record.base).map(Some).map_err(|faults| {
        anyhow::anyhow!(
            "{}an earlier ha-host accepted this file, this one cannot read it: use the ha-host that launched {name}; \
             `ha-host destroy {name}` works with any",
            render_faults(&faults, &text, &path.display().to_string()),
            name = record.name
        )
    })
}

/// The same, or a stand-in that is good for removal alone. None: no machine was ever made.
pub fn read_for_removal(dir: &Path, record: &ClusterRecord) -> Result<Option<Cluster>> {
    let error = match read_accepted(dir, record) {
        Ok(Some(cluster)) => return Ok(Some(cluster)),
        Ok(None) if !dir.join("machines").exists() => return Ok(None),
        Ok(None) => None,
        // What a newer version accepted is not to be guessed at.
        Err(error) if dir.join(FILE).exists() => return Err(error),
        Err(error) => Some(error),
    };
    let path = dir.join(TEXT);
    if let Some(text) = files::read_optional(&path)?
        && let Some(cluster) = removable_cluster(&record.name, &text)
    {
        return Ok(Some(cluster));
    }
    let cause = error.map_or_else(String::new, |error| format!("{error:#}\n"));
    bail!(
        "{cause}{} does not say who made the machines of {name}: write `provider: PROVIDER` into it (libvirt, qemu, nspawn or none, \
         as {name} was launched with) and destroy {name} again",
        path.display(),
        name = record.name
    )
}

fn parse_accepted(text: &str) -> Result<Cluster, StoredError> {
    parse_stored(text, VERSION).map(|accepted: Accepted<Cluster>| accepted.cluster)
}

#[cfg(test)]
mod tests;
