//! One node of a launch: what it says, what its console shows, what its machine does.

use std::time::{Duration, Instant};

use ha_cluster_file::cluster::Node;
use ha_host_base::text::shown_path;
use ha_providers::{Machine, Made, Provider};
use ha_wire::event::Beneath;
use ha_wire::format::FormatError;

use super::console::Console;
use super::event_tail::EventTail;
use super::node_progress::{NodeChange, NodeProgress, Stage};
use super::report::{FailedBeneath, FailureCause, LaunchEvent, NodeFailure, Report};
use crate::silent_node::Silence;

/// So many looks in a row must find a machine off: a reboot passes through off.
const OFF_LOOKS: u32 = 4;
/// A boot takes less; who then says nothing is asked why.
const LONG_SILENCE: Duration = Duration::from_secs(20);
/// So many lines of a failing program are kept.
const OUTPUT_LINES: usize = 12;

#[derive(Debug)]
pub struct NodeWatch {
    node: Node,
    pub progress: NodeProgress,
    /// Its agent gave up in an earlier launch.
    pub gave_up: bool,
    /// Nothing more is done for its machine by this launch.
    pub made: bool,
    not_made: Option<NodeFailure>,
    /// What its agent says of a node file that it cannot read.
    refused: Option<Silence>,
    /// What others boot its machine with, in words.
    by_others: Option<String>,
    events: EventTail,
    console: Console,
    off_in_a_row: u32,
}

impl NodeWatch {
    /// Takes in what earlier launches heard.
    pub fn new(node: &Node, provider: &dyn Provider, now: Instant) -> Self {
        let mut progress = NodeProgress::new(node, now);
        let mut events = EventTail::new(provider.events(node));
        let gave_up = progress.replay(&events.poll_history(), now);
        Self {
            node: node.clone(),
            progress,
            gave_up,
            made: false,
            not_made: None,
            refused: None,
            by_others: None,
            events,
            console: Console::new(provider.console(node)),
            off_in_a_row: 0,
        }
    }

    /// Takes in what it said since the last call.
    pub fn poll(&mut self, report: &mut dyn Report) {
        let now = Instant::now();
        for line in self.events.poll() {
            let change = match line {
                Ok(event) => {
                    let change = self.progress.apply(&event, now);
                    report.tell(&LaunchEvent::NodeSaid(&event));
                    change
                }
                Err(error) => self.not_understood(&error, report),
            };
            self.tell_change(change, report);
        }
        self.console.poll();
        if !self.progress.heard {
            self.progress.console = self.console.last().pop().unwrap_or_default();
        }
    }

    fn not_understood(
        &mut self,
        error: &FormatError,
        report: &mut dyn Report,
    ) -> Option<NodeChange> {
        let FormatError::Version { found, .. } = error else {
            return None;
        };
        if !self.progress.speaks_other_version(*found) {
            return None;
        }
        report.tell(&LaunchEvent::Warning(&format!(
            "{} is not heard: {error}",
            self.node.name
        )));
        Some(NodeChange::Moved)
    }

    fn tell_change(&self, change: Option<NodeChange>, report: &mut dyn Report) {
        if let Some(change) = change {
            report.tell(&LaunchEvent::NodeChanged(&self.progress, change));
        }
    }

    /// Its machine is being made.
    pub fn machine_begun(&mut self, report: &mut dyn Report) {
        self.progress.machine_begun(Instant::now());
        self.tell_change(Some(NodeChange::Moved), report);
    }

    /// Its machine is there, or cannot be.
    pub fn machine_made(&mut self, made: anyhow::Result<Made>, report: &mut dyn Report) {
        self.made = true;
        match made {
            Ok(Made::ByOthers { config }) => {
                self.progress.machine_runs(false, Instant::now());
                let words = format!("boot its machine with {}", shown_path(&config));
                if self.progress.stage == Stage::Booting {
                    self.progress.waiting.clone_from(&words);
                }
                self.by_others = Some(words);
            }
            Ok(made) => {
                let fresh = made != Made::Running;
                if fresh {
                    self.console.forget_earlier_boot();
                }
                self.progress.machine_runs(fresh, Instant::now());
            }
            Err(error) => {
                let lines = format!("{error:#}").lines().map(str::to_owned).collect();
                self.not_made = Some(self.failure_of(FailureCause::MachineNotMade, lines));
            }
        }
        self.tell_change(Some(NodeChange::Moved), report);
    }

    /// What its machine does now; none: not known.
    pub fn machine_seen(&mut self, state: Option<Machine>) {
        let off = self.made && matches!(state, Some(Machine::Off | Machine::Absent));
        self.off_in_a_row = if off { self.off_in_a_row + 1 } else { 0 };
    }

    /// Why it says nothing, as far as its machine shows; none: not known.
    pub fn silence_explained(&mut self, why: Option<&Silence>, report: &mut dyn Report) {
        self.refused = why.filter(|why| why.refusal.is_some()).cloned();
        let why = why.map(|why| &why.words).or(self.by_others.as_ref());
        let why = why.cloned().unwrap_or_default();
        if self.is_silent() && self.progress.waiting != why {
            self.progress.waiting = why;
            self.tell_change(Some(NodeChange::Waiting), report);
        }
    }

    /// The API says that it is Ready: of a machine that others made and that has no way for its agent's words, nobody says more.
    pub fn seen_ready(&mut self, report: &mut dyn Report) {
        if self.by_others.is_some() && self.is_silent() {
            let change = self.progress.ready_by_the_api(Instant::now());
            self.tell_change(change, report);
        }
    }

    /// What others are to boot its machine with; none: they need not, or did.
    pub fn boot_words(&self) -> Option<String> {
        self.by_others.clone().filter(|_| self.is_silent())
    }

    /// Others make its machine, and nothing shows yet that they did.
    pub fn is_awaited(&self) -> bool {
        self.by_others.is_some() && self.is_silent() && !self.is_steady()
    }

    /// It should have been heard by now, and was not.
    pub fn is_silent_for_long(&self) -> bool {
        let boots = self.made && self.progress.stage == Stage::Booting;
        boots && self.is_silent() && self.progress.since.elapsed() > LONG_SILENCE
    }

    /// Why a person is needed, if one is.
    pub fn failure(&self) -> Option<NodeFailure> {
        if self.not_made.is_some() {
            return self.not_made.clone();
        }
        if self.off_in_a_row >= OFF_LOOKS {
            return Some(self.at_the_console(FailureCause::PoweredOff, None));
        }
        if let Some(failure) = self.console.failure().filter(|_| !self.progress.heard) {
            let cause = FailureCause::NeverBooted(failure.how);
            return Some(self.at_the_console(cause, failure.cause.as_ref()));
        }
        if let Some(refused) = self.refused.as_ref().filter(|_| self.is_silent()) {
            let lines = std::iter::once(&refused.words).chain(&refused.refusal);
            let lines = lines.cloned().collect();
            return Some(self.failure_of(FailureCause::NodeFileRefused, lines));
        }
        let trouble = self.progress.hopeless(Instant::now())?;
        let cause = FailureCause::PhaseFailed {
            phase: trouble.phase,
            attempts: trouble.attempts,
            failing: trouble.first.elapsed(),
        };
        let tail = &trouble.tail[trouble.tail.len().saturating_sub(OUTPUT_LINES)..];
        let rest = tail.iter().filter(|line| **line != trouble.error);
        let output = std::iter::once(&trouble.error).chain(rest).cloned();
        let mut failure = self.failure_of(cause, output.collect());
        let of_cause = |found: &Beneath| FailedBeneath {
            found: found.clone(),
            key: None,
        };
        failure.beneath = trouble.beneath.as_ref().map(of_cause);
        Some(failure)
    }

    /// With the last lines of its console, the cause first.
    fn at_the_console(&self, cause: FailureCause, first: Option<&String>) -> NodeFailure {
        let rest = self.console.last().into_iter();
        let rest = rest.filter(|line| Some(line) != first);
        let place = format!("console: {}", shown_path(self.console.path()));
        let output = first.cloned().into_iter().chain(rest).chain([place]);
        self.failure_of(cause, output.collect())
    }

    fn failure_of(&self, cause: FailureCause, output: Vec<String>) -> NodeFailure {
        NodeFailure {
            node: self.node.name.clone(),
            role: self.node.role,
            cause,
            output,
            beneath: None,
        }
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn is_steady(&self) -> bool {
        self.progress.stage == Stage::Steady
    }

    /// Nothing was heard of its agent, not even in another version's words.
    pub fn is_silent(&self) -> bool {
        !self.progress.heard && self.progress.other_version.is_none()
    }
}
