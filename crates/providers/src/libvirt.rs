//! Provider `libvirt`: every node is a domain, here or on other hosts. `virsh` is the client.
//!
//! `virsh` speaks, `names` calls and `xml` writes and reads; `host` is one hypervisor, `pool` its volumes, `image` what nodes
//! share there (`content` knows them, `sources` finds them), `network` what they are plugged into; `make` makes a node, `node` finds
//! and switches it, `relay` brings its words home, `destroy` removes all, `record` remembers the hosts; before anything is made
//! `survey` looks at a host and `preflight` judges it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ha_cluster_file::cluster::{self, Cluster, Node};

use self::host::{Found, Host};
use self::names::Names;
use self::network::Wiring;
use self::record::{Known, Record};
use self::sources::{Shared, Sources};
use super::{Finding, Machine, Made, Power, Provider, vm};

mod content;
mod destroy;
mod host;
mod image;
mod make;
mod names;
mod network;
mod node;
mod pool;
mod preflight;
mod record;
mod relay;
mod sources;
mod survey;
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
    /// What the cluster's nodes pass on.
    vip: Option<IpAddr>,
    wiring: Wiring,
    /// Every host that the cluster file names, by its URI.
    hosts: BTreeMap<String, Host>,
    /// What each host was brought, by URI. Held while it is brought.
    shared: Mutex<BTreeMap<String, Shared>>,
    /// Nodes whose words are relayed.
    relayed: Mutex<BTreeSet<String>>,
    /// Never let a host write into our directory: for tests, which have no remote host.
    apart: bool,
    /// So long a host's answer is waited for.
    patience: Duration,
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
        let host = |uri: &String| {
            let host = Host::new(uri, &options.pool, &names, virsh::PATIENCE);
            (uri.clone(), host)
        };
        Ok(Self {
            hosts: uris.into_iter().map(host).collect(),
            names,
            dir: dir.into(),
            machines,
            options: options.clone(),
            nodes: cluster.nodes.clone(),
            network: cluster.network.clone(),
            vip: cluster.own_vip(),
            wiring: Wiring::new(cluster, &options.network),
            shared: Mutex::default(),
            relayed: Mutex::default(),
            apart: false,
            patience: virsh::PATIENCE,
        })
    }

    /// A host that the cluster file may have forgotten.
    fn host_at(&self, uri: &str, pool: &str) -> Host {
        Host::new(uri, pool, &self.names, self.patience)
    }

    /// Does something at every host of the cluster file, at all of them at once.
    fn at_every_host<'a, T: Send>(
        &'a self,
        work: impl Fn(&'a Host) -> T + Sync,
    ) -> Vec<(&'a Host, T)> {
        std::thread::scope(|scope| {
            let work = &work;
            let begin = |host| (host, scope.spawn(move || work(host)));
            let begun: Vec<_> = self.hosts.values().map(begin).collect();
            let ended = begun.into_iter().map(|(host, thread)| {
                let done = thread.join();
                (host, done.unwrap_or_else(|p| std::panic::resume_unwind(p)))
            });
            ended.collect()
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

    /// Brings a host what its nodes are made from, once, unless all of it lies at these paths.
    fn share_unless_among(&self, host: &Host, paths: &BTreeSet<&str>) -> Result<Shared> {
        let mut shared = self
            .shared
            .lock()
            .map_err(|_| anyhow!("the thread that uploads images has panicked"))?;
        let there = shared.get(host.virsh.uri());
        if let Some(there) = there.filter(|there| there.is_among(paths)) {
            return Ok(there.clone());
        }
        let sources = Sources::find(self)?;
        vm::image::record_use(&self.machines, &sources.base.path)?;
        let there = sources.send(host, &self.machines)?;
        shared.insert(host.virsh.uri().into(), there.clone());
        Ok(there)
    }

    /// True once for each node: its words are now relayed.
    fn claim_relay(&self, node: &str) -> bool {
        self.relayed
            .lock()
            .is_ok_and(|mut relayed| relayed.insert(node.into()))
    }

    fn is_relayed(&self, node: &str) -> bool {
        self.relayed
            .lock()
            .is_ok_and(|relayed| relayed.contains(node))
    }

    /// Notes that things are going to be made at every host.
    fn remember(&self) -> Result<Record> {
        let mut record = Record::load(&self.machines)?.unwrap_or_else(Record::new);
        if record.hosts.is_empty() {
            record = record.with_state(self.names.state());
        }
        if record.state != self.names.state() {
            bail!("another ha-host has begun this cluster meanwhile; launch again");
        }
        let mut changed = false;
        for host in self.hosts.values() {
            let (uri, pool) = (host.virsh.uri(), host.pool.name());
            if record.host(uri, pool).is_none() {
                let pool_made = !host.pool.exists()?;
                record.hosts.push(Known {
                    uri: uri.into(),
                    pool: pool.into(),
                    pool_made,
                });
                changed = true;
            }
        }
        if changed {
            record.save(&self.machines)?;
        }
        Ok(record)
    }
}

impl Provider for Libvirt {
    fn preflight(&self) -> Result<Vec<Finding>> {
        preflight::check_host(self)
    }

    fn prepare(&self) -> Result<()> {
        let record = self.remember()?;
        for host in self.hosts.values() {
            let known = record.host(host.virsh.uri(), host.pool.name());
            host.pool
                .ensure(known.is_some_and(|known| known.pool_made))?;
            self.wiring.ensure(host, self.options.autostart)?;
            let nodes: Vec<&str> = self.nodes_of(host).map(|n| n.name.as_str()).collect();
            if host.find_all(&nodes)?.contains(&Found::Absent) {
                self.share_unless_among(host, &BTreeSet::new())?;
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

    fn states(&self, nodes: &[Node]) -> Result<Vec<Machine>> {
        node::machine_states(self, nodes)
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

    fn fetch_output(&self, node: &Node) -> Result<()> {
        relay::fetch_output(self, node)
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
