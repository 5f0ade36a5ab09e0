//! `power`, `cut`, `reach` and `remake`: for tests and support.

use anyhow::Result;
use ha_host_base::exit::Stop;

use super::KnownCluster;
use crate::cli::{self, Order};
use crate::launch;
use crate::state::{ClusterLife, StateRoot, record_life};

pub fn switch_power(args: &cli::PowerArgs, root: &StateRoot) -> Result<()> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let node = known.node(&args.node)?;
    // Two that start one machine would both note its processes, and one of them be nobody's.
    let _store = match args.during_launch {
        false => Some(known.dir.clone().lock_known()?),
        true => None,
    };
    let order = match args.order {
        Order::Off => ha_providers::Power::Off,
        Order::On => ha_providers::Power::On,
        Order::Reboot => ha_providers::Power::Reboot,
    };
    known.provider.power(node, order)
}

/// Cuts a node off, or lets it back.
pub fn cut_off(args: &cli::CutArgs, root: &StateRoot) -> Result<()> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let node = known.node(&args.node)?;
    let _store = known.dir.clone().lock_known()?;
    known.provider.cut(node, !args.heal)
}

/// Where an address of the nodes' network is reached from here.
pub fn print_reach(args: &cli::ReachArgs, root: &StateRoot) -> Result<()> {
    let known = KnownCluster::find(root, &args.cluster)?;
    println!("{}", known.provider.reach(args.inside));
    Ok(())
}

/// Removes a machine, disk included, and makes it anew from this config.
pub fn remake_machine(args: &cli::RemakeArgs, root: &StateRoot) -> Result<()> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let node = known.node(&args.node)?;
    let file = &args.ignition;
    let absolute = file
        .canonicalize()
        .map_err(|e| Stop::bad_input(format!("{} cannot be read: {e}", file.display())))?;
    let store = known.dir.clone().lock_known()?;
    // The next launch must not take the old node's fame for the new one's.
    record_life(&store, ClusterLife::Launching)?;
    known.provider.remove(node)?;
    known.provider.prepare()?;
    known.provider.ensure(node, &absolute)?;
    launch::create_event_file(&known.provider.events(node))
}
