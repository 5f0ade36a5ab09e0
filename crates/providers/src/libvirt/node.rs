//! One node: found, switched, asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::Node;

use super::host::{Found, Host};
use super::virsh::Thing;
use super::{Libvirt, make, relay};
use crate::vm::guest::{Agent, GuestTransport};
use crate::{Machine, Made, Power};

/// An orderly reboot stops kubelet and containerd first, and an emulated machine boots in a minute.
const REBOOT_PATIENCE: Duration = Duration::from_secs(300);
/// Pause between looks at a node that reboots.
const REBOOT_LOOK: Duration = Duration::from_secs(1);

/// Makes a node unless it is there, and switches it on.
pub fn ensure_node(provider: &Libvirt, node: &Node, ignition: &Path) -> Result<Made> {
    let host = provider.host(node)?;
    match host.find(&node.name)? {
        Found::Foreign(unfit) => Err(unfit.into()),
        Found::Ours(domain) => {
            if !domain.active {
                power_on(provider, node)?;
            }
            let (events, console) = (domain.events.as_deref(), domain.console.as_deref());
            relay::begin_relay(provider, node, events, console)?;
            Ok(match domain.active {
                true => Made::Running,
                false => Made::PoweredOn,
            })
        }
        Found::Absent => {
            let (made, new) = make::make_node(provider, host, node, ignition)?;
            relay::begin_relay(provider, node, Some(&new.events), Some(&new.console))?;
            Ok(made)
        }
    }
}

/// What nodes do now, in their order; every host is asked at the same time, and once.
pub fn machine_states(provider: &Libvirt, nodes: &[Node]) -> Result<Vec<Machine>> {
    let mut states = BTreeMap::new();
    let at_hosts = provider.at_every_host(|host| {
        let here = nodes
            .iter()
            .filter(|node| provider.uri(node) == host.virsh.uri());
        let here: Vec<&str> = here.map(|node| node.name.as_str()).collect();
        let found = match here.is_empty() {
            true => Vec::new(),
            false => host.find_all(&here)?,
        };
        anyhow::Ok(here.into_iter().zip(found).collect::<Vec<_>>())
    });
    for (_, found) in at_hosts {
        states.extend(
            found?
                .into_iter()
                .map(|(node, found)| (node, state_of(&found))),
        );
    }
    let state = |node: &Node| match states.get(node.name.as_str()) {
        Some(state) => Ok(*state),
        None => provider.host(node).map(|_| Machine::Absent),
    };
    nodes.iter().map(state).collect()
}

/// What a node does now.
pub fn machine_state(provider: &Libvirt, node: &Node) -> Result<Machine> {
    Ok(state_of(&provider.host(node)?.find(&node.name)?))
}

fn state_of(found: &Found) -> Machine {
    match found {
        Found::Ours(domain) if domain.active => Machine::Running,
        Found::Ours(_) => Machine::Off,
        Found::Absent | Found::Foreign(_) => Machine::Absent,
    }
}

pub fn is_running(found: &Found) -> bool {
    state_of(found) == Machine::Running
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
    host.pool.ensure(false)?;
    relay::open_output_files(provider, node)?;
    host.virsh.start(Thing::Domain(&name), &["start", &name])
}

/// An orderly reboot, until the node's kernel is another; without an answer from its guest agent, only asked for.
fn reboot_node(provider: &Libvirt, node: &Node) -> Result<()> {
    let (host, name) = own_domain(provider, node, Some(true))?;
    let agent = Agent::new(&node.name, guest_transport(host, name.clone()).open());
    let before = boot_id_of_guest(&agent);
    let mode = if before.is_ok() { "agent,acpi" } else { "acpi" };
    let end = Instant::now() + REBOOT_PATIENCE;
    // libvirt itself waits up to a minute for the guest agent before it presses the button.
    let order = ["reboot", &name, "--mode", mode];
    host.virsh.run_within(&order, REBOOT_PATIENCE)?;
    let Ok(before) = before else { return Ok(()) };
    while !boot_id_of_guest(&agent).is_ok_and(|now| now != before) {
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

fn boot_id_of_guest(agent: &Agent) -> Result<String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let argv = ["cat", "/proc/sys/kernel/random/boot_id"];
    let code = agent.exec(&argv, &mut out, &mut err, &AtomicBool::new(false))?;
    if code != 0 || out.is_empty() {
        bail!("{} returned no boot id", agent.node());
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
