//! One node: made from its volumes, switched, asked.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::{Image, Node};
use ha_host_base::files;

use super::host::{Found, Host};
use super::image::{self, Base};
use super::names::VolumeRole;
use super::virsh::{Thing, XML};
use super::xml::domain::{Boot, New};
use super::xml::volume;
use super::{Libvirt, relay};
use crate::vm::guest::{Agent, GuestTransport};
use crate::vm::{self, fw_cfg};
use crate::{Machine, Made, Power};

/// An orderly reboot stops kubelet and containerd first, and an emulated machine boots in a minute.
const REBOOT_PATIENCE: Duration = Duration::from_secs(300);
/// Pause between looks at a node that reboots.
const REBOOT_LOOK: Duration = Duration::from_secs(1);

/// Makes a node unless it is there, and switches it on.
pub fn ensure_node(provider: &Libvirt, node: &Node, ignition: &Path) -> Result<Made> {
    let host = provider.host(node)?;
    let made = match host.find(&node.name)? {
        Found::Foreign(unfit) => return Err(unfit.into()),
        Found::Ours(domain) if domain.active => Made::Running,
        Found::Ours(_) => {
            power_on(provider, node)?;
            Made::PoweredOn
        }
        Found::Absent => {
            let warning = make_node(provider, host, node, ignition)?;
            Made::New { warning }
        }
    };
    relay::begin_relay(provider, node)?;
    Ok(made)
}

/// What a node does now.
pub fn machine_state(provider: &Libvirt, node: &Node) -> Result<Machine> {
    Ok(match provider.host(node)?.find(&node.name)? {
        Found::Ours(domain) if domain.active => Machine::Running,
        Found::Ours(_) => Machine::Off,
        Found::Absent | Found::Foreign(_) => Machine::Absent,
    })
}

pub fn switch_power(provider: &Libvirt, node: &Node, order: Power) -> Result<()> {
    match order {
        Power::On => power_on(provider, node),
        Power::Off => {
            let (host, name) = own_domain(provider, node, None)?;
            host.pull_the_plug(&name)
        }
        Power::Reboot => reboot_node(provider, node),
    }
}

/// A command on a node that runs.
pub fn command_on_node(provider: &Libvirt, node: &Node, argv: &[&str]) -> Result<Command> {
    let (host, name) = own_domain(provider, node, Some(true))?;
    let program = std::env::current_exe().context("cannot find the ha-host program itself")?;
    Ok(guest_transport(host, name).command(&program, &node.name, argv))
}

/// The node's host and domain; an error unless it is ours and, if that matters, runs or not.
fn own_domain<'a>(
    provider: &'a Libvirt,
    node: &Node,
    active: Option<bool>,
) -> Result<(&'a Host, String)> {
    let host = provider.host(node)?;
    match host.find(&node.name)? {
        Found::Absent => bail!(
            "{} has no machine at {}; `ha-host launch` makes it",
            node.name,
            host.virsh.uri()
        ),
        Found::Foreign(unfit) => Err(unfit.into()),
        Found::Ours(domain) if active.is_some_and(|wanted| wanted != domain.active) => {
            bail!(
                "{} does not run; `ha-host power CLUSTER {} on` starts it",
                node.name,
                node.name
            )
        }
        Found::Ours(_) => Ok((host, host.names.domain(&node.name))),
    }
}

fn power_on(provider: &Libvirt, node: &Node) -> Result<()> {
    let (host, name) = own_domain(provider, node, None)?;
    // After a reboot of the host nothing but what starts with it is there.
    provider.wiring.ensure(host, provider.options.autostart)?;
    host.pool.ensure()?;
    open_output_files(provider, node)?;
    match host.virsh.run(&["start", &name]) {
        // Somebody else was faster.
        Err(_) if host.virsh.is_active(Thing::Domain(&name)).unwrap_or(false) => Ok(()),
        started => started.map(drop),
    }
}

/// Our files are there before the daemon's: one that it makes itself is root's alone.
fn open_output_files(provider: &Libvirt, node: &Node) -> Result<()> {
    files::make_dir(&provider.dir(node))?;
    for path in [provider.events_file(node), provider.console_file(node)] {
        let open = || {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
        };
        let opened = open().or_else(|error| {
            if error.kind() != ErrorKind::PermissionDenied {
                return Err(error);
            }
            // virtlogd began a new file when ours was full. The node does not run: nobody writes into it.
            std::fs::remove_file(&path).and_then(|()| open())
        });
        opened.with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(())
}

/// From nothing, or from what an earlier attempt left, to a node that boots. The domain comes last: if it is there, all is.
/// Returns what the operator should know.
fn make_node(
    provider: &Libvirt,
    host: &Host,
    node: &Node,
    ignition: &Path,
) -> Result<Option<String>> {
    let warning = fw_cfg::check_size(ignition)?;
    // Volumes without a domain never ran, or were left behind by somebody who removed the domain by hand.
    host.remove(&node.name)?;
    let domain = build_domain(provider, host, node, ignition)?;
    let started = first_start(provider, host, node, domain);
    if started.is_err() {
        // It never ran: the next launch makes it anew, from a fresh config. Best effort, it would find and remove it too.
        let _ = host.remove(&node.name);
    }
    started.map(|()| warning)
}

fn first_start(provider: &Libvirt, host: &Host, node: &Node, domain: New) -> Result<()> {
    open_output_files(provider, node)?;
    define_domain(provider, host, &domain)?;
    let started = host.virsh.run(&["start", &domain.name]);
    if started.is_ok() || !provider.says_into_our_files(host) {
        return started.map(drop);
    }
    // SELinux or AppArmor may keep the daemon out of our directory: into the pool it may write. If that was not the fault,
    // the second attempt says the same.
    host.undefine(&domain.name)?;
    let domain = New {
        events: create_output_volume(host, node, VolumeRole::Events)?,
        console: create_output_volume(host, node, VolumeRole::Console)?,
        ..domain
    };
    define_domain(provider, host, &domain)?;
    host.virsh.run(&["start", &domain.name]).map(drop)
}

fn define_domain(provider: &Libvirt, host: &Host, domain: &New) -> Result<()> {
    host.virsh.feed(&["define", XML], &domain.to_string())?;
    if provider.options.autostart {
        host.virsh.run(&["autostart", &domain.name])?;
    }
    Ok(())
}

/// All volumes of a node, and the domain that they make.
fn build_domain(provider: &Libvirt, host: &Host, node: &Node, ignition: &Path) -> Result<New> {
    let (vm, names) = (&provider.options.vm, &host.names);
    let kvm = host.accel(vm)?.works;
    let shared = provider.share(host)?;
    let owner = host.owner()?;
    let disk = names.volume(&node.name, VolumeRole::Disk);
    let disk = host.pool.create(&volume::New {
        name: &disk,
        capacity: vm.disk,
        format: "qcow2",
        mode: 0o600,
        owner,
        backing: Some((&shared.base, shared.format)),
    })?;
    let config = names.volume(&node.name, VolumeRole::Ignition);
    let config = volume::New {
        name: &config,
        capacity: 0,
        format: "raw",
        mode: 0o600,
        owner,
        backing: None,
    };
    let config = host.pool.upload(&config, ignition)?;
    let (events, console) = if provider.says_into_our_files(host) {
        (
            utf8_path(&provider.events_file(node))?,
            utf8_path(&provider.console_file(node))?,
        )
    } else {
        (
            create_output_volume(host, node, VolumeRole::Events)?,
            create_output_volume(host, node, VolumeRole::Console)?,
        )
    };
    Ok(New {
        name: names.domain(&node.name),
        mark: host.mark(&node.name),
        kvm,
        arch: vm.arch,
        cpu: vm::cpu_model(vm, kvm).to_owned(),
        cpus: vm.cpus,
        memory: vm.memory,
        firmware: vm.firmware,
        boot: shared.boot,
        ignition: config.path,
        disk: disk.path,
        assets: shared.assets,
        plug: provider.wiring.plug(host),
        macs: node
            .mac
            .iter()
            .copied()
            .chain(node.interfaces.iter().map(|nic| nic.mac))
            .collect(),
        mtu: provider.network.mtu,
        events,
        console,
    })
}

/// A volume that grows with what the node says.
fn create_output_volume(host: &Host, node: &Node, part: VolumeRole) -> Result<String> {
    let name = host.names.volume(&node.name, part);
    let new = volume::New {
        name: &name,
        capacity: 0,
        format: "raw",
        mode: 0o600,
        owner: None,
        backing: None,
    };
    Ok(host.pool.create(&new)?.path)
}

fn utf8_path(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not valid UTF-8, which libvirt needs", path.display()))?;
    Ok(text.to_owned())
}

/// What all nodes of a host are made from, as paths there.
#[derive(Debug, Clone)]
pub struct Shared {
    base: String,
    format: &'static str,
    boot: Option<Boot>,
    assets: Option<String>,
}

/// Local files that the hosts need.
#[derive(Debug)]
pub struct Sources {
    pub base: Base,
    /// Kernel, initramfs and command line outside it.
    pub kernel: Option<ha_cluster_file::cluster::Kernel>,
    pub assets: Option<PathBuf>,
}

impl Sources {
    /// Looks for them; an error names the one that is missing.
    pub fn find(provider: &Libvirt) -> Result<Self> {
        let options = &provider.options.vm;
        let base = Base::look(&vm::image::base_image(options)?)?;
        if base.size > options.disk {
            return Err(vm::disk_too_small(options.disk, &base.path, base.size).into());
        }
        let kernel = match &options.image {
            Image::File { kernel, .. } => kernel.clone(),
            Image::Flatcar { .. } => None,
        };
        Ok(Self {
            base,
            kernel,
            assets: vm::assets::current_disk(&provider.dir)?,
        })
    }

    /// Files that clusters share, by what they are.
    pub fn shared(&self) -> Vec<(&'static str, &Path)> {
        let kernel = self
            .kernel
            .iter()
            .flat_map(|k| [("kernel", k.path.as_path()), ("initrd", k.initrd.as_path())]);
        [("image", self.base.path.as_path())]
            .into_iter()
            .chain(kernel)
            .collect()
    }

    /// Brings them to a host, whatever is not there.
    pub fn send(&self, host: &Host) -> Result<Shared> {
        let boot = match &self.kernel {
            Some(kernel) => Some(Boot {
                kernel: image::share_file(host, "kernel", &kernel.path)?,
                initrd: image::share_file(host, "initrd", &kernel.initrd)?,
                append: kernel.append.clone(),
            }),
            None => None,
        };
        Ok(Shared {
            base: image::share_file(host, "image", &self.base.path)?,
            format: self.base.format,
            boot,
            assets: self
                .assets
                .as_ref()
                .map(|file| image::share_assets(host, file))
                .transpose()?,
        })
    }
}

/// An orderly reboot, until the node's kernel is another; without an answer from its guest agent, only asked for.
fn reboot_node(provider: &Libvirt, node: &Node) -> Result<()> {
    let (host, name) = own_domain(provider, node, Some(true))?;
    let agent = Agent::new(&node.name, guest_transport(host, name.clone()).open());
    let before = boot_id(&agent);
    let mode = if before.is_ok() { "agent,acpi" } else { "acpi" };
    host.virsh.run(&["reboot", &name, "--mode", mode])?;
    let Ok(before) = before else { return Ok(()) };
    let end = Instant::now() + REBOOT_PATIENCE;
    while !boot_id(&agent).is_ok_and(|now| now != before) {
        if Instant::now() > end {
            bail!(
                "{} has not come back within {} s; see `ha-host logs`",
                node.name,
                REBOOT_PATIENCE.as_secs()
            );
        }
        std::thread::sleep(REBOOT_LOOK);
    }
    Ok(())
}

fn guest_transport(host: &Host, domain: String) -> GuestTransport {
    GuestTransport::Libvirt {
        uri: host.virsh.uri().into(),
        domain,
    }
}

fn boot_id(agent: &Agent) -> Result<String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let argv = ["cat", "/proc/sys/kernel/random/boot_id"];
    let code = agent.exec(&argv, &mut out, &mut err, &AtomicBool::new(false))?;
    if code != 0 || out.is_empty() {
        bail!("{} returned no boot id", agent.node());
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
