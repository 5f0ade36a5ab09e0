//! Hurting agents while they work: at the boundaries of their phases by the agent's own failpoints, in the middle of a
//! phase by signal, and whole nodes by power.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ha_spec::event::What;
use ha_spec::phase::{Phase, Role};

use crate::cluster::Cluster;
use crate::ignition::Config;
use crate::node::Node;
use crate::story::say;

/// The agent aborts at the boundary that this file names, once, and removes the file before it does.
pub const CRASH_AT: &str = "/run/ha-agent/crash-at";
/// The images are looked at before all else, side by side with the rest; whether there is one to pull is another matter.
const FIRST: &str = "images:before";
/// Names the places to die at.
const UNIT: &str = "[Unit]\nDescription=Names the places where the agent dies\n[Service]\nExecStart=/etc/plant.sh\n[Install]\nWantedBy=multi-user.target\n";
/// Between two looks at a node.
const LOOK: Duration = Duration::from_millis(300);
/// How long a machine stays without power.
const DARK: Duration = Duration::from_secs(2);

/// How a node is hurt in the middle of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// kill -9 of the agent; systemd then kills its children, too.
    Agent,
    /// The plug is pulled and put back.
    Power,
}

/// One blow: this node, this long after the phase began.
#[derive(Debug, Clone, Copy)]
pub struct Strike {
    /// Node name.
    pub node: &'static str,
    /// Which phase.
    pub phase: Phase,
    /// After its first `started` event.
    pub after: Duration,
    /// What happens.
    pub blow: Blow,
}

impl Strike {
    /// kill -9 of the agent.
    pub fn agent(node: &'static str, phase: Phase, after: Duration) -> Self {
        Self {
            node,
            phase,
            after,
            blow: Blow::Agent,
        }
    }

    /// The node loses power.
    pub fn power(node: &'static str, phase: Phase, after: Duration) -> Self {
        Self {
            node,
            phase,
            after,
            blow: Blow::Power,
        }
    }
}

/// The boundaries that a node meets, in their order, as the failpoints are called.
pub fn boundaries(role: Role, founder: bool) -> Vec<String> {
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

/// An Ignition config by which each node makes its own agent die at every boundary: the words and a service that names
/// one after the other. The first is there before any agent runs.
pub fn ignition(nodes: &[(String, Role, Ipv4Addr)]) -> Config {
    let first =
        format!("d /run/ha-agent 0755 root root -\nf {CRASH_AT} 0600 root root - {FIRST}\n");
    let mut config = Config::default()
        .file("/etc/tmpfiles.d/plant.conf", 0o644, &first)
        .file("/etc/plant.sh", 0o755, include_str!("plant.sh"))
        .unit("plant.service", true, UNIT);
    for (i, (name, role, _)) in nodes.iter().enumerate() {
        let words = boundaries(*role, i == 0).join("\n") + "\n";
        config = config.file(&format!("/etc/plant/{name}"), 0o644, &words);
    }
    config
}

/// At which boundaries this node's agent died, and which it did not pass; an error while some are still to come.
pub fn met_and_skipped(node: Node<'_>) -> Result<(Vec<String>, Vec<String>)> {
    let state = node.sh("systemctl show --property=ActiveState --value plant.service")?;
    let words = |file: &str| -> Result<Vec<String>> {
        Ok(node
            .read(&format!("/run/plant/{file}"))?
            .lines()
            .map(Into::into)
            .collect())
    };
    let (met, skipped) = (words("met")?, words("skipped")?);
    ensure!(
        state.trim() == "inactive",
        "plant.service is {}; met {met:?}, skipped {skipped:?}",
        state.trim()
    );
    Ok((met, skipped))
}

/// Does every strike when its time has come; an error for one whose phase never came before `stop`.
pub fn strike(cluster: &Cluster, strikes: &[Strike], stop: &AtomicBool) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = strikes
            .iter()
            .map(|s| scope.spawn(move || strike_one(cluster, *s, stop)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })
}

fn strike_one(cluster: &Cluster, strike: Strike, stop: &AtomicBool) -> Result<()> {
    let node = cluster.node(strike.node);
    while !has_begun(node, strike.phase) {
        ensure!(
            !stop.load(Ordering::Relaxed),
            "{strike:?}: the phase never came"
        );
        thread::sleep(LOOK);
    }
    thread::sleep(strike.after);
    say(&format!(
        "       {:?} of {} struck in {}",
        strike.blow, strike.node, strike.phase
    ));
    match strike.blow {
        Blow::Agent => node.kill("ha-agent.service", false),
        Blow::Power => {
            node.power("off")?;
            let dark = Instant::now();
            thread::sleep(DARK);
            node.power("on")
                .with_context(|| format!("after {:?} without power", dark.elapsed()))
        }
    }
}

fn has_begun(node: Node<'_>, phase: Phase) -> bool {
    let events = node.events().unwrap_or_default();
    events
        .iter()
        .any(|e| matches!(e.what, What::Started { phase: p, .. } if p == phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_founder_meets_init() {
        let founder = boundaries(Role::ControlPlane, true);
        assert_eq!(founder[5..7], ["init:before", "init:done"]);
        assert!(
            boundaries(Role::Worker, false)
                .iter()
                .all(|w| !w.starts_with("init") && !w.starts_with("balancer"))
        );
    }
}
