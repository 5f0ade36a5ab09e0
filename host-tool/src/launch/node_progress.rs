//! What is known of one node while it is made: a pure function of what it said.

use std::time::{Duration, Instant};

use ha_cluster_file::cluster::Node;
use ha_wire::event::{Beneath, Event, EventKind};
use ha_wire::format::FormatError;
use ha_wire::phase::{Phase, Role};
use serde::{Deserialize, Serialize};

use super::event_tail::EventLine;

/// So many failed attempts of one phase, and this long since the first, end a launch: the agent goes on, but a person
/// should look.
const MAX_ATTEMPTS: u32 = 5;
/// See [`MAX_ATTEMPTS`]: quick failures in a row may be one short outage.
const MIN_FAILING: Duration = Duration::from_secs(60);
/// A phase that has failed for this long, and in that time neither ended well nor came to wait for something again, ends a
/// launch, however few the attempts.
const MAX_FAILING: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub struct NodeProgress {
    pub name: String,
    pub role: Role,
    /// How far it is.
    pub stage: Stage,
    /// How far it was before this launch.
    before: Stage,
    /// Since when it is in this life and phase.
    pub since: Instant,
    /// What it waits for, with the last error.
    pub waiting: String,
    /// Images done and in all, while they come.
    pub images: Option<(u32, u32)>,
    /// The phase that fails, until it succeeds or works again.
    pub trouble: Option<Trouble>,
    /// The phase that has failed and works again: if it fails once more, its failures count on.
    earlier_trouble: Option<Trouble>,
    /// What happened when, in this launch.
    pub spans: Vec<Span>,
    /// Whether the agent was heard in this launch.
    pub heard: bool,
    /// The last line of its console, while it is not.
    pub console: String,
    /// Its agent speaks this version of events, which this program does not know.
    pub other_version: Option<u64>,
}

/// How far a node is. Its names are kept in state directories and told by `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing has been done for it.
    Waiting,
    /// Its machine is made.
    Making,
    /// Its machine runs, its agent has not been heard.
    #[serde(rename = "boot")]
    Booting,
    Steady,
    /// By the phase's own name.
    #[serde(untagged)]
    Working(Phase),
}

impl Stage {
    /// One word, the same as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Making => "making",
            Self::Booting => "boot",
            Self::Working(phase) => phase.name(),
            Self::Steady => "steady",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A phase that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub phase: Phase,
    /// Failed attempts so far.
    pub attempts: u32,
    pub first: Instant,
    /// Since when it does nothing but fail.
    since: Instant,
    pub error: String,
    /// The failing program's last lines.
    pub tail: Vec<String>,
    /// What failed beneath the phase's own program.
    pub beneath: Option<Beneath>,
    /// Another attempt cannot mend it.
    pub fatal: bool,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// None: from power-on to the agent's first word.
    pub phase: Option<Phase>,
    pub start: Instant,
    /// End; none: it goes on.
    pub end: Option<Instant>,
}

/// What changed, for who tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeChange {
    /// The node is somewhere else, or in trouble.
    Moved,
    /// It only waits for something else.
    Waiting,
}

impl NodeProgress {
    /// A node that nothing was done for.
    pub fn new(node: &Node, now: Instant) -> Self {
        Self {
            name: node.name.clone(),
            role: node.role,
            stage: Stage::Waiting,
            before: Stage::Waiting,
            since: now,
            waiting: String::new(),
            images: None,
            trouble: None,
            earlier_trouble: None,
            spans: Vec::new(),
            heard: false,
            console: String::new(),
            other_version: None,
        }
    }

    /// Its machine is on its way.
    pub fn machine_begun(&mut self, now: Instant) {
        self.before = self.stage;
        self.move_to(Stage::Making, now);
        self.spans.push(Span {
            phase: None,
            start: now,
            end: None,
        });
    }

    /// Its machine runs; `fresh` if it was off or not there before.
    pub fn machine_runs(&mut self, fresh: bool, now: Instant) {
        if self.stage != Stage::Making {
            return;
        }
        let known = !fresh && self.before != Stage::Waiting;
        self.move_to(if known { self.before } else { Stage::Booting }, now);
    }

    /// What an earlier launch heard: where the node is, but no old failure counts against this launch.
    pub fn replay(&mut self, lines: &[EventLine], now: Instant) -> bool {
        for line in lines {
            match line {
                Ok(event) => drop(self.apply(event, now)),
                Err(FormatError::Version { found, .. }) => self.other_version = Some(*found),
                Err(FormatError::Shape { .. }) => {}
            }
        }
        let stuck = self.trouble.as_ref().is_some_and(|t| t.fatal);
        (self.heard, self.trouble, self.earlier_trouble) = (false, None, None);
        self.spans.clear();
        stuck
    }

    /// The API says that it is Ready, and nobody says more of it.
    pub fn ready_by_the_api(&mut self, now: Instant) -> Option<NodeChange> {
        self.move_to(Stage::Steady, now)
    }

    /// Its agent says what this program cannot read. True at the first time.
    pub fn speaks_other_version(&mut self, version: u64) -> bool {
        self.other_version.replace(version) != Some(version)
    }

    /// Takes in what the node said.
    pub fn apply(&mut self, event: &Event, now: Instant) -> Option<NodeChange> {
        (self.heard, self.other_version) = (true, None);
        match &event.what {
            EventKind::Hello { .. } => {
                self.end_span(None, now);
                self.images = None;
                if matches!(self.stage, Stage::Working(_)) {
                    None
                } else {
                    self.move_to(Stage::Working(Phase::Preflight), now)
                }
            }
            EventKind::Started {
                phase: Phase::Images,
                ..
            } => None,
            EventKind::Started { phase, .. } => self.phase_started(*phase, now),
            EventKind::Waiting {
                phase: Phase::Images,
                ..
            } => None,
            EventKind::Waiting {
                phase,
                what,
                last_error,
                ..
            } => self.phase_waits(*phase, what, last_error, now),
            EventKind::Progress {
                phase: Phase::Images,
                done,
                total,
            } => {
                self.images = Some((*done, *total)).filter(|_| done < total);
                Some(NodeChange::Waiting)
            }
            EventKind::Progress { phase, done, total } => {
                self.phase_waits(*phase, &format!("{done} of {total}"), "", now)
            }
            EventKind::Done { phase, .. } => self.phase_done(*phase, now),
            EventKind::Failed {
                phase,
                error,
                tail,
                retry_ms,
                beneath,
                ..
            } => {
                let trouble = Trouble {
                    phase: *phase,
                    attempts: 1,
                    first: now,
                    since: now,
                    error: error.clone(),
                    tail: tail.clone(),
                    beneath: beneath.clone(),
                    fatal: retry_ms.is_none(),
                };
                self.phase_failed(trouble)
            }
            EventKind::Steady => self.move_to(Stage::Steady, now),
        }
    }

    fn phase_started(&mut self, phase: Phase, now: Instant) -> Option<NodeChange> {
        if phase == Phase::Steady {
            return self.move_to(Stage::Steady, now);
        }
        if !self
            .spans
            .iter()
            .any(|s| s.phase == Some(phase) && s.end.is_none())
        {
            self.spans.push(Span {
                phase: Some(phase),
                start: now,
                end: None,
            });
        }
        self.move_to(Stage::Working(phase), now)
    }

    fn phase_waits(
        &mut self,
        phase: Phase,
        what: &str,
        last_error: &str,
        now: Instant,
    ) -> Option<NodeChange> {
        let moved = self.move_to(Stage::Working(phase), now);
        if let Some(old) = self.trouble.take_if(|t| t.phase == phase) {
            self.earlier_trouble = Some(old);
        }
        let words = if last_error.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {last_error}")
        };
        let before = std::mem::replace(&mut self.waiting, words);
        moved.or_else(|| (before != self.waiting).then_some(NodeChange::Waiting))
    }

    fn phase_done(&mut self, phase: Phase, now: Instant) -> Option<NodeChange> {
        self.end_span(Some(phase), now);
        for failures in [&mut self.trouble, &mut self.earlier_trouble] {
            failures.take_if(|t| t.phase == phase);
        }
        if phase == Phase::Images {
            self.images = None;
        }
        None
    }

    /// Counts on from an earlier failure of the same phase.
    fn phase_failed(&mut self, mut trouble: Trouble) -> Option<NodeChange> {
        let of_same_phase = |t: &Trouble| t.phase == trouble.phase;
        let unbroken = self.trouble.take().filter(of_same_phase);
        if let Some(old) = &unbroken {
            trouble.since = old.since;
        }
        let earlier = self.earlier_trouble.take().filter(of_same_phase);
        if let Some(old) = unbroken.or(earlier) {
            trouble.attempts += old.attempts;
            trouble.first = old.first;
        }
        self.waiting = format!("failed: {}", trouble.error);
        self.trouble = Some(trouble);
        Some(NodeChange::Moved)
    }

    fn end_span(&mut self, phase: Option<Phase>, now: Instant) {
        if let Some(span) = self
            .spans
            .iter_mut()
            .find(|s| s.phase == phase && s.end.is_none())
        {
            span.end = Some(now);
        }
    }

    fn move_to(&mut self, stage: Stage, now: Instant) -> Option<NodeChange> {
        if self.stage == stage {
            return None;
        }
        (self.stage, self.since) = (stage, now);
        self.waiting.clear();
        Some(NodeChange::Moved)
    }

    /// Whether the phase that it is in has failed, and not ended well since.
    pub fn has_failed(&self) -> bool {
        self.trouble.is_some() || self.earlier_trouble.is_some()
    }

    /// The trouble, if it is bad enough to end the launch.
    pub fn hopeless(&self, now: Instant) -> Option<&Trouble> {
        self.trouble.as_ref().filter(|t| {
            let failing = now.duration_since(t.first);
            t.fatal
                || (t.attempts >= MAX_ATTEMPTS && failing >= MIN_FAILING)
                || now.duration_since(t.since) >= MAX_FAILING
        })
    }
}

#[cfg(test)]
mod tests;
