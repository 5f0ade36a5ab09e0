//! Is the machine fit: time, address, ports, modules, sysctls, disk, inotify limits, wrong leftovers.
//!
//! What the agent can mend itself it mends first (`mend`); then the machine's facts are gathered (`facts`) and judged
//! (`judge`), the same judgement that `ha-agent doctor` shows.

use std::time::Duration;

use anyhow::{Result, anyhow};
use ha_wire::phase::Phase;

use super::{NeedsAPerson, Outcome};
use crate::context::Context;

pub mod check;
pub mod facts;
pub mod judge;
mod mend;
mod scheduling;

use check::{Check, Verdict};

/// Between two looks at what comes by itself (an address, the time, a sysext): the launch counts tenths of seconds.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Every so many looks systemd reads its unit files anew while a unit is missing: about five seconds.
const RELOAD_EVERY: u32 = 25;
/// So many looks, then the attempt counts as failed and its reason stands in `status` as an error. About a minute.
const LOOKS: u32 = 300;

/// Always: a look costs milliseconds, and machines change.
pub async fn needed(_cx: &Context) -> Result<bool> {
    Ok(true)
}

/// One attempt.
pub async fn run(cx: &Context) -> Result<Outcome> {
    mend::kernel(cx).await;
    mend::hosts(cx);
    for look in 1..=LOOKS {
        mend::runtime(cx).await;
        let checks = examine(cx).await;
        if let Some(fault) = words(&checks, Verdict::Fail) {
            return Err(NeedsAPerson(fault).into());
        }
        let Some(missing) = first(&checks, Verdict::Wait) else {
            warn(cx, &checks);
            return Ok(Outcome::Done);
        };
        cx.tell
            .waiting(Phase::Preflight, &missing.name, &missing.reason);
        if look % RELOAD_EVERY == 0 && missing.name.ends_with(".service") {
            mend::units(cx).await;
        }
        cx.sys.clock.sleep(LOOK_EVERY).await;
    }
    let checks = examine(cx).await;
    Err(anyhow!(
        "{}",
        words(&checks, Verdict::Wait).unwrap_or_else(|| "prerequisites not met in time".into())
    ))
}

/// Every check, without changing anything.
pub async fn examine(cx: &Context) -> Vec<Check> {
    judge::judge(&cx.node, &facts::gather(cx).await)
}

fn first(checks: &[Check], verdict: Verdict) -> Option<&Check> {
    checks.iter().find(|c| c.verdict == verdict)
}

fn words(checks: &[Check], verdict: Verdict) -> Option<String> {
    let all: Vec<String> = checks
        .iter()
        .filter(|c| c.verdict == verdict)
        .map(|c| format!("{}: {} -> {}", c.name, c.reason, c.cure))
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn warn(cx: &Context, checks: &[Check]) {
    for check in checks.iter().filter(|c| c.verdict == Verdict::Warn) {
        tracing::warn!(node = cx.node.name, phase = %Phase::Preflight, "{}: {} -> {}", check.name, check.reason, check.cure);
    }
}

#[cfg(test)]
mod tests;
