//! Hurting agents while they work: at the boundaries of their phases by the agent's own failpoints, in the middle of a
//! phase by signal, and whole nodes by power.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ha_wire::event::EventKind;
use ha_wire::paths::CRASH_AT;
use ha_wire::phase::{Phase, Role};

use crate::cluster::Cluster;
use crate::ignition::IgnitionConfig;
use crate::node::ClusterNode;
use crate::story::print_uncaptured;

/// Where Ignition puts the list of [`CRASH_AT`]; /run is not there yet.
const LIST: &str = "/etc/crash-at";
/// The images are looked at before all else, side by side with the rest; whether there is one to pull is another matter.
const FIRST: &str = "images:before";
/// Between two looks at a node.
const LOOK: Duration = Duration::from_millis(300);
/// How long a machine stays without power.
const DARK: Duration = Duration::from_secs(2);

/// How a node is hurt in the middle of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the agent; systemd then kills its children, too.
    KillAgent,
    /// The plug is pulled and put back.
    CutPower,
}

/// One fault: this node, this long after the phase began.
#[derive(Debug, Clone, Copy)]
pub struct FaultInjection {
    /// Node name.
    pub node: &'static str,
    /// Which phase.
    pub phase: Phase,
    /// After its first `started` event.
    pub after: Duration,
    /// What happens.
    pub fault: Fault,
}

impl FaultInjection {
    /// kill -9 of the agent.
    pub fn kill_agent(node: &'static str, phase: Phase, after: Duration) -> Self {
        Self {
            node,
            phase,
            after,
            fault: Fault::KillAgent,
        }
    }

    /// The node loses power.
    pub fn cut_power(node: &'static str, phase: Phase, after: Duration) -> Self {
        Self {
            node,
            phase,
            after,
            fault: Fault::CutPower,
        }
    }
}

/// The boundaries that a node meets, in their order, as the failpoints are called.
pub fn failpoints_met_by(role: Role, founder: bool) -> Vec<String> {
    let phases: &[Phase] = match (role, founder) {
        (Role::ControlPlane, true) => &[
            Phase::Preflight,
            Phase::Balancer,
            Phase::Init,
            Phase::Network,
            Phase::Finish,
        ],
        (Role::ControlPlane, false) => &[
            Phase::Preflight,
            Phase::Balancer,
            Phase::Gate,
            Phase::Join,
            Phase::Network,
            Phase::Finish,
        ],
        (Role::Worker, _) => &[
            Phase::Preflight,
            Phase::Gate,
            Phase::Join,
            Phase::Network,
            Phase::Finish,
        ],
    };
    let both = phases
        .iter()
        .flat_map(|p| [format!("{p}:before"), format!("{p}:done")]);
    std::iter::once(FIRST.to_owned()).chain(both).collect()
}

/// An Ignition config by which every node's agent dies at every boundary that its role and place meet. One config for all
/// nodes: a boundary of another role is never passed.
pub fn crash_list() -> IgnitionConfig {
    let mut words: Vec<_> = [(Role::ControlPlane, true), (Role::ControlPlane, false)]
        .into_iter()
        .flat_map(|(role, founder)| failpoints_met_by(role, founder))
        .collect();
    words.sort();
    words.dedup();
    let dir = Path::new(CRASH_AT)
        .parent()
        .unwrap_or_else(|| Path::new("/"));
    let copy = format!(
        "d {} 0755 root root -\nC {CRASH_AT} 0600 root root - {LIST}\n",
        dir.display()
    );
    IgnitionConfig::default()
        .file("/etc/tmpfiles.d/crash-at.conf", 0o644, &copy)
        .file(LIST, 0o600, &(words.join("\n") + "\n"))
}

/// At which of these boundaries this node's agent died, and which it did not pass.
pub fn met_and_skipped(
    node: ClusterNode<'_>,
    words: Vec<String>,
) -> Result<(Vec<String>, Vec<String>)> {
    let left = node.read(CRASH_AT)?;
    Ok(words
        .into_iter()
        .partition(|word| !left.lines().any(|line| line == word)))
}

/// Injects every fault when its time has come; an error for one whose phase never came before `stop`.
pub fn inject_faults(
    cluster: &Cluster,
    injections: &[FaultInjection],
    stop: &AtomicBool,
) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = injections
            .iter()
            .map(|s| scope.spawn(move || inject_fault(cluster, *s, stop)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })
}

fn inject_fault(cluster: &Cluster, injection: FaultInjection, stop: &AtomicBool) -> Result<()> {
    let node = cluster.node(injection.node);
    while !has_begun(node, injection.phase) {
        ensure!(
            !stop.load(Ordering::Relaxed),
            "{injection:?}: the phase never came"
        );
        thread::sleep(LOOK);
    }
    thread::sleep(injection.after);
    print_uncaptured(&format!(
        "       {:?} on {} in {}",
        injection.fault, injection.node, injection.phase
    ));
    match injection.fault {
        Fault::KillAgent => node.kill("ha-agent.service", false),
        Fault::CutPower => {
            node.power("off")?;
            let dark = Instant::now();
            thread::sleep(DARK);
            node.power("on")
                .with_context(|| format!("after {:?} without power", dark.elapsed()))
        }
    }
}

fn has_begun(node: ClusterNode<'_>, phase: Phase) -> bool {
    let events = node.events().unwrap_or_default();
    events
        .iter()
        .any(|e| matches!(e.what, EventKind::Started { phase: p, .. } if p == phase))
}

#[cfg(test)]
mod tests;
