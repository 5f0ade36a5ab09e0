//! What the facts of a launch tell: a row a node, bars and marks in it. Pure.

use std::collections::BTreeMap;

use ha_wire::event::{Event, EventKind, WaitsOn};
use ha_wire::phase::{Phase, Role};

use super::kept::{Fact, KeptEnd, KeptFact, KeptFailure, KeptNode};
use crate::launch::node_progress::Stage;

/// Shorter stretches of a phase that had nothing to do are not bars.
const LEAST_BAR_MS: u64 = 50;

/// One launch.
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchStory {
    pub cluster: String,
    pub vip: String,
    /// Somebody else's balancer has that address.
    pub external: bool,
    pub kubernetes: String,
    pub provider: String,
    pub program: String,
    pub began_ms: u64,
    pub rows: Vec<Row>,
    /// When an apiserver first answered at the VIP.
    pub api_at: Option<u64>,
    pub vip_holder: Option<String>,
    /// None: it was cut off, or goes on.
    pub end: Option<KeptEnd>,
    /// When it ended, or was last heard of.
    pub end_ms: u64,
    pub last_words: Vec<String>,
    pub failed: Vec<KeptFailure>,
    pub warnings: Vec<(u64, String)>,
    pub spent: Vec<(String, u64)>,
    /// The host's own steps: name and begin.
    pub steps: Vec<(String, u64)>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub node: KeptNode,
    /// Its agent's version, if it said so.
    pub agent: String,
    /// One after the other.
    pub bars: Vec<Bar>,
    /// Images, which come meanwhile.
    pub images: Option<(u64, u64)>,
    pub marks: Vec<Mark>,
    pub steady_at: Option<u64>,
    pub ready_at: Option<u64>,
}

/// What a node is at in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StretchKind {
    Boot,
    Wait,
    Work,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub kind: StretchKind,
    pub stage: Stage,
    pub from: u64,
    pub to: u64,
    /// It had not ended when the launch did.
    pub cut: bool,
    /// What was said meanwhile, and when.
    pub words: Vec<(u64, String)>,
    pub on: Option<WaitsOn>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub at: u64,
    pub phase: Phase,
    pub error: String,
    pub tail: Vec<String>,
    /// The agent gave up.
    pub fatal: bool,
}

impl LaunchStory {
    /// Reads facts in their order; the first says which launch it is.
    pub fn of_facts(facts: &[KeptFact]) -> Self {
        let mut story = Self::empty();
        for fact in facts {
            story.end_ms = story.end_ms.max(fact.at_ms);
            story.take(fact.at_ms, &fact.what);
        }
        for row in &mut story.rows {
            row.close(story.end_ms, true);
            if let Some((_, end)) = &mut row.images {
                *end = (*end).min(story.end_ms);
            }
        }
        story
    }

    fn empty() -> Self {
        Self {
            cluster: String::new(),
            vip: String::new(),
            external: false,
            kubernetes: String::new(),
            provider: String::new(),
            program: String::new(),
            began_ms: 0,
            rows: Vec::new(),
            api_at: None,
            vip_holder: None,
            end: None,
            end_ms: 0,
            last_words: Vec::new(),
            failed: Vec::new(),
            warnings: Vec::new(),
            spent: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn take(&mut self, at: u64, fact: &Fact) {
        match fact {
            Fact::Begun {
                cluster,
                nodes,
                vip,
                external,
                kubernetes,
                provider,
                program,
                began_ms,
            } => {
                self.cluster.clone_from(cluster);
                self.vip.clone_from(vip);
                self.external = *external;
                self.kubernetes.clone_from(kubernetes);
                self.provider.clone_from(provider);
                self.program.clone_from(program);
                self.began_ms = *began_ms;
                self.rows = nodes.iter().map(Row::new).collect();
            }
            Fact::Step { step } => self.steps.push((step.clone(), at)),
            Fact::Warning { message } => self.warnings.push((at, message.clone())),
            Fact::Said { event } => {
                if let Some(row) = self.row(&event.node) {
                    row.said(at, event);
                }
            }
            Fact::Moved { node, stage } => {
                if let Some(row) = self.row(node) {
                    row.moved(at, *stage);
                }
            }
            Fact::Cluster { vip, ready } => {
                if *vip {
                    self.api_at.get_or_insert(at);
                }
                for row in &mut self.rows {
                    if ready.contains(&row.node.name) {
                        row.ready_at.get_or_insert(at);
                    }
                }
            }
            Fact::Ended {
                end,
                words,
                failed,
                vip_holder,
                spent,
            } => {
                self.end = Some(*end);
                self.last_words.clone_from(words);
                self.failed.clone_from(failed);
                self.vip_holder.clone_from(vip_holder);
                self.spent.clone_from(spent);
            }
            Fact::Other => {}
        }
    }

    fn row(&mut self, node: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.node.name == node)
    }

    /// Each version that agents spoke of, with how many.
    pub fn agents(&self) -> BTreeMap<&str, usize> {
        let mut agents = BTreeMap::new();
        for row in self.rows.iter().filter(|row| !row.agent.is_empty()) {
            *agents.entry(row.agent.as_str()).or_default() += 1;
        }
        agents
    }

    /// How many nodes have this role.
    pub fn count(&self, role: Role) -> usize {
        self.rows.iter().filter(|r| r.node.role == role).count()
    }
}

impl Row {
    fn new(node: &KeptNode) -> Self {
        Self {
            node: node.clone(),
            agent: String::new(),
            bars: Vec::new(),
            images: None,
            marks: Vec::new(),
            steady_at: None,
            ready_at: None,
        }
    }

    fn moved(&mut self, at: u64, stage: Stage) {
        match stage {
            Stage::Making | Stage::Booting => self.open(at, stage, StretchKind::Boot, None),
            Stage::Steady | Stage::Working(Phase::Steady) => self.end(at),
            // It goes on where an earlier launch left it: its agent may not say the phase's name again.
            Stage::Working(phase)
                if self
                    .open_bar()
                    .is_none_or(|bar| bar.kind == StretchKind::Boot) =>
            {
                self.open(at, stage, kind_of(phase), None);
            }
            Stage::Working(_) | Stage::Waiting => {}
        }
    }

    fn said(&mut self, at: u64, event: &Event) {
        match &event.what {
            EventKind::Hello { agent, .. } => {
                self.agent.clone_from(agent);
                self.close(at, false);
            }
            EventKind::Started {
                phase: Phase::Images,
                ..
            } => self.images = Some((at, u64::MAX)),
            EventKind::Done {
                phase: Phase::Images,
                ..
            } => {
                if let Some((_, end)) = &mut self.images {
                    *end = at;
                }
            }
            EventKind::Started {
                phase: Phase::Steady,
                ..
            }
            | EventKind::Steady => self.end(at),
            EventKind::Started { phase, .. } => {
                let stage = Stage::Working(*phase);
                if self.open_bar().is_none_or(|bar| bar.stage != stage) {
                    self.open(at, stage, kind_of(*phase), None);
                }
            }
            EventKind::Waiting {
                phase,
                what,
                last_error,
                on,
            } if !phase.is_background() => self.waits(at, *phase, what, last_error, on.as_ref()),
            EventKind::Done { phase, .. } => {
                let stage = Stage::Working(*phase);
                if self.open_bar().is_some_and(|bar| bar.stage == stage) {
                    self.close(at, false);
                }
            }
            EventKind::Failed {
                phase,
                error,
                tail,
                retry_ms,
                ..
            } => {
                self.marks.push(Mark {
                    at,
                    phase: *phase,
                    error: error.clone(),
                    tail: tail.clone(),
                    fatal: retry_ms.is_none(),
                });
                // Nobody works on it any more.
                if retry_ms.is_none() {
                    self.close(at, true);
                }
            }
            EventKind::Waiting { .. } | EventKind::Progress { .. } => {}
        }
    }

    fn waits(&mut self, at: u64, phase: Phase, what: &str, last_error: &str, on: Option<&WaitsOn>) {
        let stage = Stage::Working(phase);
        let kind = match on {
            Some(_) => StretchKind::Wait,
            None => kind_of(phase),
        };
        let goes_on = |bar: &Bar| {
            let same = bar.words.is_empty() || is_same_hold(bar.on.as_ref(), on);
            bar.stage == stage && bar.kind == kind && same
        };
        if !self.open_bar().is_some_and(goes_on) {
            self.open(at, stage, kind, on.cloned());
        }
        let words = match last_error {
            "" => what.to_owned(),
            error => format!("{what}: {error}"),
        };
        if let Some(bar) = self.bars.last_mut() {
            if !matches!(on, Some(WaitsOn::Lease { holder, .. }) if holder.is_empty()) {
                bar.on = on.cloned();
            }
            if bar.words.last().is_none_or(|(_, last)| *last != words) {
                bar.words.push((at, words));
            }
        }
    }

    fn open_bar(&self) -> Option<&Bar> {
        self.bars.last().filter(|bar| bar.to == u64::MAX)
    }

    fn open(&mut self, at: u64, stage: Stage, kind: StretchKind, on: Option<WaitsOn>) {
        self.close(at, false);
        self.bars.push(Bar {
            kind,
            stage,
            from: at,
            to: u64::MAX,
            cut: false,
            words: Vec::new(),
            on,
        });
    }

    fn close(&mut self, at: u64, cut: bool) {
        if let Some(bar) = self.bars.last_mut().filter(|bar| bar.to == u64::MAX) {
            (bar.to, bar.cut) = (at, cut);
        }
        let nothing =
            |bar: &Bar| bar.to.saturating_sub(bar.from) < LEAST_BAR_MS && bar.words.is_empty();
        if !cut && self.bars.last().is_some_and(nothing) {
            self.bars.pop();
        }
    }

    fn end(&mut self, at: u64) {
        self.close(at, false);
        self.steady_at.get_or_insert(at);
    }
}

/// A look at a Lease that failed does not say that another node holds it.
fn is_same_hold(before: Option<&WaitsOn>, now: Option<&WaitsOn>) -> bool {
    match (before, now) {
        (
            Some(WaitsOn::Lease { name, holder }),
            Some(WaitsOn::Lease {
                name: now_name,
                holder: now_holder,
            }),
        ) => {
            name == now_name && (holder == now_holder || holder.is_empty() || now_holder.is_empty())
        }
        (before, now) => before == now,
    }
}

/// What a node mostly does in a phase.
fn kind_of(phase: Phase) -> StretchKind {
    match phase {
        Phase::Gate | Phase::Network => StretchKind::Wait,
        _ => StretchKind::Work,
    }
}
