//! An edited cluster file of a cluster that nobody has used: the machines are made anew from it. What may hold something is never
//! removed unasked: the record may say "not founded" of a cluster that was founded after the launch that began it had ended.

use anyhow::{Result, bail};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::block_on;
use ha_host_base::exit::Stop;
use ha_providers::Machine;
use ha_wire::phase::Phase;

use super::inspection::Inspection;

/// Parts of the file that all machines share something of: a network, a pool, a directory of the provider's.
pub const SHARED: [&str; 4] = ["provider", "network", "endpoint", "nodes"];

/// What the machines of a cluster hold that no launch saw answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nothing that anybody could have used: at most what a `kubeadm init` left that did not come to its end.
    Nothing,
    /// The cluster was founded all the same; who shows it.
    Founded(String),
    /// These could not be asked, one line each.
    Unknown(Vec<String>),
}

/// Finds out, for a cluster whose record says that no apiserver was seen to answer. The API is asked last: whatever is founded
/// while the disks are looked at answers by then.
pub fn find_what_machines_hold(see: &Inspection<'_>) -> Result<Held> {
    let has_met = |node: &Node| see.furthest_phase(node) >= Some(Phase::Join);
    let made: Vec<(&Node, Machine)> = see.nodes().filter(|(_, m)| *m != Machine::Absent).collect();
    if let Some((node, _)) = made.iter().find(|(node, _)| has_met(node)) {
        return Ok(Held::Founded(format!("{}'s agent met it", node.name)));
    }
    let (off, on): (Vec<_>, Vec<_>) = made.into_iter().partition(|(_, m)| *m == Machine::Off);
    let on: Vec<&Node> = on.into_iter().map(|(node, _)| node).collect();
    let off = off.into_iter().filter(|(node, _)| !see.never_ran(node));
    let off = off.map(|(node, _)| format!("{}'s machine is off", node.name));
    let mut unknown: Vec<String> = off.collect();
    let unread = see.nodes().filter_map(|(node, _)| {
        let why = see.why_unread(node)?;
        Some(format!("{}: {why}", node.name))
    });
    unknown.extend(unread);
    for (node, disk) in on.iter().zip(see.disks(&on)) {
        let name = &node.name;
        match disk {
            Ok(disk) if disk.joined => {
                return Ok(Held::Founded(format!("{name}'s disk shows that it joined")));
            }
            // Of a founder they are those of a `kubeadm init` that did not come to its end; anybody else's joined a cluster.
            Ok(disk) if disk.etcd && see.cluster.founder() != Some(*node) => {
                return Ok(Held::Founded(format!("{name} holds data of etcd's")));
            }
            Ok(_) => {}
            Err(_) if see.never_ran(node) => {}
            Err(error) => unknown.push(format!("{name}: {error:#}")),
        }
    }
    if let Ok(place) = block_on(see.api()?.find_answer())? {
        return Ok(Held::Founded(format!("{place} answers under its CA")));
    }
    Ok(match unknown.is_empty() {
        true => Held::Nothing,
        false => Held::Unknown(unknown),
    })
}

/// Removes every machine. Returns their names.
pub fn remove_machines(see: &mut Inspection<'_>) -> Result<Vec<String>> {
    let made: Vec<&Node> = see
        .nodes()
        .filter(|(_, machine)| *machine != Machine::Absent)
        .map(|(node, _)| node)
        .collect();
    for node in &made {
        see.remove(node)?;
    }
    Ok(made.into_iter().map(|node| node.name.clone()).collect())
}

/// Some machines could not be asked whether they hold anything, so nothing is done.
pub fn refuse_unasked(
    file: &str,
    cluster: &Cluster,
    words: &str,
    unknown: &[String],
) -> Result<()> {
    let name = &cluster.name;
    if !cluster.provider.makes_machines() {
        bail!(
            "{file} was changed ({words}), and no apiserver of {name} was ever seen to answer; whether machines that were made \
             from its configs hold anything is not known all the same:\n  {}\n  Nothing was changed. If none of them founded a \
             cluster: `ha-host launch {file} --found`, and boot every machine with its new config; or take the changes back",
            unknown.join("\n  ")
        )
    }
    bail!(
        "{file} was changed ({words}), and no apiserver of {name} was ever seen to answer; whether its machines hold anything is not \
         known all the same:\n  {}\n  Nothing was changed. Once they answer (`ha-host power {name} NODE on`, `ha-host logs {name} \
         NODE`) launch again: machines that hold nothing are made anew. Or take the changes back. If none of these machines ever \
         held anything that you need: `ha-host destroy {name}` removes them with their disks",
        unknown.join("\n  ")
    )
}

/// The cluster stands after all, so its file may ask for no more than a standing one's.
pub fn explain_founded(error: anyhow::Error, why: &str) -> anyhow::Error {
    match error.downcast::<Stop>() {
        Ok(Stop::BadInput(words)) => {
            Stop::bad_input(format!("{words}\n  (the cluster was founded: {why})"))
        }
        Ok(other) => other.into(),
        Err(error) => error,
    }
}

/// What was done, for people.
pub fn words_of_remake(file: &str, changed: &str, anew: &[String]) -> String {
    let machines = match anew {
        [] => "there was no machine yet".to_owned(),
        names => format!("so the nodes are made anew: {}", names.join(", ")),
    };
    format!("{file} was changed: {changed}; no apiserver answered yet, {machines}")
}
