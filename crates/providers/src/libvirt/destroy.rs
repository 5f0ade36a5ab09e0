//! From whatever there is of a cluster to nothing. Everything is found by our mark, so it may be repeated, and what is not ours
//! stays. It is done only when a second look at a host finds nothing of ours.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};
use ha_host_base::files;

use super::host::Host;
use super::names::Names;
use super::record::{Known, Record};
use super::virsh::Thing;
use super::xml::domain::Domain;
use super::{Libvirt, image, network};

/// Removes the whole cluster from every host. Every host is tried; the record of them stays until all are clean.
pub fn remove_cluster(provider: &Libvirt) -> Result<()> {
    let hosts = Record::load(&provider.machines)?.map_or_else(Vec::new, |record| record.hosts);
    let mut faults: Vec<anyhow::Error> = hosts
        .iter()
        .filter_map(|known| remove_from_host(provider, known).err())
        .collect();
    match faults.len() {
        0 => files::remove_dir(&provider.machines),
        1 => Err(faults.remove(0)),
        _ => {
            let all: Vec<String> = faults.iter().map(|fault| format!("{fault:#}")).collect();
            Err(anyhow!("{} hosts failed: {}", all.len(), all.join("; ")))
        }
    }
}

fn remove_from_host(provider: &Libvirt, known: &Known) -> Result<()> {
    let host = provider.host_at(&known.uri, &known.pool);
    let mut shared = remove_domains(&host)?;
    if host.pool.exists()? {
        host.pool.ensure(known.pool_made)?;
        shared.extend(remove_volumes(&host)?);
        remove_unused(provider, &host, &shared)?;
        if known.pool_made {
            host.pool.drop_if_empty()?;
        }
    }
    network::remove_own(&host)?;
    let left = find_left(&host, known)?;
    if left.is_empty() {
        return Ok(());
    }
    bail!(
        "{} still has {} of this cluster; destroy it again",
        known.uri,
        left.join(", ")
    )
}

/// Removes our domains; returns the paths that they were made of. No volume is touched while one of them is there.
fn remove_domains(host: &Host) -> Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    for (name, domain) in host.own_domains()? {
        host.undefine(&name)?;
        paths.extend(domain.paths);
    }
    match host.own_domains()?.first() {
        None => Ok(paths),
        Some((name, _)) => bail!(
            "{}: domain {name} is still there; destroy it again",
            host.virsh.uri()
        ),
    }
}

/// Removes our volumes; returns the paths of what they lay over.
fn remove_volumes(host: &Host) -> Result<BTreeSet<String>> {
    let listed = host.pool.volumes()?;
    let ours = listed.iter().map(|(name, _)| name.as_str());
    let ours: Vec<&str> = ours.filter(|name| host.names.owns(name)).collect();
    let volumes = host.pool.volumes_listed(&ours)?.into_iter();
    let below = volumes.filter_map(|(_, volume)| volume.backing).collect();
    for name in ours {
        host.pool.delete(name)?;
    }
    Ok(below)
}

/// Removes the shared volumes that nobody uses any more: those at these paths, and those that this cluster has uploaded.
fn remove_unused(provider: &Libvirt, host: &Host, candidates: &BTreeSet<String>) -> Result<()> {
    let _lock = image::lock_exclusive(provider)?;
    let use_ = VolumeUse::find(host)?;
    let is_candidate = |name: &str, path: &String| {
        let ours = candidates.contains(path) || host.names.uploaded(name);
        Names::is_shared(name) && ours && !use_.paths.contains(path)
    };
    let volumes = use_.volumes.iter();
    let unused: Vec<&String> = volumes
        .filter(|(name, path)| is_candidate(name, path))
        .map(|(name, _)| name)
        .collect();
    for name in &unused {
        host.pool.delete(name)?;
    }
    if unused.is_empty() {
        return Ok(());
    }
    let listed = host.pool.volumes()?;
    match listed.iter().find(|(name, _)| unused.contains(&name)) {
        None => Ok(()),
        Some((name, _)) => bail!(
            "{}: volume {name} is still there; destroy it again",
            host.virsh.uri()
        ),
    }
}

/// What everything at a host lies over or is made of.
#[derive(Debug, Default)]
struct VolumeUse {
    /// Every volume's path, by name.
    volumes: BTreeMap<String, String>,
    domains: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl VolumeUse {
    /// Lists and looks until a list names nothing that was not looked at: no list is believed alone, for what it leaves out
    /// would lose what it lies over.
    fn find(host: &Host) -> Result<Self> {
        let mut all = Self::default();
        // The first look, and the one that must not find more.
        let mut first = true;
        while all.look(host)? || first {
            first = false;
        }
        Ok(all)
    }

    /// True: there was something new.
    fn look(&mut self, host: &Host) -> Result<bool> {
        let volumes = host.pool.volumes()?.into_iter();
        let (shared, others): (Vec<_>, Vec<_>) = volumes
            .filter(|(name, _)| !self.volumes.contains_key(name))
            .partition(|(name, _)| Names::is_shared(name));
        let names: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
        let domains = host.domains()?.into_iter();
        let domains: Vec<String> = domains.filter(|n| !self.domains.contains(n)).collect();
        let things: Vec<Thing<'_>> = domains.iter().map(|name| Thing::Domain(name)).collect();
        let new = !shared.is_empty() || !names.is_empty() || !things.is_empty();

        // Only what was shown counts as looked at.
        for (name, volume) in host.pool.volumes_listed(&names)? {
            self.paths.extend(volume.backing);
            self.volumes.insert(name.to_owned(), volume.path);
        }
        self.volumes.extend(shared);
        for (name, xml) in domains.iter().zip(host.virsh.dump_all_listed(&things)?) {
            if let Some(xml) = xml {
                self.paths.extend(Domain::read(&xml, name)?.paths);
                self.domains.insert(name.clone());
            }
        }
        Ok(new)
    }
}

/// The second look: what there still is of ours.
fn find_left(host: &Host, known: &Known) -> Result<Vec<String>> {
    let domains = host.own_domains()?.into_iter();
    let mut left: Vec<String> = domains.map(|(name, _)| format!("domain {name}")).collect();
    if host.pool.exists()? {
        host.pool.ensure(known.pool_made)?;
        let volumes = host.pool.volumes()?;
        if known.pool_made && volumes.is_empty() {
            left.push(format!("pool {}", known.pool));
        }
        let ours = volumes
            .into_iter()
            .filter(|(name, _)| host.names.owns(name));
        left.extend(ours.map(|(name, _)| format!("volume {name}")));
    }
    if network::own_exists(host)? {
        left.push(format!("network {}", host.names.network()));
    }
    Ok(left)
}

/// Removes one node, also a half-made one.
pub fn remove_node(provider: &Libvirt, host: &Host, node: &str) -> Result<()> {
    host.remove(node)?;
    files::remove_dir(&provider.machines.join(node))
}
