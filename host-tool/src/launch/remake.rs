//! Which machines are made anew because they can no longer found or join the cluster: of none of them anything is worth
//! keeping, or it is left alone.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use ha_cluster_file::cluster::Node;
use ha_host_base::block_on;
use ha_providers::Machine;
use ha_wire::phase::Phase;

use super::founding::{Founding, PERMITTED, Unasked};
use super::inspection::Inspection;

/// A config older than this is made anew before its node has joined: the identity in it ends after 24 hours, and a join that
/// has begun needs some of them.
const TOO_OLD_TO_JOIN: Duration = Duration::from_secs(20 * 3600);

/// What a launch does about nodes that are stuck.
#[derive(Debug, Default, PartialEq)]
pub struct Remakes<'a> {
    /// Machines to remove and make anew.
    pub nodes: Vec<&'a Node>,
    /// Why, and what is left alone although it may be stuck; one line each.
    pub warnings: Vec<String>,
}

impl<'a> Remakes<'a> {
    fn add(&mut self, node: &'a Node, why: &str) {
        let name = &node.name;
        self.warnings.push(format!("{name} is made anew: {why}"));
        self.nodes.push(node);
    }

    fn leave(&mut self, node: &Node, why: &str) {
        self.warnings.push(format!("{} {why}", node.name));
    }

    /// The cluster does not know this node. Unless it is sure that it never did, the machine is left alone.
    fn add_unless_joined(&mut self, see: &Inspection<'a>, node: &'a Node, machine: Machine) {
        match ever_joined(see, node, machine) {
            Joined::Never => self.add(node, TOO_LATE),
            Joined::Once => self.leave(
                node,
                "joined once, and the cluster does not list it any more: it is left as it is",
            ),
            Joined::Unknown(why) => self.leave(
                node,
                &format!(
                    "is not in the cluster, and whether it ever was is not known ({why}): its machine is left as it is"
                ),
            ),
        }
    }

    /// Ignition failed on its first boot, as far as its console says. What shows any life is left alone.
    fn add_unless_alive(&mut self, node: &'a Node, sign_of_life: Option<String>) {
        match sign_of_life {
            None => self.add(
                node,
                "Ignition failed on its first boot: nothing of it ever ran",
            ),
            Some(sign) => self.leave(
                node,
                &format!(
                    "was not heard since Ignition failed on its first boot, but {sign}: its machine is left as it is"
                ),
            ),
        }
    }
}

/// Chooses them. An error: whether the cluster stands has to be known first, and is not.
pub fn choose_stuck_nodes<'a>(see: &Inspection<'a>, founding: &Founding) -> Result<Remakes<'a>> {
    let made = see.made_nodes()?;
    let founder = made
        .iter()
        .find(|(node, ..)| see.cluster.founder() == Some(*node));
    let expired = founder.filter(|(_, _, age)| *age > PERMITTED);
    let expired = expired.map(|(node, ..)| *node);
    let old = made.iter().filter(|(node, _, age)| {
        // What never joins has no identity that ends.
        node.role.is_kubernetes_node() && *age > TOO_OLD_TO_JOIN
    });
    let old: Vec<_> = old.map(|(node, machine, _)| (*node, *machine)).collect();
    let mut remakes = match founding {
        Founding::Pending | Founding::UpToAPerson => Remakes::default(),
        Founding::Nothing => never_founded(see, expired, &old),
        Founding::Begun(holder) => remakes_once_founded(expired, holder),
        Founding::Unknown(unasked) => not_known(expired, unasked)?,
        Founding::Closed => never_joined(see, &old)?,
        Founding::OnlyItsEtcd => founded_again(see, expired),
        Founding::Lost => return Err(control_planes_lost(see)),
    };
    let unheard = made.iter().filter(|(node, ..)| see.never_ran(node));
    let unheard = unheard.filter(|(node, ..)| !remakes.nodes.contains(node));
    let unheard: Vec<_> = unheard
        .map(|(node, machine, _)| (*node, *machine))
        .collect();
    for ((node, _), sign) in unheard.iter().zip(signs_of_life(see, &unheard, founding)?) {
        remakes.add_unless_alive(node, sign);
    }
    Ok(remakes)
}

/// Whether a node that the cluster does not list was ever in it.
enum Joined {
    Never,
    Once,
    Unknown(String),
}

fn ever_joined(see: &Inspection<'_>, node: &Node, machine: Machine) -> Joined {
    if machine == Machine::Running {
        return match see.has_joined(node) {
            Ok(true) => Joined::Once,
            Ok(false) => Joined::Never,
            Err(_) if see.never_ran(node) => Joined::Never,
            Err(error) => Joined::Unknown(format!("{error:#}")),
        };
    }
    if let Some(why) = see.why_unread(node) {
        return Joined::Unknown(why.to_owned());
    }
    // It told of all that it did, and of no cluster; or it told nothing, and is asked once it runs.
    match see.was_heard(node) || see.never_ran(node) {
        true => Joined::Never,
        false => Joined::Unknown("it was never heard, and is off".to_owned()),
    }
}

/// What speaks against the consoles of these nodes, which say that nothing ever ran there; none: nothing does.
fn signs_of_life(
    see: &Inspection<'_>,
    nodes: &[(&Node, Machine)],
    founding: &Founding,
) -> Result<Vec<Option<String>>> {
    let running = nodes.iter().filter(|(_, m)| *m == Machine::Running);
    let running: Vec<&Node> = running.map(|(node, _)| *node).collect();
    let answers = running.iter().zip(see.disks(&running));
    let answering: Vec<&Node> = answers
        .filter_map(|(node, answer)| answer.is_ok().then_some(*node))
        .collect();
    let membership = match *founding == Founding::Closed && !nodes.is_empty() {
        true => Some(block_on(see.api()?.membership())?),
        false => None,
    };
    let sign = |node: &Node| {
        if answering.contains(&node) {
            return Some("it answers".to_owned());
        }
        match membership.as_ref()? {
            Ok(membership) => membership
                .knows(node)
                .then(|| "the cluster knows it".to_owned()),
            Err(error) => Some(format!(
                "whether the cluster knows it cannot be asked ({error})"
            )),
        }
    };
    Ok(nodes.iter().map(|(node, _)| sign(node)).collect())
}

/// Nobody founded anything, and no control plane holds data: who is too late begins anew.
fn never_founded<'a>(
    see: &Inspection<'a>,
    expired: Option<&'a Node>,
    old: &[(&'a Node, Machine)],
) -> Remakes<'a> {
    let mut remakes = Remakes::default();
    if let Some(founder) = expired {
        remakes.add(
            founder,
            "its permission to found the cluster ended before it founded anything (no apiserver answers, and no control \
             plane holds data of etcd's)",
        );
    }
    for (node, machine) in old.iter().filter(|(node, _)| Some(*node) != expired) {
        remakes.add_unless_joined(see, node, *machine);
    }
    remakes
}

/// Nothing of the cluster is left but what its etcd, which is elsewhere, holds.
fn founded_again<'a>(see: &Inspection<'a>, expired: Option<&'a Node>) -> Remakes<'a> {
    let mut remakes = Remakes::default();
    if let Some(founder) = see.cluster.founder() {
        remakes.warnings.push(format!(
            "no apiserver of {} answers, and no control plane holds anything of it any more: {} founds the cluster again over what \
             the external etcd holds, if that is this cluster's",
            see.cluster.name, founder.name
        ));
    }
    if let Some(founder) = expired {
        remakes.add(
            founder,
            "its permission to found the cluster again ended before it did",
        );
    }
    remakes
}

/// Nothing is left that a launch could go on with.
fn control_planes_lost(see: &Inspection<'_>) -> anyhow::Error {
    let planes = see.cluster.control_planes();
    let names: Vec<&str> = planes.map(|node| node.name.as_str()).collect();
    let name = &see.cluster.name;
    anyhow!(
        "{name} stood, and its control planes {} have no machine any more: etcd's data were on their disks. Nothing was changed. If \
         the machines are only away (moved, renamed, another host's), bring one back and launch again. If they are gone for good, \
         so is what the cluster kept: `ha-host destroy {name}` removes the rest (workers with their disks, keys), and a launch \
         begins anew",
        names.join(", ")
    )
}

const TOO_LATE: &str = "it has not joined for more than 20 hours, and the identity that it would join with ends after 24";

fn remakes_once_founded<'a>(expired: Option<&'a Node>, holder: &str) -> Remakes<'a> {
    let mut remakes = Remakes::default();
    if expired.is_some_and(|founder| founder.name != holder) {
        remakes.warnings.push(format!(
            "no apiserver of this cluster answers, but {holder} holds data of etcd's: the cluster was founded, and nothing is \
             made anew"
        ));
    }
    remakes
}

fn not_known<'a>(expired: Option<&'a Node>, unasked: &Unasked) -> Result<Remakes<'a>> {
    let mut remakes = Remakes::default();
    let Some(founder) = expired.map(|node| &node.name) else {
        return Ok(remakes);
    };
    let api = unasked.api.join("; ");
    if !unasked.silent.is_empty() {
        bail!(
            "{founder}'s permission to found the cluster has ended, and whether the cluster stands is not known: no apiserver \
             answers here ({api}), and what the control planes' disks hold could not be seen ({silent}). Nothing was changed. \
             `ha-host logs` shows what such a node does; once they answer (or are off), launch again: it goes on with a \
             cluster that stands, and makes {founder} anew if none was ever founded",
            silent = unasked.silent.join("; "),
        );
    }
    remakes.warnings.push(format!(
        "{founder}'s permission to found the cluster has ended, and whether the cluster stands is not known yet ({}): the \
         machines are switched on; if no cluster comes up, launch again: it makes {founder} anew",
        unasked.off.join("; "),
    ));
    Ok(remakes)
}

/// The cluster stands, so it says itself who has joined. A node that joined once is left alone whatever it says.
fn never_joined<'a>(see: &Inspection<'a>, old: &[(&'a Node, Machine)]) -> Result<Remakes<'a>> {
    let mut remakes = Remakes::default();
    let joined = |node: &Node| see.furthest_phase(node) >= Some(Phase::Network);
    let unheard: Vec<_> = old.iter().filter(|(node, _)| !joined(node)).collect();
    if unheard.is_empty() {
        return Ok(remakes);
    }
    let membership = match block_on(see.api()?.membership())? {
        Ok(membership) => membership,
        Err(error) => {
            let running = unheard.iter().filter(|(_, m)| *m == Machine::Running);
            let names: Vec<&str> = running.map(|(node, _)| node.name.as_str()).collect();
            if !names.is_empty() {
                remakes.warnings.push(format!(
                    "whether {} ever joined is not known ({error}): no machine is made anew; launch again once the cluster \
                     answers",
                    names.join(", ")
                ));
            }
            return Ok(remakes);
        }
    };
    for (node, machine) in unheard {
        if !membership.knows(node) {
            remakes.add_unless_joined(see, node, *machine);
        }
    }
    Ok(remakes)
}
