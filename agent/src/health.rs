//! The health source for keepalived: runs beside all phases once the balancer stands. A node whose haproxy died
//! gives the VIP away at once, one whose haproxy hangs within a second; a dead haproxy is started again over D-Bus.
//!
//! keepalived's own means are too slow (scripts: once a second) or missing in containers (the process connector). While
//! no apiserver exists at all a node with a living haproxy is healthy, or the founder's VIP would never come up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ha_wire::paths;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::context::Context;
use crate::haproxy::sessions;
use crate::phases::balancer::{HAPROXY, KEEPALIVED};
use crate::render::{haproxy, keepalived};
use crate::sys::files::Files;
use crate::sys::processor::is_emulated;

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
const MEND_PAUSE: Duration = Duration::from_secs(1);

/// One question to the local haproxy: does it live? Not whether any apiserver does.
pub async fn probe(files: &Files) -> Result<()> {
    probe_within(files, patience(files)).await
}

async fn probe_within(files: &Files, within: Duration) -> Result<()> {
    let socket = files.path(haproxy::HEALTH_SOCKET);
    let answer = tokio::time::timeout(within, ask(&socket)).await;
    answer
        .map_err(|_| anyhow::anyhow!("haproxy did not answer within {} ms", within.as_millis()))?
}

/// How long haproxy may take for an answer.
fn patience(files: &Files) -> Duration {
    if is_emulated(files) {
        EMULATED_ANSWER_WITHIN
    } else {
        ANSWER_WITHIN
    }
}

async fn ask(socket: &std::path::Path) -> Result<()> {
    let mut stream = UnixStream::connect(socket)
        .await
        .context("haproxy's health socket")?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.0 200") && !answer.starts_with(b"HTTP/1.1 200") {
        bail!(
            "haproxy answers {:?}",
            String::from_utf8_lossy(&answer[..answer.len().min(40)])
        );
    }
    Ok(())
}

/// For ever: asks haproxy, listens to systemd, writes the health file, starts what died, cuts sessions that lead nowhere.
pub async fn watch(cx: Context) {
    tokio::join!(
        judge(&cx),
        mend(&cx, HAPROXY),
        mend(&cx, KEEPALIVED),
        sessions::watch(&cx)
    );
}

/// The pure part: answers in, the verdict out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    fine: bool,
    /// Answers in a row that speak against the verdict.
    against: u32,
}

impl Verdict {
    /// What another answer makes of it. `dead`: systemd says so, no second answer is needed.
    fn heard(self, good: bool, dead: bool) -> Self {
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

/// Asks haproxy and writes the health file.
async fn judge(cx: &Context) {
    let mut verdict = Verdict {
        fine: true,
        against: 0,
    };
    write(cx, verdict.fine);
    let patience = patience(&cx.sys.files);
    // Made anew only when it has answered: a watch costs systemd and the bus more than all questions to haproxy.
    let mut left = cx.sys.systemd.changed(HAPROXY, "active");
    loop {
        let dead = tokio::select! {
            () = cx.sys.clock.sleep(pause(verdict)) => false,
            state = &mut left, if verdict.fine => {
                left = cx.sys.systemd.changed(HAPROXY, "active");
                match state.as_deref() {
                    Ok(state) => matches!(state, "inactive" | "failed" | "deactivating" | "activating"),
                    Err(_) => {
                        cx.sys.clock.sleep(EVERY).await;
                        false
                    }
                }
            }
        };
        let asked = Instant::now();
        let answer = if dead {
            Err(anyhow::anyhow!("systemd says that it left `active`"))
        } else {
            probe_within(&cx.sys.files, patience).await
        };
        if answer.is_err() && !dead && asked.elapsed() > patience * 3 {
            // The agent itself did not get to run: this says nothing about haproxy.
            continue;
        }
        let before = verdict.fine;
        verdict = verdict.heard(answer.is_ok(), dead);
        if verdict.fine != before {
            tell(cx, verdict.fine, answer.as_ref().err());
            write(cx, verdict.fine);
        }
    }
}

/// After one bad answer the next question follows at once.
fn pause(verdict: Verdict) -> Duration {
    if verdict.fine && verdict.against > 0 {
        Duration::ZERO
    } else {
        EVERY
    }
}

fn tell(cx: &Context, fine: bool, error: Option<&anyhow::Error>) {
    let (node, vip) = (&cx.node.name, cx.node.endpoint.vip);
    match error {
        Some(error) if !fine => tracing::warn!(
            node,
            "haproxy is sick, this node gives {vip} away: {error:#}"
        ),
        _ => tracing::info!(node, "haproxy is well again, this node may hold {vip}"),
    }
}

fn write(cx: &Context, fine: bool) {
    let word = if fine {
        keepalived::FINE
    } else {
        keepalived::SICK
    };
    if let Err(error) = cx.sys.files.put(paths::HEALTH_FILE, word.as_bytes()) {
        tracing::error!("keepalived cannot be told: {error:#}");
    }
}

/// Starts a unit again whenever it leaves `active`; its start limit is forgiven, because a node without its balancer
/// must not stay so.
async fn mend(cx: &Context, unit: &str) {
    let systemd = &cx.sys.systemd;
    let mut known = "active".to_owned();
    loop {
        known = match systemd.changed(unit, &known).await {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!("cannot watch {unit}: {error:#}");
                cx.sys.clock.sleep(MEND_PAUSE).await;
                continue;
            }
        };
        if !matches!(known.as_str(), "failed" | "inactive") {
            continue;
        }
        tracing::warn!(node = cx.node.name, "{unit} is {known}: starting it again");
        if let Err(error) = start_again(cx, unit).await {
            tracing::warn!("{unit} does not start: {error:#}");
            cx.sys.clock.sleep(MEND_PAUSE).await;
        }
        known = systemd.active_state(unit).await.unwrap_or_default();
        if matches!(known.as_str(), "failed" | "inactive") {
            known.clear();
        }
    }
}

async fn start_again(cx: &Context, unit: &str) -> Result<()> {
    cx.sys.systemd.reset_failed(unit).await?;
    cx.sys.systemd.start(unit).await
}

#[cfg(test)]
mod tests;
