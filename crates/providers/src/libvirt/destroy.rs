//! From whatever there is of a cluster to nothing. Everything is found by our mark, so it may be repeated, and what is not ours
//! stays.

use std::collections::BTreeSet;

use anyhow::Result;
use ha_host_base::files;

use super::host::Host;
use super::names::Names;
use super::record::{Known, Record};
use super::xml::domain::Domain;
use super::{Libvirt, network};

/// Removes the whole cluster from every host. Everything is tried; the first fault is reported.
pub fn remove_cluster(provider: &Libvirt) -> Result<()> {
    let hosts = Record::load(&provider.machines)?.map_or_else(Vec::new, |record| record.hosts);
    let results: Vec<Result<()>> = hosts
        .iter()
        .map(|known| remove_from_host(&provider.names, known))
        .collect();
    results.into_iter().collect::<Result<()>>()?;
    files::remove_dir(&provider.machines)
}

fn remove_from_host(names: &Names, known: &Known) -> Result<()> {
    let host = Host::new(&known.uri, &known.pool, names);
    let mut shared = remove_domains(&host)?;
    if host.pool.look()?.is_some() {
        host.pool.ensure()?;
        shared.extend(remove_volumes(&host)?);
        remove_unused(&host, shared)?;
        if known.pool_made {
            host.pool.drop_if_empty()?;
        }
    }
    network::remove_own(&host)
}

/// Removes our domains, also of nodes that the cluster file has forgotten; returns the paths that they were made of.
fn remove_domains(host: &Host) -> Result<BTreeSet<String>> {
    let begin = host.names.domain("");
    let mut paths = BTreeSet::new();
    for name in host
        .domains()?
        .iter()
        .filter(|name| name.starts_with(&begin))
    {
        let Some(xml) = host.domain_xml(name)? else {
            continue;
        };
        let domain = Domain::read(&xml, name)?;
        if !domain
            .mark
            .is_some_and(|mark| host.is_ours(&mark, &name[begin.len()..]))
        {
            continue;
        }
        paths.extend(domain.paths);
        host.undefine(name)?;
    }
    Ok(paths)
}

/// Removes our volumes; returns the paths of what they lay over.
fn remove_volumes(host: &Host) -> Result<BTreeSet<String>> {
    let mut below = BTreeSet::new();
    for (name, path) in host.pool.volumes()? {
        if host.names.uploaded(&name) {
            below.insert(path);
        } else if host.names.owns(&name) {
            below.extend(host.pool.volume(&name)?.and_then(|volume| volume.backing));
            host.pool.delete(&name)?;
        }
    }
    Ok(below)
}

/// Removes the shared volumes among these paths that nobody uses any more.
fn remove_unused(host: &Host, candidates: BTreeSet<String>) -> Result<()> {
    let volumes = host.pool.volumes()?;
    let (ours, others): (Vec<_>, Vec<_>) = volumes
        .iter()
        .partition(|(name, path)| Names::is_shared(name) && candidates.contains(path));
    if ours.is_empty() {
        return Ok(());
    }
    let mut used = BTreeSet::new();
    for (name, _) in others {
        used.extend(host.pool.volume(name)?.and_then(|volume| volume.backing));
    }
    for name in host.domains()? {
        if let Some(xml) = host.domain_xml(&name)? {
            used.extend(Domain::read(&xml, &name)?.paths);
        }
    }
    for (name, path) in ours {
        if !used.contains(path) {
            host.pool.delete(name)?;
        }
    }
    Ok(())
}

/// Removes one node, also a half-made one.
pub fn remove_node(provider: &Libvirt, host: &Host, node: &str) -> Result<()> {
    host.remove(node)?;
    files::remove_dir(&provider.machines.join(node))
}
