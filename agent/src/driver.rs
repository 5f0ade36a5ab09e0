//! The one loop that moves a node along its plan: looks, runs, tells, waits, tries again.

use std::time::Duration;

use anyhow::{Error, Result};
use ha_wire::phase::Phase;
use tokio::sync::watch;

use crate::backoff;
use crate::context::Context;
use crate::failpoints;
use crate::phases::{self, FailedBeneath, NeedsAPerson, Outcome};
use crate::plan::Plan;
use crate::report::Failure;
use crate::state_machine::{PhaseEvent, State, next_state};
use crate::sys::{CommandFailed, random};

/// How often a fault that needs a person is looked at again: mending the cause is enough, no restart needed.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);
/// Between two rounds of the steady state, should a round end.
const STEADY_PAUSE: Duration = Duration::from_secs(1);

/// Moves the node along its plan for ever. `balancer_stands` wakes the health source.
pub async fn run_plan(cx: &Context, plan: &Plan, balancer_stands: &watch::Sender<bool>) {
    let mut driver = Driver {
        cx,
        plan,
        balancer_stands,
        pause: Duration::ZERO,
    };
    let mut state = State::begin(plan);
    loop {
        state = driver.step(state).await;
    }
}

/// Runs the phases that stand beside the plan, each until it is done.
pub async fn run_background(cx: &Context, plan: &Plan) {
    for phase in &plan.background {
        let mut attempt = 1;
        while let Err(error) = attempt_once(cx, *phase, attempt).await {
            let wait = backoff::retry_delay(attempt, random::random_fraction());
            cx.report
                .phase_failed(*phase, attempt, to_failure(&error, Some(wait)));
            cx.sys.clock.sleep(wait).await;
            attempt += 1;
        }
    }
}

struct Driver<'a> {
    cx: &'a Context,
    plan: &'a Plan,
    /// Once keepalived and haproxy run, their health is watched for as long as the agent lives.
    balancer_stands: &'a watch::Sender<bool>,
    /// What was told as the time until the next attempt.
    pause: Duration,
}

impl Driver<'_> {
    /// One step: whatever the state asks for, and the state after it.
    async fn step(&mut self, state: State) -> State {
        let event = match state {
            State::At { phase, attempt } => self.attempt(phase, attempt).await,
            State::Retrying { .. } => self.wait(self.pause).await,
            State::Failed { .. } => self.wait(RECHECK_INTERVAL).await,
        };
        next_state(self.plan, state, event).unwrap_or_else(|illegal| {
            tracing::error!("a bug: {illegal}; the agent starts its plan over");
            State::begin(self.plan)
        })
    }

    async fn attempt(&mut self, phase: Phase, attempt: u32) -> PhaseEvent {
        if phase == Phase::Steady {
            return self.steady(attempt).await;
        }
        match attempt_once(self.cx, phase, attempt).await {
            Ok(outcome) => {
                if phase == Phase::Balancer {
                    self.balancer_stands.send_replace(true);
                }
                match outcome {
                    Outcome::Done => PhaseEvent::Done,
                    Outcome::ClusterStands => PhaseEvent::ClusterStands,
                    Outcome::DecideAnew => PhaseEvent::DecideAnew,
                }
            }
            Err(error) => self.failed(phase, attempt, &error),
        }
    }

    /// Rounds of the steady state; told once, not at each round.
    async fn steady(&mut self, attempt: u32) -> PhaseEvent {
        if self.cx.report.phase() != Phase::Steady || attempt > 1 {
            self.cx.report.phase_started(Phase::Steady, attempt);
            self.cx.report.steady();
        }
        match phases::run(Phase::Steady, self.cx).await {
            Ok(_) => {
                self.cx.sys.clock.sleep(STEADY_PAUSE).await;
                PhaseEvent::Done
            }
            Err(error) => self.failed(Phase::Steady, attempt, &error),
        }
    }

    fn failed(&mut self, phase: Phase, attempt: u32, error: &Error) -> PhaseEvent {
        self.pause = backoff::retry_delay(attempt, random::random_fraction());
        let person = needs_a_person(error);
        self.cx.report.phase_failed(
            phase,
            attempt,
            to_failure(error, (!person).then_some(self.pause)),
        );
        if person {
            PhaseEvent::NeedsAPerson
        } else {
            PhaseEvent::Failed
        }
    }

    async fn wait(&self, time: Duration) -> PhaseEvent {
        self.cx.sys.clock.sleep(time).await;
        PhaseEvent::Again
    }
}

/// Looks whether there is something to do, and does it once.
async fn attempt_once(cx: &Context, phase: Phase, attempt: u32) -> Result<Outcome> {
    failpoints::crash_if_named(&cx.sys.files, phase, "before");
    cx.report.phase_started(phase, attempt);
    if !phases::needed(phase, cx).await? {
        cx.report.phase_done(phase, true);
        return Ok(Outcome::Done);
    }
    let outcome = phases::run(phase, cx).await?;
    if outcome == Outcome::DecideAnew {
        return Ok(outcome);
    }
    failpoints::crash_if_named(&cx.sys.files, phase, "done");
    cx.report.phase_done(phase, false);
    Ok(outcome)
}

fn needs_a_person(error: &Error) -> bool {
    let is_final = |cause: &FailedBeneath| cause.is_final;
    error.is::<NeedsAPerson>()
        || error.chain().any(|cause| cause.is::<NeedsAPerson>())
        || failed_beneath(error).is_some_and(is_final)
}

/// As a context it is no link of the chain.
fn failed_beneath(error: &Error) -> Option<&FailedBeneath> {
    let in_chain = || error.chain().find_map(|cause| cause.downcast_ref());
    error.downcast_ref().or_else(in_chain)
}

fn to_failure(error: &Error, wait: Option<Duration>) -> Failure {
    let tail = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<CommandFailed>())
        .map(|c| c.tail.clone());
    Failure {
        error: format!("{error:#}").lines().collect::<Vec<_>>().join(" "),
        tail: tail.unwrap_or_default(),
        retry_ms: wait.and_then(|w| u64::try_from(w.as_millis()).ok()),
        beneath: failed_beneath(error).map(|cause| cause.found.clone()),
    }
}

#[cfg(test)]
mod tests;
