//! A launch of three control planes and two workers, where its time goes, and what an agent costs afterwards.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use ha_wire::event::EventKind;
use ha_wire::phase::Phase;
use serde::Serialize;

use super::Figure;
use crate::cluster::Cluster;
use crate::plan::ClusterPlan;

/// Agents are steady a little after the launch's end.
const SETTLE: Duration = Duration::from_secs(60);
/// What agents do when nothing happens is the same every few seconds; memory that grows shows within this time.
const STEADY: Duration = Duration::from_secs(120);
/// Calls of `ha-agent status`.
const CALLS: u32 = 50;

/// One phase of one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedPhase {
    /// Which node.
    pub node: String,
    /// Which phase; `boot` is the time until the agent's first word.
    pub phase: String,
    /// Its begin, in seconds since the launch's.
    pub begin: f64,
    /// How long it took, in seconds.
    pub took: f64,
}

/// Launches, measures, destroys.
pub fn measure_launch() -> Result<(Vec<Figure>, Vec<ObservedPhase>)> {
    let cluster = Cluster::new(ClusterPlan::new("e2e-bench", 3, 2))?;
    let begun = now_ms()?;
    let done = cluster.launch(&[])?.ok()?;
    cluster.all_steady(SETTLE)?;
    let phases = observed_phases(&cluster, begun)?;
    let mut rows = vec![
        Figure::new(
            "launch -> five nodes Ready",
            done.took.as_secs_f64(),
            "s",
            "3+2, images local",
        )
        .at_most(40.0),
    ];
    rows.extend(measure_status(&cluster)?);
    rows.push(measure_memory(&cluster)?);
    cluster.destroy()?;
    Ok((rows, phases))
}

fn observed_phases(cluster: &Cluster, begun: f64) -> Result<Vec<ObservedPhase>> {
    let mut seen = Vec::new();
    for (node, _, _) in cluster.plan().nodes() {
        let mut started: Vec<(Phase, f64)> = Vec::new();
        for event in cluster.node(&node).events()? {
            let at = (as_f64(event.time_ms) - begun) / 1e3;
            let row = |phase: String, begin: f64, took: f64| ObservedPhase {
                node: node.clone(),
                phase,
                begin,
                took,
            };
            match event.what {
                EventKind::Hello { .. } if seen.iter().all(|p: &ObservedPhase| p.node != node) => {
                    seen.push(row("boot".into(), 0.0, at))
                }
                EventKind::Started { phase, attempt: 1 } => started.push((phase, at)),
                EventKind::Done { phase, took_ms, .. } => {
                    let begin = started
                        .iter()
                        .find(|s| s.0 == phase)
                        .map_or_else(|| at - as_f64(took_ms) / 1e3, |s| s.1);
                    seen.push(row(phase.to_string(), begin, at - begin));
                }
                _ => (),
            }
        }
    }
    Ok(seen)
}

/// One line a node: `boot 0.0 (4.1)  preflight 4.1 (0.2) ...`.
pub fn table_by_node(phases: &[ObservedPhase]) -> String {
    let mut text = String::new();
    let mut last = "";
    for p in phases {
        if p.node != last {
            let _ = write!(
                text,
                "{}{:<8}",
                if last.is_empty() { "" } else { "\n" },
                p.node
            );
            last = &p.node;
        }
        let _ = write!(text, "  {} {:.1} ({:.1})", p.phase, p.begin, p.took);
    }
    text + "\n"
}

/// `ha-agent status` on a control plane, program start included, a shell's fork and two `date` beside it.
fn measure_status(cluster: &Cluster) -> Result<Vec<Figure>> {
    let script = format!(
        "i=0; while [ $i -lt {CALLS} ]; do a=$(date +%s%N); ha-agent status >/dev/null; b=$(date +%s%N); echo $((b-a)); i=$((i+1)); done"
    );
    let text = cluster.node("node1").sh(&script)?;
    let mut times = text
        .lines()
        .map(|l| l.parse().map(Duration::from_nanos))
        .collect::<Result<Vec<_>, _>>()
        .context("no times")?;
    times.sort_unstable();
    let how = format!("{CALLS} calls on a node");
    let min = times.first().copied().unwrap_or_default();
    Ok(vec![
        Figure::new(
            "ha-agent status, median",
            super::as_milliseconds(super::median_of(times)),
            "ms",
            how.clone(),
        )
        .at_most(20.0),
        Figure::new(
            "ha-agent status, fastest",
            super::as_milliseconds(min),
            "ms",
            how,
        )
        .at_most(20.0),
    ])
}

/// Resident memory of the largest agent, at the end of a while of steady state.
fn measure_memory(cluster: &Cluster) -> Result<Figure> {
    std::thread::sleep(STEADY);
    let mut most: f64 = 0.0;
    for (name, _, _) in cluster.plan().nodes() {
        let script = "grep VmRSS /proc/$(systemctl show --property=MainPID --value ha-agent)/status | tr -dc 0-9";
        let kib: f64 = cluster
            .node(&name)
            .sh(script)?
            .trim()
            .parse()
            .context("no VmRSS")?;
        most = most.max(kib / 1024.0);
    }
    Ok(Figure::new(
        "ha-agent, resident, largest of five",
        most,
        "MiB",
        format!("after {} s of steady state", STEADY.as_secs()),
    )
    .at_most(12.0))
}

fn now_ms() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are far below 2^52"
)]
fn as_f64(ms: u64) -> f64 {
    ms as f64
}

#[cfg(test)]
mod tests;
