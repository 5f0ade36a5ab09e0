//! Provider `nspawn`: every node is a systemd-nspawn container of a node image. Needs root, no hypervisor.
//!
//! `layout` names everything; `network`, `root`, `disk`, `node_root`, `store`, `extensions`, `ignition` and `cgroup` each make one
//! thing; `plan` and `keeper` run a node; `start` and `destroy` put them in order; `preflight` looks before anything is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::{self, Cluster, Node, Sysext};
use ha_wire::settings::Cri;
use ipnet::IpNet;

use self::layout::{Layout, NodeDir};
use self::network::Segment;
use super::{Finding, Machine, Made, Power, Provider};
use crate::shared::lock::MachineLock;

mod answer;
mod cgroup;
mod destroy;
mod disk;
mod enter;
mod extensions;
mod ignition;
pub mod keeper;
mod layout;
mod network;
mod node_root;
mod plan;
mod preflight;
mod root;
mod start;
mod store;
#[cfg(test)]
mod tests;
mod watch;

/// The provider for one cluster.
#[derive(Debug)]
pub struct Nspawn {
    layout: Layout,
    segment: Segment,
    image: PathBuf,
    cri: Cri,
    sysexts: BTreeMap<String, Sysext>,
    as_directories: bool,
    disks_as_images: bool,
    nodes: Vec<Node>,
    /// Names of those that run keepalived.
    balancers: Vec<String>,
    network: cluster::Network,
    /// Of the nodes' addresses, both families'.
    networks: Vec<IpNet>,
    /// The program that runs `nspawn-keeper`: ha-host itself.
    keeper: PathBuf,
}

impl Nspawn {
    /// `dir` is the cluster's state directory.
    pub fn new(cluster: &Cluster, options: &cluster::NspawnOptions, dir: &Path) -> Result<Self> {
        let layout = Layout::new(&cluster.name, dir);
        Ok(Self {
            segment: Segment::new(&layout, cluster),
            layout,
            image: options.image.clone(),
            cri: cluster.kubernetes.cri,
            sysexts: all_sysexts(cluster),
            as_directories: options.sysexts_as_directories,
            disks_as_images: options.disks_as_images,
            nodes: cluster.nodes.clone(),
            balancers: names_of_balancers(cluster),
            network: cluster.network.clone(),
            networks: cluster.node_networks().map(|(cidr, _)| cidr).collect(),
            keeper: std::env::current_exe().context("cannot find the ha-host program itself")?,
        })
    }

    /// Why sysexts are merged as directories; none: as images.
    fn unpack_reason(&self) -> Option<&'static str> {
        if self.as_directories {
            Some("as the cluster file says")
        } else {
            extensions::no_loop_devices()
        }
    }

    /// Whose store the image has; a machine of the load balancer's runs no container.
    fn runs_containerd(&self, node: &Node) -> bool {
        self.cri == Cri::Containerd && node.role.is_kubernetes_node()
    }

    fn dir(&self, node: &Node) -> NodeDir {
        self.layout.node(&node.name)
    }

    fn lock(&self, node: &Node) -> Result<Option<MachineLock>> {
        MachineLock::of_node(&self.layout.machines, &node.name)
    }

    fn wiring(&self, node: &Node) -> layout::Wiring {
        self.layout
            .wiring(&node.name, node.interface_in(&self.network))
    }
}

fn names_of_balancers(cluster: &Cluster) -> Vec<String> {
    let nodes = cluster.nodes.iter();
    let balancers = nodes.filter(|node| cluster.runs_balancer(node));
    balancers.map(|node| node.name.clone()).collect()
}

impl Provider for Nspawn {
    fn preflight(&self) -> Result<Vec<Finding>> {
        preflight::check_host(self)
    }

    fn prepare(&self) -> Result<()> {
        layout::make_dir(self.layout.machines.path(), 0o700)?;
        let (local, faults) = extensions::local_files(&self.sysexts);
        anyhow::ensure!(
            faults.is_empty(),
            "{}; fix `sysexts` in the cluster file",
            faults.join("; ")
        );
        extensions::gather_files(
            &self.layout.extensions(),
            &local,
            self.unpack_reason().is_some(),
        )?;
        self.segment.make()
    }

    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made> {
        let _lock = self.lock(node)?;
        start::ensure_node(self, node, ignition)
    }

    fn state(&self, node: &Node) -> Result<Machine> {
        Ok(start::machine_state(&self.dir(node)))
    }

    fn power(&self, node: &Node, order: Power) -> Result<()> {
        match order {
            Power::Off => {
                let _lock = self.lock(node)?;
                destroy::power_off(&self.dir(node), &self.wiring(node))
            }
            Power::On => {
                let _lock = self.lock(node)?;
                start::power_on(self, node)
            }
            // Whoever waits for a node's reboot keeps nobody from pulling its plug.
            Power::Reboot => enter::reboot_node(&self.dir(node), &node.name),
        }
    }

    fn cut(&self, node: &Node, off: bool) -> Result<()> {
        network::set_port_detached(&self.wiring(node), off)
    }

    fn remove(&self, node: &Node) -> Result<()> {
        let _lock = self.lock(node)?;
        destroy::remove_node(&self.dir(node), &self.wiring(node))
    }

    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command> {
        enter::command_on_node(&self.dir(node), &node.name, argv)
    }

    fn events(&self, node: &Node) -> PathBuf {
        self.dir(node).join(NodeDir::REPORT).join("events.jsonl")
    }

    fn console(&self, node: &Node) -> PathBuf {
        self.dir(node).join(NodeDir::CONSOLE)
    }

    fn destroy(&self) -> Result<()> {
        destroy::remove_cluster(&self.layout, &self.segment, &self.network.interface)
    }
}

/// Every node sees those of all nodes, and Ignition's links lead to its own.
fn all_sysexts(cluster: &Cluster) -> BTreeMap<String, Sysext> {
    let sysexts = cluster.all_sysexts();
    sysexts
        .map(|(name, sysext)| (name.clone(), sysext.clone()))
        .collect()
}

/// Whether this host's PID 1 is systemd: then a node gets a unit of its own.
fn host_runs_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}
