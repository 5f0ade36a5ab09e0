//! The checks on a node that has been in its cluster. Nothing of them stops it there: its pods, its etcd and its load balancer
//! serve others, and may do so with a full disk. What is wrong is told, and stands in the status.

use std::time::Duration;

use anyhow::{Result, bail};

use super::check::{Check, Verdict};
use super::{fix, log_warnings, run_checks};
use crate::context::Context;
use crate::phases::is_settled;

/// The container runtime has so long to start before the node goes on without it; systemd goes on trying.
const RUNTIME_WITHIN: Duration = Duration::from_secs(5);
/// The machine changes seldom: one look in this many is for it, about twice a minute.
const OBSERVE_EVERY: u32 = 6;

/// One look, after what can be mended is mended.
pub async fn observe_once(cx: &Context) {
    tokio::select! {
        biased;
        () = fix::start_runtime(cx) => {}
        () = cx.sys.clock.sleep(RUNTIME_WITHIN) => {}
    }
    log_warnings(cx, &run_checks(cx).await);
}

/// What the checks last said of a member, looked up again from time to time.
#[derive(Debug, Default)]
pub struct MemberChecks {
    looks: u32,
    fault: Option<String>,
}

impl MemberChecks {
    /// An error for what would have stopped a newcomer.
    pub async fn observe(&mut self, cx: &Context) -> Result<()> {
        if is_settled(cx) && self.looks.is_multiple_of(OBSERVE_EVERY) {
            self.fault = first_fault(&run_checks(cx).await);
        }
        self.looks = self.looks.wrapping_add(1);
        match &self.fault {
            Some(fault) => bail!("{fault}"),
            None => Ok(()),
        }
    }
}

fn first_fault(checks: &[Check]) -> Option<String> {
    let fault = |c: &&Check| matches!(c.verdict, Verdict::Fail | Verdict::Wait);
    let check = checks.iter().find(fault)?;
    Some(format!(
        "{}: {} -> {}",
        check.name, check.reason, check.remedy
    ))
}
