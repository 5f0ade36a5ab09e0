//! Hurting agents while they work: at the boundaries of their phases by the agent's own failpoints, in the middle of a
//! phase by signal, and whole nodes by power.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ha_wire::event::{Event, EventKind};
use ha_wire::paths::CRASH_AT;
use ha_wire::phase::{Phase, Role};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::ignition::IgnitionConfig;
use crate::node::ClusterNode;
use crate::story::print_uncaptured;

/// Where Ignition puts the list of [`CRASH_AT`]; /run is not there yet.
const LIST: &str = "/etc/crash-at";
/// The images are looked at before all else, side by side with the rest; whether there is one to pull is another matter.
const FIRST: &str = "images:before";
/// Between two looks at a node.
pub(crate) const LOOK: Duration = Duration::from_millis(300);
/// How long a machine stays without power.
const DARK: Duration = Duration::from_secs(2);

/// From a fault to the first word of the agent's next life: systemd waits a little, a machine boots.
const NEXT_LIFE: Duration = Duration::from_secs(60);

/// How a node is hurt in the middle of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the agent; systemd then kills its children, too.
    KillAgent,
    /// The plug is pulled and put back.
    CutPower,
}

/// One fault: this node, this long after the phase began, and before it ends.
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
        (Role::LoadBalancer, _) => &[Phase::Preflight, Phase::Balancer],
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

/// Injects every fault when its time has come; an error for one whose phase never came before `stop`, for an agent that
/// survives, and for a fault that came after the phase's end.
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
    let begun = wait_for_begin(node, injection, stop)?;
    // Nodes are containers: their clock is this one.
    let due = UNIX_EPOCH + Duration::from_millis(begun) + injection.after;
    thread::sleep(due.duration_since(SystemTime::now()).unwrap_or_default());
    let lives = lives_among(&node.events()?);
    print_uncaptured(&format!(
        "       {:?} on {} in {}",
        injection.fault, injection.node, injection.phase
    ));
    match injection.fault {
        Fault::KillAgent => node.kill("ha-agent.service").map(drop)?,
        Fault::CutPower => cut_power(node)?,
    }
    let events = wait_until("the agent's next life", NEXT_LIFE, || {
        let events = node.events()?;
        ensure!(lives_among(&events) > lives, "it has not begun");
        Ok(events)
    })?;
    ensure!(
        was_interrupted(&events, injection.phase, lives),
        "{injection:?}: the phase had ended before that"
    );
    Ok(())
}

/// When the phase began, in milliseconds since 1970.
fn wait_for_begin(
    node: ClusterNode<'_>,
    injection: FaultInjection,
    stop: &AtomicBool,
) -> Result<u64> {
    loop {
        // There is no file of events before the first one.
        let events = node.events().unwrap_or_default();
        if let Some(begun) = begin_of(&events, injection.phase) {
            return Ok(begun);
        }
        ensure!(
            !stop.load(Ordering::Relaxed),
            "{injection:?}: the phase never came"
        );
        thread::sleep(LOOK);
    }
}

/// Pulls the plug, and puts it back a little later.
pub(crate) fn cut_power(node: ClusterNode<'_>) -> Result<()> {
    node.power("off")?;
    let dark = Instant::now();
    thread::sleep(DARK);
    node.power("on")
        .with_context(|| format!("after {:?} without power", dark.elapsed()))
}

/// When a phase began first, in milliseconds since 1970.
fn begin_of(events: &[Event], phase: Phase) -> Option<u64> {
    let begins = |e: &&Event| matches!(e.what, EventKind::Started { phase: p, .. } if p == phase);
    events.iter().find(begins).map(|e| e.time_ms)
}

/// How many lives of an agent these are.
pub(crate) fn lives_among(events: &[Event]) -> usize {
    let hello = |e: &&Event| matches!(e.what, EventKind::Hello { .. });
    events.iter().filter(hello).count()
}

/// Whether the agent's last life of the first `lives` had begun this phase and not ended it.
fn was_interrupted(events: &[Event], phase: Phase, lives: usize) -> bool {
    let mut life = 0;
    let mut at_work = false;
    for event in events {
        match event.what {
            EventKind::Hello { .. } if life == lives => break,
            EventKind::Hello { .. } => (life, at_work) = (life + 1, false),
            EventKind::Started { phase: p, .. } if p == phase => at_work = true,
            EventKind::Done { phase: p, .. } if p == phase => at_work = false,
            _ => {}
        }
    }
    at_work
}

#[cfg(test)]
mod tests;
