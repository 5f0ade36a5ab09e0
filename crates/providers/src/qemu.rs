//! Provider `qemu`: every node is a QEMU process of the user's own, without root and without a daemon. One more process per
//! cluster, the gateway, is the network between them.
//!
//! `layout` names everything; `arguments` is the command lines; `spawn` and `qmp` start, find and steer processes; `gateway`
//! with `ports` is the network, `machine` a node; `programs` finds QEMU; `preflight` looks before anything is made.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::{self, Accel, Arch, Cluster, Node};
use ha_host_base::files;

use self::gateway::Gateway;
use self::layout::{Layout, NodeDir};
use super::vm::kvm::{self, KvmVerdict};
use super::{Finding, Machine, Made, Power, Provider};
use crate::finding::Unfit;
use crate::shared::lock::MachineLock;

mod arguments;
pub mod filter;
mod gateway;
mod layout;
mod machine;
mod ports;
mod preflight;
mod programs;
pub(crate) mod qmp;
mod spawn;
#[cfg(test)]
mod tests;

/// The provider for one cluster.
#[derive(Debug)]
pub struct Qemu {
    /// The cluster's state directory.
    dir: PathBuf,
    layout: Layout,
    gateway: Gateway,
    cluster: Cluster,
    options: cluster::QemuOptions,
    /// What was found out about KVM, once.
    kvm: OnceLock<KvmVerdict>,
    /// The program that runs `guest-exec`: ha-host itself.
    program: PathBuf,
}

impl Qemu {
    /// `dir` is the cluster's state directory.
    pub fn new(cluster: &Cluster, options: &cluster::QemuOptions, dir: &Path) -> Result<Self> {
        let layout = Layout::new(&cluster.name, dir);
        Ok(Self {
            gateway: Gateway::new(&layout, cluster)?,
            dir: dir.to_owned(),
            layout,
            cluster: cluster.clone(),
            options: options.clone(),
            kvm: OnceLock::new(),
            program: std::env::current_exe().context("cannot find the ha-host program itself")?,
        })
    }

    fn dir(&self, node: &Node) -> NodeDir {
        self.layout.node(&node.name)
    }

    fn lock(&self, node: &str) -> Result<Option<MachineLock>> {
        MachineLock::of_node(&self.layout.machines, node)
    }

    /// Whether the processor runs the guests.
    fn kvm(&self) -> Result<bool> {
        let vm = &self.options.vm;
        match vm.accel {
            Accel::Tcg => Ok(false),
            Accel::Auto if vm.arch != Arch::HOST => Ok(false),
            Accel::Auto => Ok(*self.verdict()? == KvmVerdict::Works),
            Accel::Kvm => match self.verdict()? {
                KvmVerdict::Works => Ok(true),
                other => {
                    let remedy = format!("{}; or write `accel: auto`", other.remedy());
                    Err(Unfit::new(other.message(), remedy).into())
                }
            },
        }
    }

    /// What KVM does here, found out at most once in this process's life.
    fn verdict(&self) -> Result<&KvmVerdict> {
        if let Some(known) = self.kvm.get() {
            return Ok(known);
        }
        let arch = self.options.vm.arch;
        let verdict = kvm::probe_kvm(&programs::find_system(arch)?, arch)?;
        Ok(self.kvm.get_or_init(|| verdict))
    }
}

impl Provider for Qemu {
    fn preflight(&self) -> Result<Vec<Finding>> {
        preflight::check_host(self)
    }

    fn prepare(&self) -> Result<()> {
        files::make_dir(self.layout.machines.path())?;
        self.gateway.ensure()
    }

    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made> {
        let _lock = self.lock(&node.name)?;
        machine::ensure_node(self, node, ignition)
    }

    fn state(&self, node: &Node) -> Result<Machine> {
        Ok(machine::machine_state(&self.dir(node)))
    }

    fn power(&self, node: &Node, order: Power) -> Result<()> {
        match order {
            Power::Off => {
                let _lock = self.lock(&node.name)?;
                machine::power_off(&self.dir(node))
            }
            Power::On => {
                let _lock = self.lock(&node.name)?;
                machine::power_on(self, node)
            }
            // Whoever waits for a node's reboot keeps nobody from pulling its plug.
            Power::Reboot => machine::reboot_node(&self.dir(node), &node.name),
        }
    }

    fn cut(&self, node: &Node, off: bool) -> Result<()> {
        self.gateway.cut(&node.name, off)
    }

    fn remove(&self, node: &Node) -> Result<()> {
        let _lock = self.lock(&node.name)?;
        machine::remove_node(self, &node.name)
    }

    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command> {
        if machine::machine_state(&self.dir(node)) != Machine::Running {
            bail!("{} does not run", node.name);
        }
        Ok(machine::guest_transport(&self.dir(node)).command(&self.program, &node.name, argv))
    }

    fn reach(&self, inside: SocketAddr) -> SocketAddr {
        match self.gateway.port(inside) {
            Some(port) => (Ipv4Addr::LOCALHOST, port).into(),
            None => inside,
        }
    }

    fn events(&self, node: &Node) -> PathBuf {
        self.dir(node).join(NodeDir::EVENTS)
    }

    fn console(&self, node: &Node) -> PathBuf {
        self.dir(node).join(NodeDir::CONSOLE)
    }

    fn destroy(&self) -> Result<()> {
        machine::remove_cluster(self)
    }
}
