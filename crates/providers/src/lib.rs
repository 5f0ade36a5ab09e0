//! Who makes the machines. One file or folder per provider; nothing else knows what a machine is made of.
#![cfg_attr(
    not(test),
    deny(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "who called shows it"
    )
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::{self, Cluster, Node};

mod address_probe;
mod by_others;
mod child_limits;
mod finding;
#[doc(hidden)]
pub mod fuzzing;
pub mod libvirt;
#[cfg(test)]
mod machine_tests;
pub mod nspawn;
mod process;
pub mod qemu;
mod shared;
pub mod vm;

pub use by_others::ByOthers;
pub use finding::{Finding, Unfit};

/// Makes, finds and removes the machines of one cluster. All calls may be repeated and block until done; they come from
/// several threads at once (one per node). None of them prints anything. An error that an operator can remedy carries an
/// [`Unfit`].
pub trait Provider: std::fmt::Debug + Send + Sync {
    /// Looks whether this machine can carry the cluster, before anything is made. Changes nothing.
    fn preflight(&self) -> Result<Vec<Finding>>;
    /// Makes what all nodes share (network, files). Finds what is there from an earlier call.
    fn prepare(&self) -> Result<()>;
    /// Makes a node unless it is there, from its Ignition file, and powers it on. Never touches an existing disk.
    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made>;
    /// What the machine does now.
    fn state(&self, node: &Node) -> Result<Machine>;
    /// What each of these machines does now, in their order. A provider that can ask once for all does.
    fn states(&self, nodes: &[Node]) -> Result<Vec<Machine>> {
        nodes.iter().map(|node| self.state(node)).collect()
    }
    /// The same for whoever goes on without those that could not be asked: none.
    fn known_states(&self, nodes: &[Node]) -> Vec<Option<Machine>> {
        match self.states(nodes) {
            Ok(states) => states.into_iter().map(Some).collect(),
            // One host that does not answer hides no other.
            Err(_) => nodes.iter().map(|node| self.state(node).ok()).collect(),
        }
    }
    /// Switches the machine.
    fn power(&self, node: &Node, order: Power) -> Result<()>;
    /// Removes one node, disk included; fine if it is not there.
    fn remove(&self, node: &Node) -> Result<()>;
    /// A command that runs `argv` on the node as root, wired to this process's streams by the caller.
    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command>;
    /// Cuts a node off from all others, or lets it back, while its own link stays up: what a broken switch does. The product
    /// never does that: it is here for the tests of partitions, which are the same for all providers.
    fn cut(&self, node: &Node, _off: bool) -> Result<()> {
        bail!(
            "{} cannot be cut off: its provider has no such switch",
            node.name
        )
    }
    /// Where this machine reaches an address of the nodes' network: there, unless the provider forwards it.
    fn reach(&self, inside: SocketAddr) -> SocketAddr {
        inside
    }
    /// Brings home what the node has said up to now, if its host keeps it: [`Self::events`] and [`Self::console`] hold all of it
    /// afterwards. An error: something of it may be missing there.
    fn fetch_output(&self, _node: &Node) -> Result<()> {
        Ok(())
    }
    /// The host's file that gets the node's events, one JSON object a line; may not exist yet.
    fn events(&self, node: &Node) -> PathBuf;
    /// The host's file that gets the node's console; may not exist yet.
    fn console(&self, node: &Node) -> PathBuf;
    /// Removes everything that was ever made for this cluster, also half-made things, and nothing else.
    fn destroy(&self) -> Result<()>;
}

/// What `ensure` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// The node is new.
    New {
        /// What its operator should know.
        warning: Option<String>,
    },
    /// It was there but off, and is on now.
    PoweredOn,
    /// It ran already.
    Running,
    /// Nothing: others make it.
    ByOthers {
        /// The config to boot it with.
        config: PathBuf,
    },
}

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// It was never made, or has been removed.
    Absent,
    /// It has a disk but does not run.
    Off,
    /// It runs (or boots), or may: what a machine that others make does is not known.
    Running,
}

/// An order to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Pull the plug: no process of the node runs on, its link is down.
    Off,
    /// Switch on.
    On,
    /// Orderly restart.
    Reboot,
}

/// The provider that the cluster file names. `dir` is the cluster's state directory (0700), the provider's own things
/// live in `dir/machines`.
pub fn provider_of(cluster: &Cluster, dir: &Path) -> Result<Box<dyn Provider>> {
    child_limits::raise_open_files();
    match &cluster.provider {
        cluster::ProviderOptions::Nspawn(options) => {
            Ok(Box::new(nspawn::Nspawn::new(cluster, options, dir)?))
        }
        cluster::ProviderOptions::Libvirt(options) => {
            Ok(Box::new(libvirt::Libvirt::new(cluster, options, dir)?))
        }
        cluster::ProviderOptions::Qemu(options) => {
            Ok(Box::new(qemu::Qemu::new(cluster, options, dir)?))
        }
        cluster::ProviderOptions::None => Ok(Box::new(ByOthers::new(cluster, dir))),
    }
}

/// What `ensure` returns for a new node without warnings.
#[cfg(test)]
const NEW: Made = Made::New { warning: None };
