//! One node: made, switched on and off, removed.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::{Firmware, Image, Mac, Node};
use ha_host_base::files;

use super::layout::{NodeDir, QMP};
use super::qmp::{PATIENCE, Qmp};
use super::{Qemu, arguments, programs, spawn};
use crate::vm::guest::{Agent, GuestTransport};
use crate::vm::{fw_cfg, image, overlay};
use crate::{Machine, Made};

/// An orderly reboot stops kubelet and containerd first, each with a stop time-out of 90 s.
const REBOOT_PATIENCE: Duration = Duration::from_secs(200);
/// What the node does.
pub fn machine_state(dir: &NodeDir) -> Machine {
    if spawn::running_process(&dir.0).is_some() {
        Machine::Running
    } else if dir.join(NodeDir::DISK).exists() {
        Machine::Off
    } else {
        Machine::Absent
    }
}

/// Makes the node unless it is there, and switches it on.
pub fn ensure_node(provider: &Qemu, node: &Node, config: &Path) -> Result<Made> {
    let dir = provider.dir(node);
    spawn::wait_while_dying(&dir.0)?;
    let made = match machine_state(&dir) {
        Machine::Running => return Ok(Made::Running),
        Machine::Off => Made::PoweredOn,
        Machine::Absent => {
            let warning = make_node(provider, node, config)
                .with_context(|| format!("cannot make {}", node.name))?;
            Made::New { warning }
        }
    };
    start_node(provider, node)?;
    Ok(made)
}

/// Boots a node from its disk, unless it runs.
pub fn power_on(provider: &Qemu, node: &Node) -> Result<()> {
    let dir = provider.dir(node);
    spawn::wait_while_dying(&dir.0)?;
    match machine_state(&dir) {
        Machine::Running => Ok(()),
        Machine::Off => start_node(provider, node),
        Machine::Absent => bail!("{} has no disk; `ha-host launch` makes it", node.name),
    }
}

/// Everything of a node but the process, beside its place; then it is put there. Returns what the operator should know.
fn make_node(provider: &Qemu, node: &Node, config: &Path) -> Result<Option<String>> {
    let vm = &provider.options.vm;
    let warning = fw_cfg::check_size(config)?;
    let new = provider.layout.new_node(&node.name);
    files::remove_dir(&new.0)?;
    files::make_dir(&new.0)?;
    copy_durably(config, &new.join(NodeDir::CONFIG))?;
    let base = image::base_image(vm)?;
    let qemu_img = programs::find_img(vm.arch)?;
    let format = overlay::image_info(&qemu_img, &base)?.format;
    image::record_use(provider.layout.machines.path(), &base)?;
    overlay::create_disk(&qemu_img, &base, &format, &new.join(NodeDir::DISK), vm.disk)?;
    if vm.firmware == Firmware::Uefi {
        let firmware = programs::find_firmware(Path::new("/usr/share"), vm.arch)?;
        copy_durably(&firmware.vars, &new.join(NodeDir::VARS))?;
    }
    if let Some(assets) = crate::vm::assets::current_disk(&provider.dir)? {
        symlink(assets, new.join(NodeDir::ASSETS)).context("cannot link the assets disk")?;
    }
    for file in [NodeDir::EVENTS, NodeDir::CONSOLE] {
        files::create_new(&new.join(file))?;
    }
    files::sync_dir(&new.0)?;
    let place = provider.dir(node).0;
    std::fs::rename(&new.0, &place).with_context(|| format!("cannot make {}", place.display()))?;
    files::sync_dir(provider.layout.machines.path())?;
    Ok(warning)
}

/// A copy that survives a power cut, 0600: a config holds keys.
fn copy_durably(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        let bytes = std::fs::read(from)?;
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    copy().with_context(|| format!("cannot copy {}", from.display()))
}

fn start_node(provider: &Qemu, node: &Node) -> Result<()> {
    provider.gateway.ensure()?;
    let vm = &provider.options.vm;
    let dir = provider.dir(node);
    let program = programs::find_system(vm.arch)?;
    let (name, macs) = (
        format!("{}.{}", provider.layout.machines.cluster(), node.name),
        macs_of(node),
    );
    let uefi = match dir.join(NodeDir::VARS).exists() {
        true => Some(programs::find_firmware(Path::new("/usr/share"), vm.arch)?.code),
        false => None,
    };
    let machine = arguments::MachineArguments {
        name: &name,
        vm,
        sandbox: programs::probe_emulator(&program)?.sandbox,
        kvm: provider.kvm()?,
        kernel: match &vm.image {
            Image::File { kernel, .. } => kernel.as_ref(),
            Image::Flatcar { .. } => None,
        },
        uefi: uefi.as_deref(),
        assets: dir.join(NodeDir::ASSETS).symlink_metadata().is_ok(),
        macs: &macs,
    };
    spawn::start_qemu(
        &dir.0,
        &program,
        &machine.arguments(),
        Some(&dir.join(NodeDir::CONSOLE)),
    )
    .with_context(|| format!("{} does not start", node.name))
}

fn macs_of(node: &Node) -> Vec<Mac> {
    node.mac
        .into_iter()
        .chain(node.interfaces.iter().map(|nic| nic.mac))
        .collect()
}

pub fn power_off(dir: &NodeDir) -> Result<()> {
    spawn::stop_process(&dir.0)
}

/// An orderly reboot, until the machine begins anew. QEMU stays.
pub fn reboot_node(dir: &NodeDir, node: &str) -> Result<()> {
    if spawn::running_process(&dir.0).is_none() {
        bail!("{node} does not run");
    }
    let agent = guest_agent(dir, node);
    agent.ping()?;
    // Before the order: what happened earlier is not heard.
    let mut qmp = Qmp::open(&dir.join(QMP), PATIENCE)?;
    agent.start(&["systemctl", "reboot"])?;
    let event = qmp
        .event(&["RESET", "SHUTDOWN"], REBOOT_PATIENCE)
        .with_context(|| {
            let waited = REBOOT_PATIENCE.as_secs();
            format!(
                "{node} has not rebooted within {waited} s; see {}",
                dir.join(NodeDir::CONSOLE).display()
            )
        })?;
    if event == "SHUTDOWN" {
        bail!(
            "{node} went off instead of rebooting; see {}",
            dir.join(NodeDir::CONSOLE).display()
        );
    }
    Ok(())
}

/// The node's guest agent.
pub fn guest_agent(dir: &NodeDir, node: &str) -> Agent {
    Agent::new(node, guest_transport(dir).open())
}

/// The way to it.
pub fn guest_transport(dir: &NodeDir) -> GuestTransport {
    GuestTransport::Socket(dir.join(NodeDir::GUEST))
}

/// Removes a node with its disk, and what is half made of it.
pub fn remove_node(provider: &Qemu, name: &str) -> Result<()> {
    let (dir, old) = (provider.layout.node(name), provider.layout.old_node(name));
    power_off(&dir)?;
    files::remove_dir(&old)?;
    // In one step: a node with half of its files would look like one.
    match std::fs::rename(&dir.0, &old) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", dir.0.display()));
        }
        _ => {}
    }
    files::remove_dir(&old)?;
    files::remove_dir(&provider.layout.new_node(name).0)
}

/// Removes the whole cluster. Everything is tried; the first fault is reported.
pub fn remove_cluster(provider: &Qemu) -> Result<()> {
    let nodes = provider.layout.machines.nodes()?;
    let mut results: Vec<Result<()>> = nodes
        .iter()
        .map(|name| {
            let _lock = provider.lock(name)?;
            remove_node(provider, name)
        })
        .collect();
    results.push(provider.gateway.stop());
    results.into_iter().collect::<Result<()>>()?;
    files::remove_dir(provider.layout.machines.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ha_cluster_file::cluster::ProviderOptions;

    #[test]
    fn a_node_that_another_ha_host_starts_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = "version: 1\nname: t\nkubernetes: {version: 1.36.3, cni: none}\nendpoint: {vip: 10.77.0.30}\n\
                    network: {prefix: 24, gateway: 10.77.0.1}\nnodes:\n\
                    - {name: one, role: control-plane, address: 10.77.0.11}\n\
                    provider: {qemu: {memory: 2GiB, cpus: 2, disk: 12GiB, image: {path: /no/such}}}\n";
        let cluster = ha_test_support::parse_cluster(text, Path::new("/"));
        let ProviderOptions::Qemu(options) = &cluster.provider else {
            panic!("provider qemu")
        };
        let provider = Qemu::new(&cluster, options, dir.path()).unwrap();
        let node = &cluster.nodes[0];
        let disk = provider.dir(node).join(NodeDir::DISK);
        files::make_dir(&provider.dir(node).0).unwrap();
        std::fs::write(&disk, "").unwrap();
        crate::machine_tests::leaves_a_locked_node_alone(&provider, node, dir.path());
    }
}
