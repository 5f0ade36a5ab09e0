//! Is the machine fit: time, address, ports, modules, sysctls, disk, inotify limits, container runtime, wrong leftovers.
//!
//! What the agent can mend itself it mends first (`fix`); then the machine's facts are gathered (`facts`) and judged
//! (`evaluate`), the same judgement that `ha-agent doctor` shows.

use std::time::Duration;

use anyhow::{Result, anyhow};
use ha_wire::phase::Phase;

use super::{NeedsAPerson, Outcome, is_settled};
use crate::context::Context;

mod addresses;
pub mod capacity;
pub mod check;
pub mod evaluate;
pub mod facts;
mod fix;
mod member;
mod mounts;
mod node_files;
pub mod ports;
pub mod runtime;
mod scheduling;
pub mod units;

use check::{Check, Verdict};
pub use member::MemberChecks;

/// Between two looks at what comes by itself (an address, the time, a sysext): the launch counts tenths of seconds.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Every so many looks systemd reads its unit files anew while a unit is missing: about five seconds.
const RELOAD_EVERY: u32 = 25;
/// So many looks, then the attempt counts as failed and its reason stands in `status` as an error. About a minute.
const MAX_POLLS: u32 = 300;

/// Always: a look costs milliseconds, and machines change.
pub async fn needed(_cx: &Context) -> Result<bool> {
    Ok(true)
}

pub async fn run(cx: &Context) -> Result<Outcome> {
    fix::set_kernel_settings(cx).await;
    fix::add_to_hosts_file(cx);
    if is_settled(cx) {
        member::observe_once(cx).await;
        return Ok(Outcome::Done);
    }
    for look in 1..=MAX_POLLS {
        fix::start_runtime(cx).await;
        let checks = run_checks(cx).await;
        if let Some(fault) = describe_checks(&checks, Verdict::Fail) {
            return Err(NeedsAPerson(fault).into());
        }
        let Some(missing) = first_with_verdict(&checks, Verdict::Wait) else {
            log_warnings(cx, &checks);
            return Ok(Outcome::Done);
        };
        cx.report
            .waiting(Phase::Preflight, &missing.name, &missing.reason);
        if look % RELOAD_EVERY == 0 && missing.name.ends_with(".service") {
            fix::reload_units(cx).await;
        }
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    let checks = run_checks(cx).await;
    Err(anyhow!(
        "{}",
        describe_checks(&checks, Verdict::Wait)
            .unwrap_or_else(|| "prerequisites not met in time".into())
    ))
}

/// Every check, without changing anything.
pub async fn run_checks(cx: &Context) -> Vec<Check> {
    evaluate::evaluate_machine(&cx.node, &facts::gather_facts(cx).await)
}

fn first_with_verdict(checks: &[Check], verdict: Verdict) -> Option<&Check> {
    checks.iter().find(|c| c.verdict == verdict)
}

fn describe_checks(checks: &[Check], verdict: Verdict) -> Option<String> {
    let all: Vec<String> = checks
        .iter()
        .filter(|c| c.verdict == verdict)
        .map(|c| format!("{}: {} -> {}", c.name, c.reason, c.remedy))
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn log_warnings(cx: &Context, checks: &[Check]) {
    for check in checks.iter().filter(|c| c.verdict != Verdict::Pass) {
        tracing::warn!(node = cx.node.name, phase = %Phase::Preflight, "{}: {} -> {}", check.name, check.reason, check.remedy);
    }
}

#[cfg(test)]
mod tests;
