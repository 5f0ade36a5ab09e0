//! `power`, `cut`, `reach` and `remake`: for tests and support.

use anyhow::Result;
use ha_host_base::exit::Stop;
use ha_providers as provider;

use super::Known;
use crate::cli::{self, Order};
use crate::launch;
use crate::state::{Life, Root, advance};

pub fn power(args: &cli::Power, root: &Root) -> Result<()> {
    let known = Known::find(root, &args.cluster)?;
    let order = match args.order {
        Order::Off => provider::Power::Off,
        Order::On => provider::Power::On,
        Order::Reboot => provider::Power::Reboot,
    };
    known.provider.power(known.node(&args.node)?, order)
}

/// Cuts a node off, or lets it back.
pub fn cut(args: &cli::Cut, root: &Root) -> Result<()> {
    let known = Known::find(root, &args.cluster)?;
    known.provider.cut(known.node(&args.node)?, !args.heal)
}

/// Where an address of the nodes' network is reached from here.
pub fn reach(args: &cli::Reach, root: &Root) -> Result<()> {
    let known = Known::find(root, &args.cluster)?;
    println!("{}", known.provider.reach(args.inside));
    Ok(())
}

/// Removes a machine, disk included, and makes it anew from this config.
pub fn remake(args: &cli::Remake, root: &Root) -> Result<()> {
    let known = Known::find(root, &args.cluster)?;
    let node = known.node(&args.node)?;
    let file = &args.ignition;
    let absolute = file
        .canonicalize()
        .map_err(|e| Stop::bad_input(format!("{} cannot be read: {e}", file.display())))?;
    let store = known.dir.clone().lock()?;
    // The next launch must not take the old node's fame for the new one's.
    advance(&store, Life::Launching)?;
    known.provider.remove(node)?;
    known.provider.prepare()?;
    known.provider.ensure(node, &absolute)?;
    launch::create_event_file(&known.provider.events(node))
}
