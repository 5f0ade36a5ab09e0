//! The agent's reports: each change of state is told from here to the journal, to systemd (sd_notify STATUS), to the
//! state file and as an event, so that the four never disagree. Interior mutability: all methods take `&self`.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use ha_wire::event::{self, Beneath, Event, EventKind, WaitsOn};
use ha_wire::node::NodeFile;
use ha_wire::paths;
use ha_wire::phase::Phase;
use ha_wire::status::{PhaseState, PhaseTime, Status};

use crate::sys::Clock;
use crate::sys::files::Files;

mod events;
pub mod journal;
mod status;
mod systemd;

use events::Sinks;

/// Time between two `waiting` events: a host that watches 5,000 nodes reads at most five lines a second of each.
const WAITING_EVERY_MS: u64 = 200;
/// The status is written so often although nothing changed: a reader takes one of half a minute for old.
const REWRITTEN_EVERY: Duration = Duration::from_secs(10);
const _: () = assert!(REWRITTEN_EVERY.as_millis() * 2 < ha_health::node::OLD_AFTER_MS as u128);

/// An ordinary wait that goes on for longer shows what its last try said.
const ORDINARY_WAIT: Duration = Duration::from_secs(30);

/// Cheap to clone; all clones are one reporter.
#[derive(Debug, Clone)]
pub struct Reporter {
    inner: Rc<RefCell<Inner>>,
}

/// How an attempt failed.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// One line, the whole chain.
    pub error: String,
    /// The failing program's last lines.
    pub tail: Vec<String>,
    /// Milliseconds until the next attempt; none: a person must act.
    pub retry_ms: Option<u64>,
    /// What failed beneath the phase's own program.
    pub beneath: Option<Beneath>,
}

impl Failure {
    /// The program's last lines first, then the verdict: a journal is read from its end.
    fn to_journal(&self, phase: Phase, attempt: u32, node: &str) {
        for line in &self.tail {
            tracing::info!(%phase, attempt, node, "{phase}: | {line}");
        }
        let error = &self.error;
        match self.retry_ms.map(|ms| ms as f64 / 1e3) {
            Some(s) => {
                tracing::warn!(%phase, attempt, node, "{phase}: attempt {attempt} failed, the next in {s:.1} s: {error}");
            }
            None => {
                tracing::error!(%phase, attempt, node, "{phase}: failed, a person must act: {error}")
            }
        }
    }
}

#[derive(Debug)]
struct Inner {
    clock: Rc<dyn Clock>,
    files: Files,
    sinks: Sinks,
    status: Status,
    written: Option<Status>,
    /// When, by the monotonic clock.
    written_at: Duration,
    /// The last attempt to write it failed, which was told.
    refused: bool,
    seq: u64,
    told_waiting: Option<(Phase, String, String)>,
    told_waiting_ms: u64,
    /// The ordinary waits of the present stay in a phase, and since when each, by the monotonic clock: words that take turns
    /// are not new each time.
    ordinary: Vec<(Phase, String, Duration)>,
}

impl Reporter {
    /// A reporter for this node; nothing is reported yet.
    pub fn new(node: &NodeFile, clock: Rc<dyn Clock>, files: Files) -> Self {
        let now = clock.now_ms();
        let inner = Inner {
            sinks: Sinks::new(files.clone(), node.report.clone()),
            status: status::initial_status(node, now),
            clock,
            files,
            written: None,
            written_at: Duration::ZERO,
            refused: false,
            seq: 0,
            told_waiting: None,
            told_waiting_ms: 0,
            ordinary: Vec::new(),
        };
        Self {
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// A life of the agent begins: the state file is there, systemd knows that the service is up.
    pub fn started(&self) {
        let mut inner = self.inner();
        let boot = inner
            .files
            .read("/proc/sys/kernel/random/boot_id")
            .ok()
            .flatten()
            .unwrap_or_default();
        let what = EventKind::Hello {
            agent: env!("CARGO_PKG_VERSION").into(),
            role: inner.status.role,
            boot: boot.trim().into(),
        };
        let (node, cluster, role) = (
            &inner.status.node,
            &inner.status.cluster,
            inner.status.role.label(),
        );
        tracing::info!(
            node,
            "ha-agent {}: {node}, {role} of {cluster}",
            env!("CARGO_PKG_VERSION")
        );
        inner.publish();
        inner.event(what);
        systemd::notify_ready();
    }

    /// An attempt at a phase begins.
    pub fn phase_started(&self, phase: Phase, attempt: u32) {
        let mut inner = self.inner();
        match attempt {
            1 => tracing::info!(%phase, attempt, node = inner.status.node, "{phase}: started"),
            _ => {
                tracing::info!(%phase, attempt, node = inner.status.node, "{phase}: attempt {attempt}")
            }
        }
        let now = inner.clock.now_ms();
        inner.open_phase(phase, now);
        if !phase.is_background() {
            let state = if phase == Phase::Steady {
                PhaseState::Steady
            } else {
                PhaseState::Working
            };
            inner.enter(phase, state, attempt, now);
        }
        inner.publish();
        inner.event(EventKind::Started { phase, attempt });
    }

    /// The phase waits for `what`; `last_error` is what the last try said. Rate limited, repeated words are dropped.
    pub fn waiting(&self, phase: Phase, what: &str, last_error: &str) {
        self.inner().ordinary.clear();
        self.publish_wait(phase, what, last_error, None);
    }

    /// The same for a wait that every good launch has: `what` says it in words, and what the last try said is shown only
    /// once the wait lasts.
    pub fn waiting_as_usual(&self, phase: Phase, what: &str, last_try: &str, on: Option<WaitsOn>) {
        let lasts = {
            let mut inner = self.inner();
            let now = inner.clock.monotonic();
            let mut known = inner.ordinary.iter();
            let known = known.find(|(of, words, _)| *of == phase && words == what);
            let since = known.map_or(now, |(_, _, since)| *since);
            if since == now {
                inner.ordinary.push((phase, what.to_owned(), now));
            }
            now.saturating_sub(since) > ORDINARY_WAIT
        };
        let last_try = if lasts { last_try } else { "" };
        self.publish_wait(phase, what, last_try, on);
    }

    fn publish_wait(&self, phase: Phase, what: &str, last_error: &str, on: Option<WaitsOn>) {
        let mut inner = self.inner();
        let now = inner.clock.now_ms();
        if !phase.is_background() {
            inner.status.waiting_for = what.into();
            inner.status.last_try_ms = Some(now);
            if !last_error.is_empty() {
                inner.status.last_error = last_error.into();
            }
        }
        let words = (phase, what.to_owned(), last_error.to_owned());
        let soon = now.saturating_sub(inner.told_waiting_ms) < WAITING_EVERY_MS;
        if inner.told_waiting.as_ref() == Some(&words) || soon {
            inner.publish_if_due(now);
            return;
        }
        let because = if last_error.is_empty() {
            String::new()
        } else {
            format!(": {last_error}")
        };
        tracing::info!(%phase, node = inner.status.node, "{phase}: waiting for {what}{because}");
        inner.told_waiting = Some(words);
        inner.told_waiting_ms = now;
        inner.publish();
        inner.event(EventKind::Waiting {
            phase,
            what: what.into(),
            last_error: last_error.into(),
            on,
        });
    }

    /// So many of so many.
    pub fn progress(&self, phase: Phase, done: u32, total: u32) {
        let mut inner = self.inner();
        tracing::debug!(%phase, node = inner.status.node, "{phase}: {done} of {total}");
        inner.event(EventKind::Progress { phase, done, total });
    }

    /// A phase ended well.
    pub fn phase_done(&self, phase: Phase, skipped: bool) {
        let mut inner = self.inner();
        let now = inner.clock.now_ms();
        let took_ms = inner.close_phase(phase, now);
        match skipped {
            true => tracing::info!(%phase, node = inner.status.node, "{phase}: nothing to do"),
            false => {
                tracing::info!(%phase, node = inner.status.node, "{phase}: done in {:.1} s", took_ms as f64 / 1e3)
            }
        }
        if !phase.is_background() {
            inner.forget_errors();
        }
        inner.publish();
        inner.event(EventKind::Done {
            phase,
            took_ms,
            skipped,
        });
    }

    pub fn phase_failed(&self, phase: Phase, attempt: u32, failure: Failure) {
        let mut inner = self.inner();
        failure.to_journal(phase, attempt, &inner.status.node);
        if !phase.is_background() {
            let now = inner.clock.now_ms();
            let state = match (phase, failure.retry_ms) {
                (Phase::Steady, Some(_)) => PhaseState::Degraded,
                (_, Some(_)) => PhaseState::Retrying,
                (_, None) => PhaseState::Failed,
            };
            inner.enter(phase, state, attempt, now);
            inner.status.last_error.clone_from(&failure.error);
            inner.status.tail.clone_from(&failure.tail);
            inner.status.last_try_ms = Some(now);
        }
        inner.publish();
        let Failure {
            error,
            tail,
            retry_ms,
            beneath,
        } = failure;
        inner.event(EventKind::Failed {
            phase,
            attempt,
            error,
            tail,
            retry_ms,
            beneath,
        });
    }

    /// The node is in its steady state.
    pub fn steady(&self) {
        let mut inner = self.inner();
        tracing::info!(node = inner.status.node, "steady");
        inner.event(EventKind::Steady);
    }

    /// Changes facts in the status (VIP holder, backends, etcd members, ...) and writes it if they differ.
    pub fn update_status(&self, change: impl FnOnce(&mut Status)) {
        let mut inner = self.inner();
        change(&mut inner.status);
        inner.publish();
    }

    /// What the status says now.
    pub fn read_status<T>(&self, of: impl FnOnce(&Status) -> T) -> T {
        of(&self.inner().status)
    }

    /// The phase that the node is in.
    pub fn phase(&self) -> Phase {
        self.inner().status.phase
    }

    /// Never held over an await or a call to the outside, so it is never borrowed twice.
    fn inner(&self) -> RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }
}

impl Inner {
    fn enter(&mut self, phase: Phase, state: PhaseState, attempt: u32, now: u64) {
        let status = &mut self.status;
        if (status.phase, status.state) != (phase, state) {
            (status.phase, status.state, status.since_ms) = (phase, state, now);
        }
        status.attempt = attempt;
        status.waiting_for.clear();
        self.ordinary.clear();
        self.told_waiting = None;
    }

    fn forget_errors(&mut self) {
        self.status.waiting_for.clear();
        self.status.last_error.clear();
        self.status.tail.clear();
        self.told_waiting = None;
    }

    /// The first start counts: attempts belong to one stay.
    fn open_phase(&mut self, phase: Phase, now: u64) {
        let running = self
            .status
            .phases
            .iter()
            .any(|p| p.phase == phase && p.ended_ms.is_none());
        if !running {
            self.status.phases.retain(|p| p.phase != phase);
            self.status.phases.push(PhaseTime {
                phase,
                started_ms: now,
                ended_ms: None,
            });
        }
    }

    /// How long the phase took, all attempts included.
    fn close_phase(&mut self, phase: Phase, now: u64) -> u64 {
        self.open_phase(phase, now);
        let entry = self.status.phases.iter_mut().find(|p| p.phase == phase);
        entry.map_or(0, |entry| {
            entry.ended_ms = Some(now);
            now.saturating_sub(entry.started_ms)
        })
    }

    /// Words that repeat change nothing but the time of the last try: written once a second is often enough.
    fn publish_if_due(&mut self, now: u64) {
        let last = self.written.as_ref().map_or(0, |s| s.updated_ms);
        if now.saturating_sub(last) >= 1000 {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.status.updated_ms = self.written.as_ref().map_or(0, |s| s.updated_ms);
        let at = self.clock.monotonic();
        let is_fresh = at.saturating_sub(self.written_at) < REWRITTEN_EVERY;
        if is_fresh && self.written.as_ref() == Some(&self.status) {
            return;
        }
        self.status.updated_ms = self.clock.now_ms();
        let mut text = serde_json::to_vec(&self.status).unwrap_or_default();
        text.push(b'\n');
        systemd::notify_status(&status::status_line(&self.status));
        match self.files.write(paths::STATUS_FILE, 0o644, &text) {
            Ok(_) => {
                self.refused = false;
                self.written_at = at;
                self.written = Some(self.status.clone());
            }
            // Readers see it by the age of what lies there; it is tried again at the next look.
            Err(error) if !std::mem::replace(&mut self.refused, true) => {
                tracing::warn!("{error:#}");
            }
            Err(_) => {}
        }
    }

    fn event(&mut self, what: EventKind) {
        self.seq += 1;
        let event = Event {
            version: event::VERSION,
            seq: self.seq,
            time_ms: self.clock.now_ms(),
            node: self.status.node.clone(),
            what,
        };
        if let Ok(line) = serde_json::to_string(&event) {
            self.sinks.send(&line);
        }
    }
}

/// Tells systemd several times a watchdog period that the loop turns, for ever; ends at once without a watchdog. Not while
/// `is_well`, shown the monotonic clock, denies it of another thread: systemd then ends the agent, and its next life is well.
pub async fn run_watchdog(clock: Rc<dyn Clock>, is_well: impl Fn(Duration) -> bool) {
    systemd::notify_watchdog(clock, is_well).await;
}

/// systemd learns that the agent goes down.
pub fn notify_stopping() {
    systemd::notify_stopping();
}

#[cfg(test)]
mod tests;
