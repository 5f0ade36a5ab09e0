//! The loop of a launch: makes the machines, hears the nodes, asks the cluster, until it is whole or lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::interrupt::{Cause, Interrupt};
use ha_wire::phase::{Phase, Role};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

mod end;

use super::node_progress::{NodeProgress, Stage};
use super::node_watch::NodeWatch;
use super::observe::{self, MachineJob, Observation, Sender, SilentNodes};
use super::phase_timings::PhaseTimings;
use super::report::{Failures, LaunchEvent, NODES, Report, Unfinished, UnfinishedNode};
use super::{Launch, founding, origin};
use crate::api::{self, Api, ClusterView};
use crate::pki::Pki;
use crate::state::ClusterStore;
use crate::{node_status, silent_node};

/// How often the event files are read.
const TICK: Duration = Duration::from_millis(100);
/// Pause between looks at the cluster until every node said that its network stands.
const PAUSE: u64 = 700;
/// Pause between looks when the end is near.
const PAUSE_NEAR_END: u64 = 200;
/// A whole cluster with a node that says nothing for so long has no way for its words.
const UNHEARD: Duration = Duration::from_secs(60);
/// So long after its begin a launch names the machines of others that nothing was heard of: a boot, and its images, take less.
const AWAITED: Duration = Duration::from_secs(300);
/// What makes one node fail often makes others fail moments later: so long they are waited for, to be named together.
const SETTLE: Duration = Duration::from_secs(2);

/// How a launch ended.
#[derive(Debug)]
pub enum Outcome {
    /// The cluster is whole.
    Ready {
        look: Box<ClusterView>,
        timings: PhaseTimings,
        /// Which node holds the VIP, if it says so.
        vip_holder: Option<String>,
    },
    /// Nodes need a person.
    Failed(Failures),
    TimedOut(Unfinished),
    Interrupted,
}

/// One launch at work.
pub struct Follow<'a> {
    launch: &'a Launch<'a>,
    store: &'a ClusterStore,
    pki: &'a Pki,
    report: &'a mut dyn Report,
    nodes: Vec<NodeWatch>,
    look: ClusterView,
    /// Since when the cluster looks whole.
    whole_since: Option<Instant>,
    /// Since when a node needs a person.
    failing_since: Option<Instant>,
    pause: Arc<AtomicU64>,
    silent: SilentNodes,
    warned_of_awaited: bool,
}

impl<'a> Follow<'a> {
    /// Takes in what earlier launches heard.
    pub fn new(
        launch: &'a Launch<'a>,
        store: &'a ClusterStore,
        pki: &'a Pki,
        report: &'a mut dyn Report,
    ) -> Self {
        let now = Instant::now();
        let nodes = launch.source.cluster.nodes.iter();
        Self {
            launch,
            store,
            pki,
            report,
            nodes: nodes
                .map(|node| NodeWatch::new(node, &*launch.judged.provider, now))
                .collect(),
            look: ClusterView::default(),
            whole_since: None,
            failing_since: None,
            pause: Arc::new(AtomicU64::new(PAUSE)),
            silent: SilentNodes::default(),
            warned_of_awaited: false,
        }
    }

    fn cluster(&self) -> &'a Cluster {
        &self.launch.source.cluster
    }

    pub async fn run(mut self) -> Result<Outcome> {
        let (to, mut observed) = unbounded_channel();
        self.report.tell(&LaunchEvent::StepBegun(NODES));
        self.start(&to)?;
        let interrupt = Interrupt::of_process();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = interrupt.wait() => return Ok(self.cut_off()),
                _ = tick.tick() => {}
            }
            self.handle_observations(&mut observed)?;
            // After it is known which machines are made: then no console that is there goes unread.
            for node in &mut self.nodes {
                node.poll(self.report);
            }
            self.note_silent_nodes();
            self.warn_of_awaited_nodes();
            if self.is_whole() {
                return self.ready().await;
            }
            if let Some(outcome) = self.outcome() {
                // The last questions take seconds: somebody may not have waited for their answers.
                return Ok(match (outcome, interrupt.asked()) {
                    (Outcome::TimedOut(_), true) => self.cut_off(),
                    (outcome, _) => outcome,
                });
            }
            let nodes: Vec<&NodeProgress> = self.nodes.iter().map(|n| &n.progress).collect();
            self.report.tell(&LaunchEvent::Tick(&nodes));
        }
    }

    fn start(&self, to: &Sender) -> Result<()> {
        let (cluster, provider) = (self.cluster(), &self.launch.judged.provider);
        let mut jobs: Vec<MachineJob> = cluster
            .nodes
            .iter()
            .zip(&self.nodes)
            .enumerate()
            .map(|(index, (node, watch))| MachineJob {
                index,
                node: node.clone(),
                ignition: self.store.ignition(&node.name),
                gave_up: watch.gave_up,
            })
            .collect();
        // Workers can do nothing before the control planes stand, and those nothing to an end without a VIP.
        jobs.sort_by_key(|job| job.node.role == Role::Worker);
        observe::make_machines(provider, jobs, self.launch.options.parallel, to);
        observe::watch_machines(provider.clone(), cluster.nodes.clone(), to.clone());
        observe::watch_silent_nodes(provider.clone(), self.silent.clone(), to.clone());
        let api = Api::new(cluster, self.pki, provider.clone())?;
        tokio::spawn(observe::watch_cluster(api, self.pause.clone(), to.clone()));
        Ok(())
    }

    /// Tells who asks them.
    fn note_silent_nodes(&self) {
        let silent = self.nodes.iter().filter(|n| n.is_silent_for_long());
        let silent = silent.map(|n| n.node().clone()).collect();
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = silent;
    }

    /// Once: whoever boots the machines may think that all of them were.
    fn warn_of_awaited_nodes(&mut self) {
        if self.warned_of_awaited || self.launch.begun.elapsed() < AWAITED {
            return;
        }
        self.warned_of_awaited = true;
        let awaited = self.nodes.iter().filter(|node| node.is_awaited());
        let names: Vec<&str> = awaited.map(|node| node.node().name.as_str()).collect();
        if !names.is_empty() {
            self.report.tell(&LaunchEvent::Warning(&format!(
                "nothing was heard of {} yet: was each machine booted with its own config, on the network of the nodes' addresses?",
                names.join(", ")
            )));
        }
    }

    fn handle_observations(&mut self, observed: &mut UnboundedReceiver<Observation>) -> Result<()> {
        while let Ok(observation) = observed.try_recv() {
            match observation {
                Observation::Making(index) => self.nodes[index].machine_begun(self.report),
                Observation::Made(index, made) => {
                    self.nodes[index].machine_made(made, self.report);
                }
                Observation::Warning(text) => self.report.tell(&LaunchEvent::Warning(&text)),
                Observation::Machines(states) => {
                    for (node, state) in self.nodes.iter_mut().zip(states) {
                        node.machine_seen(state);
                    }
                }
                Observation::Silence(why) => {
                    for node in self.nodes.iter_mut().filter(|n| n.is_silent_for_long()) {
                        let why = why.get(&node.node().name);
                        node.silence_explained(why, self.report);
                    }
                }
                Observation::Cluster(look) => self.cluster_seen(*look)?,
            }
        }
        Ok(())
    }

    fn cluster_seen(&mut self, look: ClusterView) -> Result<()> {
        let cluster = self.cluster();
        if look.vip.is_ok() && self.look.vip.is_err() {
            founding::close_founding(self.store, cluster)?;
        }
        if look != self.look {
            self.report
                .tell(&LaunchEvent::ClusterChanged(&look, cluster));
        }
        self.look = look;
        for node in &mut self.nodes {
            if self.look.is_ready(&node.node().name) {
                node.seen_ready(self.report);
            }
        }
        let whole = api::describe_missing(cluster, &self.look).is_empty();
        self.whole_since = whole.then(|| self.whole_since.unwrap_or_else(Instant::now));
        let late = |n: &NodeProgress| {
            matches!(
                n.stage,
                Stage::Steady | Stage::Working(Phase::Network | Phase::Finish)
            )
        };
        let mut nodes = self.nodes.iter().map(|n| &n.progress);
        let near = self.look.vip.is_ok() && nodes.all(|n| late(n) || !n.heard);
        self.pause
            .store(if near { PAUSE_NEAR_END } else { PAUSE }, Ordering::Relaxed);
        Ok(())
    }

    fn outcome(&mut self) -> Option<Outcome> {
        let failed = self.nodes.iter().any(|n| n.failure().is_some());
        self.failing_since = failed.then(|| self.failing_since.unwrap_or_else(Instant::now));
        let timed_out = self.launch.begun.elapsed() >= self.launch.options.timeout;
        match self.failing_since {
            Some(since) if timed_out || (self.all_made() && since.elapsed() >= SETTLE) => {
                Some(Outcome::Failed(self.failures()))
            }
            None if timed_out => Some(Outcome::TimedOut(self.unfinished())),
            _ => None,
        }
    }

    /// By a signal; the time was up just before the nodes were followed, or is now.
    fn cut_off(&self) -> Outcome {
        match Interrupt::of_process().cause() {
            Some(Cause::TimeUp) => Outcome::TimedOut(self.unfinished()),
            _ => Outcome::Interrupted,
        }
    }

    fn all_made(&self) -> bool {
        self.nodes.iter().all(|n| n.made)
    }

    /// The API says so, and every node says so too: the API may still remember an old machine of that name as Ready.
    /// A node whose words do not reach us at all is taken at the API's word after a while.
    fn is_whole(&self) -> bool {
        let Some(since) = self.whole_since else {
            return false;
        };
        let silent = since.elapsed() > UNHEARD;
        let done = |n: &NodeProgress| n.stage == Stage::Steady || (!n.heard && silent);
        self.all_made() && self.nodes.iter().all(|n| done(&n.progress))
    }

    fn failures(&self) -> Failures {
        let cluster = self.cluster();
        let mut nodes: Vec<_> = self.nodes.iter().filter_map(NodeWatch::failure).collect();
        for beneath in nodes.iter_mut().filter_map(|n| n.beneath.as_mut()) {
            beneath.key = origin::key_of(cluster, &beneath.found);
        }
        let others = cluster
            .nodes
            .iter()
            .filter(|n| n.role.is_kubernetes_node())
            .filter(|n| !nodes.iter().any(|failed| failed.node == n.name));
        Failures {
            cluster: cluster.name.clone(),
            file: self.launch.source.path.clone(),
            others: others.clone().count(),
            others_ready: others.filter(|n| self.look.is_ready(&n.name)).count(),
            nodes,
        }
    }

    /// What every node waits for. Those that say nothing are asked why, and for the last line of their agent's journal.
    fn unfinished(&self) -> Unfinished {
        let late = self.nodes.iter().filter(|n| !n.is_steady());
        let silent: Vec<&Node> = late
            .clone()
            .filter(|n| n.is_silent())
            .map(NodeWatch::node)
            .collect();
        let provider = &*self.launch.judged.provider;
        let mut why = silent_node::explain_silence(provider, &silent);
        let mut journals = node_status::agent_journals(&silent, provider, 1);
        let mut words = |n: &NodeWatch| {
            let node = &n.node().name;
            let journal = journals.remove(node).unwrap_or_default();
            let said = why.remove(node).map(|why| why.words);
            let said = said.unwrap_or_else(|| journal.join(" "));
            match said.is_empty() {
                true => n.boot_words().unwrap_or_default(),
                false => said,
            }
        };
        let unfinished = |n: &NodeWatch| UnfinishedNode {
            progress: n.progress.clone(),
            journal: words(n),
        };
        Unfinished {
            took: self.launch.begun.elapsed(),
            nodes: late.map(unfinished).collect(),
            missing: api::describe_missing(self.cluster(), &self.look),
            stopped_at: None,
            file: self.launch.source.path.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
