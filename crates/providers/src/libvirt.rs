//! Provider `libvirt`: every node is a domain, here or on other hosts. `virsh` is the client.
//!
//! `virsh` speaks, `names` calls and `xml` writes and reads; `host` is one hypervisor, `pool` its volumes, `image` what nodes
//! share there, `network` what they are plugged into; `node` makes and switches one, `relay` brings its words home, `destroy`
//! removes all, `record` remembers the hosts, `preflight` looks before anything is made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use ha_cluster_file::cluster::{self, Cluster, Node};

use self::host::Host;
use self::names::Names;
use self::network::Wiring;
use self::node::{Shared, Sources};
use self::record::{Known, Record};
use super::{Finding, Machine, Made, Power, Provider, vm};

mod destroy;
mod host;
mod image;
mod names;
mod network;
mod node;
mod pool;
mod preflight;
mod record;
mod relay;
#[cfg(test)]
mod tests;
mod virsh;
mod xml;

/// The provider for one cluster.
#[derive(Debug)]
pub struct Libvirt {
    names: Names,
    /// The cluster's state directory.
    dir: PathBuf,
    /// The provider's part of it.
    machines: PathBuf,
    options: cluster::LibvirtOptions,
    nodes: Vec<Node>,
    network: cluster::Network,
    vip: IpAddr,
    wiring: Wiring,
    /// Every host that the cluster file names, by its URI.
    hosts: BTreeMap<String, Host>,
    /// What each host was brought, by URI. Held while it is brought.
    shared: Mutex<BTreeMap<String, Shared>>,
    /// Nodes whose words are relayed.
    relayed: Mutex<BTreeSet<String>>,
    /// Never let a host write into our directory: for tests, which have no remote host.
    apart: bool,
}

impl Libvirt {
    /// `dir` is the cluster's state directory.
    pub fn new(cluster: &Cluster, options: &cluster::LibvirtOptions, dir: &Path) -> Result<Self> {
        let machines = dir.join("machines");
        let record = match Record::load(&machines)? {
            Some(record) => record,
            // Not written before something is to be made; until then nothing has this id, so nothing is ours.
            None => Record::new(),
        };
        let names = Names::new(&cluster.name, &record.state);
        let uris: BTreeSet<&String> = cluster
            .nodes
            .iter()
            .map(|n| n.uri.as_ref().unwrap_or(&options.uri))
            .collect();
        let host = |uri: &String| (uri.clone(), Host::new(uri, &options.pool, &names));
        Ok(Self {
            hosts: uris.into_iter().map(host).collect(),
            names,
            dir: dir.into(),
            machines,
            options: options.clone(),
            nodes: cluster.nodes.clone(),
            network: cluster.network.clone(),
            vip: cluster.endpoint.vip,
            wiring: Wiring::new(cluster, &options.network),
            shared: Mutex::default(),
            relayed: Mutex::default(),
            apart: false,
        })
    }

    fn uri<'a>(&'a self, node: &'a Node) -> &'a str {
        node.uri.as_deref().unwrap_or(&self.options.uri)
    }

    fn host(&self, node: &Node) -> Result<&Host> {
        let uri = self.uri(node);
        self.hosts.get(uri).with_context(|| {
            format!(
                "{} is at {uri}, which the cluster file does not name",
                node.name
            )
        })
    }

    /// The nodes of a host.
    fn nodes_of<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a Node> {
        self.nodes
            .iter()
            .filter(|node| self.uri(node) == host.virsh.uri())
    }

    /// Whether a host may be able to write a node's events and console into our directory.
    fn says_into_our_files(&self, host: &Host) -> bool {
        host.virsh.is_local() && !self.apart
    }

    fn dir(&self, node: &Node) -> PathBuf {
        self.machines.join(&node.name)
    }

    fn events_file(&self, node: &Node) -> PathBuf {
        self.dir(node).join("events.jsonl")
    }

    fn console_file(&self, node: &Node) -> PathBuf {
        self.dir(node).join("console.log")
    }

    /// Brings a host what its nodes are made from, once.
    fn share(&self, host: &Host) -> Result<Shared> {
        let mut shared = self
            .shared
            .lock()
            .map_err(|_| anyhow!("the thread that uploads images has panicked"))?;
        if let Some(there) = shared.get(host.virsh.uri()) {
            return Ok(there.clone());
        }
        let sources = Sources::find(self)?;
        vm::image::record_use(&self.machines, &sources.base.path)?;
        let there = sources.send(host)?;
        shared.insert(host.virsh.uri().into(), there.clone());
        Ok(there)
    }

    /// True once for each node: its words are now relayed.
    fn relayed(&self, node: &str) -> bool {
        self.relayed
            .lock()
            .is_ok_and(|mut relayed| relayed.insert(node.into()))
    }

    /// Notes that things are going to be made at every host.
    fn remember(&self) -> Result<()> {
        let mut record = Record::load(&self.machines)?.unwrap_or_else(Record::new);
        if record.hosts.is_empty() {
            record = record.with_state(self.names.state());
        }
        if record.state != self.names.state() {
            bail!("another ha-host has begun this cluster meanwhile; launch again");
        }
        let mut changed = false;
        for host in self.hosts.values() {
            let pool_made = host.pool.look()?.is_none();
            let pool = host.pool.name().to_owned();
            changed |= record.add(Known {
                uri: host.virsh.uri().into(),
                pool,
                pool_made,
            });
        }
        if changed {
            record.save(&self.machines)
        } else {
            Ok(())
        }
    }
}

impl Provider for Libvirt {
    fn preflight(&self) -> Result<Vec<Finding>> {
        preflight::check_host(self)
    }

    fn prepare(&self) -> Result<()> {
        self.remember()?;
        for host in self.hosts.values() {
            host.pool.ensure()?;
            self.wiring.ensure(host, self.options.autostart)?;
            let mut new = false;
            for node in self.nodes_of(host) {
                new |= node::machine_state(self, node)? == Machine::Absent;
            }
            if new {
                self.share(host)?;
            }
        }
        Ok(())
    }

    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made> {
        node::ensure_node(self, node, ignition)
    }

    fn state(&self, node: &Node) -> Result<Machine> {
        node::machine_state(self, node)
    }

    fn power(&self, node: &Node, order: Power) -> Result<()> {
        node::switch_power(self, node, order)
    }

    fn remove(&self, node: &Node) -> Result<()> {
        destroy::remove_node(self, self.host(node)?, &node.name)
    }

    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command> {
        node::command_on_node(self, node, argv)
    }

    fn events(&self, node: &Node) -> PathBuf {
        self.events_file(node)
    }

    fn console(&self, node: &Node) -> PathBuf {
        self.console_file(node)
    }

    fn destroy(&self) -> Result<()> {
        destroy::remove_cluster(self)
    }
}
