//! The health source for keepalived: runs beside all phases once the balancer stands. A node whose haproxy died
//! gives the VIP away at once, one whose haproxy hangs within a second; a dead haproxy is started again over D-Bus.
//! It has a thread, a runtime and a D-Bus connection of its own: the phases sync files and remove directories, and a disk
//! that hangs must not keep a sick haproxy from being told.
//!
//! keepalived's own means are too slow (scripts: once a second) or missing in containers (the process connector). While
//! no apiserver exists at all a node with a living haproxy is healthy, or the founder's VIP would never come up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_wire::node::NodeFile;
use ha_wire::paths;
use tokio::sync::watch;

use crate::haproxy::sessions;
use crate::render::{haproxy, keepalived};
use crate::sys::files::Files;
use crate::sys::net::ask_socket;
use crate::sys::processor::is_emulated;
use crate::sys::{self, Sys};

/// Between two questions to haproxy.
const EVERY: Duration = Duration::from_millis(200);
/// An answer takes under a millisecond, but a busy machine has been seen to need 120.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// The same on an emulated processor: three machines on one host have been seen to need a second.
const EMULATED_ANSWER_WITHIN: Duration = Duration::from_millis(2500);
/// Bad answers in a row that make a node sick: a haproxy that hangs is found out within a second. One that died is found
/// out at once (systemd says so); moving the VIP on a machine that is merely slow would cut every connection for nothing.
const SICK_AFTER: u32 = 3;
/// Good answers in a row that make a sick node fine again, so that a flapping haproxy does not move the VIP each time.
const FINE_AFTER: u32 = 3;
/// Between two attempts to start a unit that does not stay up.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// One question to the local haproxy: does it live? Not whether any apiserver does.
pub async fn probe_haproxy(files: &Files) -> Result<()> {
    probe_within(files, answer_deadline(files)).await
}

async fn probe_within(files: &Files, within: Duration) -> Result<()> {
    let socket = files.path(haproxy::HEALTH_SOCKET);
    let answer = tokio::time::timeout(within, ask_health_socket(&socket)).await;
    answer
        .map_err(|_| anyhow::anyhow!("haproxy did not answer within {} ms", within.as_millis()))?
}

/// How long haproxy may take for an answer.
fn answer_deadline(files: &Files) -> Duration {
    if is_emulated(files) {
        EMULATED_ANSWER_WITHIN
    } else {
        ANSWER_WITHIN
    }
}

async fn ask_health_socket(socket: &std::path::Path) -> Result<()> {
    let answer = ask_socket(socket, b"GET /healthz HTTP/1.0\r\n\r\n")
        .await
        .context("haproxy's health socket")?;
    if !answer.starts_with(b"HTTP/1.0 200") && !answer.starts_with(b"HTTP/1.1 200") {
        bail!(
            "haproxy answers {:?}",
            String::from_utf8_lossy(&answer[..answer.len().min(40)])
        );
    }
    Ok(())
}

/// Starts the thread. It waits until `balancer_stands` says so, and then watches for as long as the agent lives.
/// `machine` is called there: what it gives stays in that thread.
pub fn start_thread(
    node: Arc<NodeFile>,
    mut balancer_stands: watch::Receiver<bool>,
    machine: impl FnOnce() -> Sys + Send + 'static,
) -> Result<()> {
    let runtime = sys::new_runtime()?;
    let life = move || {
        runtime.block_on(async {
            // An error: the agent ends.
            if balancer_stands.wait_for(|stands| *stands).await.is_ok() {
                let sys = machine();
                HealthWatch { node, sys }.run().await;
            }
        });
    };
    let thread = std::thread::Builder::new().name("health".into());
    thread
        .spawn(life)
        .context("cannot start the health source's thread")?;
    Ok(())
}

/// The node, and the machine as the health source's thread reaches it.
struct HealthWatch {
    node: Arc<NodeFile>,
    sys: Sys,
}

impl HealthWatch {
    /// For ever: asks haproxy, listens to systemd, writes the health file, starts what died, cuts sessions that lead
    /// nowhere.
    async fn run(&self) {
        tokio::join!(
            self.evaluate_haproxy(),
            self.keep_unit_active(haproxy::UNIT),
            self.keep_unit_active(keepalived::UNIT),
            sessions::watch_sessions(&self.node.name, &self.sys)
        );
    }

    /// Asks haproxy and writes the health file.
    async fn evaluate_haproxy(&self) {
        let mut verdict = HealthVerdict {
            fine: true,
            against: 0,
        };
        self.write_health_file(verdict.fine);
        let patience = answer_deadline(&self.sys.files);
        // Made anew only when it has answered: a watch costs systemd and the bus more than all questions to haproxy.
        let mut left = self.sys.systemd.changed(haproxy::UNIT, "active");
        loop {
            let dead = tokio::select! {
                () = self.sys.clock.sleep(pause_before_question(verdict)) => false,
                state = &mut left, if verdict.fine => {
                    left = self.sys.systemd.changed(haproxy::UNIT, "active");
                    self.is_dead(state).await
                }
            };
            let asked = self.sys.clock.monotonic();
            let answer = if dead {
                Err(anyhow::anyhow!("systemd says that it left `active`"))
            } else {
                probe_within(&self.sys.files, patience).await
            };
            if answer.is_err() && !dead && self.sys.clock.monotonic() - asked > patience * 3 {
                // The agent itself did not get to run: this says nothing about haproxy.
                continue;
            }
            let before = verdict.fine;
            verdict = verdict.after_answer(answer.is_ok(), dead);
            if verdict.fine != before {
                self.log_verdict(verdict.fine, answer.as_ref().err());
                self.write_health_file(verdict.fine);
            }
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

    fn log_verdict(&self, fine: bool, error: Option<&anyhow::Error>) {
        let (node, vip) = (&self.node.name, self.node.endpoint.vip);
        match error {
            Some(error) if !fine => tracing::warn!(
                node,
                "haproxy is unhealthy, this node gives up {vip}: {error:#}"
            ),
            _ => tracing::info!(node, "haproxy is healthy again, this node may hold {vip}"),
        }
    }

    fn write_health_file(&self, fine: bool) {
        let word = if fine {
            keepalived::FINE
        } else {
            keepalived::SICK
        };
        if let Err(error) = self.sys.files.put(paths::HEALTH_FILE, word.as_bytes()) {
            tracing::error!("{error:#}");
        }
    }

    /// Starts a unit again whenever it leaves `active`; its start limit is forgiven, because a node without its balancer
    /// must not stay so.
    async fn keep_unit_active(&self, unit: &str) {
        let systemd = &self.sys.systemd;
        let mut known = "active".to_owned();
        loop {
            known = match systemd.changed(unit, &known).await {
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
            if let Err(error) = self.start_again(unit).await {
                tracing::warn!("{unit} does not start: {error:#}");
                self.sys.clock.sleep(RESTART_PAUSE).await;
            }
            known = systemd.active_state(unit).await.unwrap_or_default();
            if matches!(known.as_str(), "failed" | "inactive") {
                known.clear();
            }
        }
    }

    async fn start_again(&self, unit: &str) -> Result<()> {
        self.sys.systemd.reset_failed(unit).await?;
        self.sys.systemd.start(unit).await
    }
}

/// The pure part: answers in, the verdict out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HealthVerdict {
    fine: bool,
    /// Answers in a row that speak against the verdict.
    against: u32,
}

impl HealthVerdict {
    /// What another answer makes of it. `dead`: systemd says so, no second answer is needed.
    fn after_answer(self, good: bool, dead: bool) -> Self {
        let against = if good == self.fine {
            0
        } else {
            self.against + 1
        };
        let enough = if self.fine { SICK_AFTER } else { FINE_AFTER };
        match dead && !good || against >= enough {
            true => Self {
                fine: good && !dead,
                against: 0,
            },
            false => Self { against, ..self },
        }
    }
}

/// After one bad answer the next question follows at once.
fn pause_before_question(verdict: HealthVerdict) -> Duration {
    if verdict.fine && verdict.against > 0 {
        Duration::ZERO
    } else {
        EVERY
    }
}

#[cfg(test)]
mod tests;
