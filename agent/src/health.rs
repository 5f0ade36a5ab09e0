//! The health source for keepalived: runs beside all phases once the balancer stands. A node whose haproxy died
//! gives the VIP away at once, one whose haproxy hangs within a third of a second, one from which no apiserver can be reached
//! within seconds; a dead haproxy is started again over D-Bus, one that gives no good answer for long is restarted.
//! It has a thread, a runtime and a D-Bus connection of its own: the phases sync files and remove directories, and a disk
//! that hangs must not keep a sick haproxy from being told.
//!
//! keepalived's own means are too slow (scripts: once a second) or missing in containers (the process connector). While
//! no apiserver exists at all a node with a living haproxy is healthy, or the founder's VIP would never come up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use ha_wire::node::NodeFile;
use tokio::sync::watch;

use crate::haproxy::sessions;
use crate::render::{haproxy, keepalived};
use crate::runner::{self, Runner};
use crate::sys::{self, Clock, Sys};

mod claim;
mod question;
mod reach;
mod threads;
mod verdict;

pub use question::probe_haproxy;

use claim::VipClaim;
use question::{answer_deadline, ask_and_watch};
use verdict::{HealthVerdict, Silence, Told};

/// Between two questions to haproxy: one costs it and the agent a fifth of a millisecond.
const EVERY: Duration = Duration::from_millis(100);
/// Between two attempts to start a unit that does not stay up.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// So long without life, and haproxy is restarted. The VIP has long moved, and whoever paused it for a look has had one.
const RESTART_SILENT_AFTER: Duration = Duration::from_secs(30);
/// So long without a question, and the thread is taken for blocked. Writing its files takes no disk.
const BLOCKED_AFTER: Duration = Duration::from_secs(60);

/// When the thread last began a question, by the monotonic clock: read by who tells systemd that the agent is well.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    fn beat(&self, clock: &dyn Clock) {
        // 0: it has not begun.
        let ms = clock.monotonic().as_millis().max(1);
        self.0
            .store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// False: it has begun, and then stood still for long.
    pub fn is_well(&self, now: Duration) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let since = now.saturating_sub(Duration::from_millis(last));
        last == 0 || since < BLOCKED_AFTER
    }
}

/// Starts the thread. It waits until `balancer_stands` says so, and then watches for as long as the agent lives.
/// `machine` is called there: what it gives stays in that thread.
pub fn start_thread(
    node: Arc<NodeFile>,
    mut balancer_stands: watch::Receiver<bool>,
    machine: impl FnOnce() -> Sys + Send + 'static,
) -> Result<Heartbeat> {
    let runtime = sys::new_runtime()?;
    let heartbeat = Heartbeat::default();
    let its = heartbeat.clone();
    let life = move || {
        runtime.block_on(async {
            // An error: the agent ends.
            if balancer_stands.wait_for(|stands| *stands).await.is_ok() {
                let sys = machine();
                let watch = HealthWatch {
                    node,
                    sys,
                    heartbeat: its,
                    restart_silent_after: RESTART_SILENT_AFTER,
                };
                watch.run().await;
            }
        });
    };
    let thread = std::thread::Builder::new().name("health".into());
    thread
        .spawn(life)
        .context("cannot start the health source's thread")?;
    Ok(heartbeat)
}

/// The node, and the machine as the health source's thread reaches it.
struct HealthWatch {
    node: Arc<NodeFile>,
    sys: Sys,
    heartbeat: Heartbeat,
    restart_silent_after: Duration,
}

impl HealthWatch {
    /// For ever: asks haproxy, listens to systemd, writes the health file, starts what died, cuts sessions that lead
    /// nowhere.
    async fn run(&self) {
        let claim = VipClaim::begin(&self.sys.files);
        let runner = match runner::runner_for(&self.node, &self.sys) {
            Ok(runner) => runner,
            Err(error) => return tracing::error!("nobody watches haproxy: {error:#}"),
        };
        if runner.is_kubelet() {
            // Before kubeadm there is no haproxy that could be sick.
            while runner.state(haproxy::UNIT).await.ok().as_deref() != Some("active") {
                self.sys.clock.sleep(RESTART_PAUSE).await;
            }
        }
        tokio::join!(
            self.evaluate_haproxy(&*runner, &claim),
            reach::watch_reach(&self.node, &self.sys, &claim),
            self.keep_unit_active(&*runner, haproxy::UNIT),
            self.keep_unit_active(&*runner, keepalived::UNIT),
            sessions::watch_sessions(&self.node.name, &self.sys)
        );
    }

    /// Asks haproxy and tells `claim`.
    async fn evaluate_haproxy(&self, runner: &dyn Runner, claim: &VipClaim<'_>) {
        let mut verdict = HealthVerdict::FINE;
        let mut silence = Silence::default();
        let patience = answer_deadline(&self.sys.files);
        // Made anew only when it has answered: a watch costs systemd and the bus more than all questions to haproxy.
        let mut left = runner.changed(haproxy::UNIT, "active");
        loop {
            let dead = tokio::select! {
                () = self.sys.clock.sleep(pause_before_question(verdict)) => false,
                state = &mut left, if verdict.fine => {
                    left = runner.changed(haproxy::UNIT, "active");
                    self.is_dead(state).await
                }
            };
            self.heartbeat.beat(&*self.sys.clock);
            let asked = self.sys.clock.monotonic();
            let (told, answer) = if dead {
                let error = anyhow!("systemd says that it left `active`");
                (Told::Dead, Err(error))
            } else {
                ask_and_watch(&self.sys.files, patience).await
            };
            let took = self.sys.clock.monotonic() - asked;
            if matches!(told, Told::Bad | Told::Starved) && took > patience * 3 {
                // The agent itself did not get to run: this says nothing about haproxy.
                continue;
            }
            let before = verdict.fine;
            verdict = verdict.after(told);
            if verdict.fine != before {
                self.log_verdict(verdict.fine, told, answer.as_ref().err());
                claim.set_haproxy(verdict.fine);
            }
            silence = silence.after(told, asked);
            if silence.lasted_at(asked) >= self.restart_silent_after {
                self.restart_silent_haproxy(runner).await;
                silence = Silence::default();
            }
        }
    }

    /// Its master and its worker: which of them hangs is not known. A dead one is [`Self::keep_unit_active`]'s.
    async fn restart_silent_haproxy(&self, runner: &dyn Runner) {
        if runner.state(haproxy::UNIT).await.ok().as_deref() != Some("active") {
            return;
        }
        let (node, silent_for) = (&self.node.name, self.restart_silent_after.as_secs());
        tracing::warn!(
            node,
            "haproxy has shown no life for {silent_for} s: restarting it"
        );
        if let Err(error) = runner.restart_hung(haproxy::UNIT).await {
            tracing::warn!(node, "haproxy cannot be restarted: {error:#}");
        }
    }

    /// Whether a unit in this state cannot answer. An unknown state says nothing, and is not asked for again at once.
    async fn is_dead(&self, state: Result<String>) -> bool {
        match state.as_deref() {
            Ok(state) => {
                matches!(state, "inactive" | "failed" | "deactivating" | "activating")
            }
            Err(_) => {
                self.sys.clock.sleep(EVERY).await;
                false
            }
        }
    }

    fn log_verdict(&self, fine: bool, told: Told, error: Option<&anyhow::Error>) {
        let (node, vip) = (&self.node.name, self.node.endpoint.vip);
        match error {
            Some(error) if !fine => tracing::warn!(
                node,
                "haproxy is unhealthy ({told:?}), this node gives up {vip}: {error:#}"
            ),
            _ => tracing::info!(node, "haproxy is healthy again, this node may hold {vip}"),
        }
    }

    /// Starts a unit again whenever it leaves `active`; its start limit is forgiven, because a node without its balancer
    /// must not stay so.
    async fn keep_unit_active(&self, runner: &dyn Runner, unit: &str) {
        if runner.is_kubelet() {
            return;
        }
        let mut known = "active".to_owned();
        loop {
            known = match runner.changed(unit, &known).await {
                Ok(state) => state,
                Err(error) => {
                    tracing::warn!("cannot watch {unit}: {error:#}");
                    self.sys.clock.sleep(RESTART_PAUSE).await;
                    continue;
                }
            };
            if !matches!(known.as_str(), "failed" | "inactive") {
                continue;
            }
            tracing::warn!(node = self.node.name, "{unit} is {known}: restarting it");
            if let Err(error) = runner.start_again(unit).await {
                tracing::warn!("{unit} does not start: {error:#}");
                self.sys.clock.sleep(RESTART_PAUSE).await;
            }
            known = runner.state(unit).await.unwrap_or_default();
            if matches!(known.as_str(), "failed" | "inactive") {
                known.clear();
            }
        }
    }
}

fn pause_before_question(verdict: HealthVerdict) -> Duration {
    if verdict.asks_at_once() {
        Duration::ZERO
    } else {
        EVERY
    }
}

#[cfg(test)]
mod tests;
