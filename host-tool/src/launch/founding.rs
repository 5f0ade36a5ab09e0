//! Whether the cluster has been founded. What the record says is not enough: a cluster goes on by itself when the launch that
//! began it has ended, so whoever may have seen it is asked.

use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::block_on;
use ha_providers::Machine;
use ha_wire::phase::{Phase, Role};

use super::inspection::Inspection;
use crate::ignition::{self, FOUNDER_SECONDS};
use crate::state::{ClusterDir, ClusterStore};

/// How long the founder's config permits it to found.
pub const PERMITTED: Duration = Duration::from_secs(FOUNDER_SECONDS);

/// What is known of the cluster's founding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Founding {
    /// The cluster answered under its CA, now or earlier, to this program or to a node: nobody may found it again.
    Closed,
    /// Nobody answers, but this control plane's disk holds etcd's data: it was founded, or is about to be.
    Begun(String),
    /// The founder's permission has not ended.
    Pending,
    /// Proved: no control plane holds anything of etcd's.
    Nothing,
    /// Nobody answers, and not every control plane could be asked.
    Unknown(Unasked),
    /// Nobody answers, others make the machines, and nobody has said that none of them founded it.
    UpToAPerson,
    /// It was founded, nobody answers, and no control plane holds anything of it any more: what it kept is in an external etcd.
    OnlyItsEtcd,
    /// It was founded, nobody answers, and the control planes' machines are gone with their etcd.
    Lost,
}

/// Why it is not known, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unasked {
    /// Control planes that are off.
    pub off: Vec<String>,
    /// Control planes that run and could not be asked for what their disks hold.
    pub silent: Vec<String>,
    /// What was met where the API should answer.
    pub api: Vec<String>,
}

/// Finds out; asks no more than it needs to.
pub fn find_out(see: &Inspection<'_>) -> Result<Founding> {
    let planes = see
        .nodes()
        .filter(|(node, _)| node.role == Role::ControlPlane);
    let planes: Vec<_> = planes.filter(|(_, m)| *m != Machine::Absent).collect();
    // Only what comes after the gate or after init needs a cluster.
    let has_met = |(node, _): (&Node, Machine)| see.furthest_phase(node) >= Some(Phase::Join);
    if see.store.record()?.is_some_and(|record| record.founded) || see.nodes().any(has_met) {
        return look_for_the_founded(see, &planes);
    }
    if planes.is_empty() {
        return Ok(Founding::Nothing);
    }
    let founder = see.cluster.founder();
    let made = see.made_nodes()?;
    if made
        .iter()
        .any(|(node, _, age)| Some(*node) == founder && *age <= PERMITTED)
    {
        return Ok(Founding::Pending);
    }
    match block_on(see.api()?.find_answer())? {
        Ok(_) => Ok(Founding::Closed),
        Err(api) => Ok(look_at_disks(see, &planes, api)),
    }
}

/// It was founded. Whether anything of it is left is in doubt only where a control plane cannot show it.
fn look_for_the_founded(see: &Inspection<'_>, planes: &[(&Node, Machine)]) -> Result<Founding> {
    let external = see.cluster.kubernetes.external_etcd().is_some();
    let in_doubt = see.cluster.provider.makes_machines() && (external || planes.is_empty());
    if !in_doubt {
        return Ok(Founding::Closed);
    }
    let Err(api) = block_on(see.api()?.find_answer())? else {
        return Ok(Founding::Closed);
    };
    Ok(match look_at_disks(see, planes, api) {
        Founding::Nothing if external => Founding::OnlyItsEtcd,
        Founding::Nothing => Founding::Lost,
        _ => Founding::Closed,
    })
}

/// Nobody answers: an etcd that ran has left its data.
fn look_at_disks(see: &Inspection<'_>, planes: &[(&Node, Machine)], api: Vec<String>) -> Founding {
    let mut unasked = Unasked {
        api,
        ..Unasked::default()
    };
    let (off, on): (Vec<_>, Vec<_>) = planes.iter().partition(|(_, m)| *m == Machine::Off);
    let off = off
        .iter()
        .map(|(node, _)| format!("{node}'s machine is off", node = node.name));
    unasked.off.extend(off);
    let on: Vec<&Node> = on.into_iter().map(|(node, _)| node).collect();
    for (node, disk) in on.iter().zip(see.disks(&on)) {
        match disk {
            Ok(disk) if disk.etcd => return Founding::Begun(node.name.clone()),
            Ok(_) => {}
            Err(error) => unasked.silent.push(format!("{}: {error:#}", node.name)),
        }
    }
    if unasked.off.is_empty() && unasked.silent.is_empty() {
        Founding::Nothing
    } else {
        Founding::Unknown(unasked)
    }
}

/// The cluster stands: nobody may found it again. Takes the permission out of the stored config, then remembers that.
pub fn close_founding(store: &ClusterStore, cluster: &Cluster) -> Result<()> {
    if store.record()?.is_none() {
        return Ok(());
    }
    if let Some(node) = cluster.founder() {
        take_permission(store, node)?;
    }
    store.note_founded()
}

/// The same for verbs that saw the cluster answer under its CA and only look otherwise.
pub fn note_founded(dir: &ClusterDir, cluster: &Cluster) -> Result<()> {
    if dir.record()?.is_none_or(|record| record.founded) {
        return Ok(());
    }
    close_founding(&dir.clone().lock_known()?, cluster)
}

/// The config stays as old as it was: its age is that of the identity in it.
fn take_permission(store: &ClusterStore, node: &Node) -> Result<()> {
    let path = store.ignition(&node.name);
    let place = || {
        format!(
            "cannot take the permission to found out of {}",
            path.display()
        )
    };
    let Some(text) = ha_host_base::files::read_optional(&path)? else {
        return Ok(());
    };
    if let Some(without) = ignition::without_founder(&text).with_context(place)? {
        let written = std::fs::metadata(&path).and_then(|m| m.modified());
        let written = written.with_context(place)?;
        store.put_ignition(&node.name, without.expose())?;
        let file = std::fs::File::options().write(true).open(&path);
        file.and_then(|file| file.set_modified(written))
            .with_context(place)?;
    }
    Ok(())
}
