//! What a launch reports, and to whom: facts. How they look is the business of whoever implements [`Report`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar;
use ha_providers::Finding;
use ha_wire::event::{Beneath, Event};
use ha_wire::phase::{Phase, Role};

use super::node_progress::{NodeChange, NodeProgress};
pub use super::phase_timings::PhaseTimings;
use crate::api::ClusterView;
use crate::state::ClusterDir;

/// The step in which the nodes are made and followed. The launch itself keeps the time then.
pub const NODES: &str = "nodes";

/// Someone who tells people (or programs) how a launch goes.
pub trait Report {
    /// Takes in what happened; called in the order in which things happen.
    fn tell(&mut self, happened: &LaunchEvent<'_>);
    /// Where a long download shows how far it is.
    fn download_bar(&self) -> Box<dyn Bar>;
}

/// One thing that happened in a launch.
#[derive(Debug)]
pub enum LaunchEvent<'a> {
    Begun(&'a Cluster),
    /// One of the host's own steps begins.
    StepBegun(&'static str),
    /// One of the host's own steps went well; what it found.
    StepDone(&'static str, &'a [String]),
    /// Something does not end the launch, but a person should know it.
    Warning(&'a str),
    /// A node's agent said something.
    NodeSaid(&'a Event),
    /// A node is somewhere else, or waits for something else.
    NodeChanged(&'a NodeProgress, NodeChange),
    /// The cluster shows something new.
    ClusterChanged(&'a ClusterView, &'a Cluster),
    /// Every node is there, and this is what the cluster still needs.
    ClusterAwaited(&'a [String]),
    /// Time passed; every node in the file's order.
    Tick(&'a [&'a NodeProgress]),
    /// The state directory is this launch's to write, and the cluster's record is in it.
    StateHeld(&'a ClusterDir),
    /// The launch's picture was written; told just before the end.
    PictureWritten(&'a Path),
    Ended(&'a End),
    /// It ended with an error of this program; people read that on standard error anyway.
    Broken(&'a anyhow::Error),
}

/// How a launch ended, with everything there is to say.
#[derive(Debug)]
pub enum End {
    /// The cluster is whole.
    Ready(Summary),
    /// It was whole before.
    AlreadyReady(Summary),
    /// This machine cannot carry the cluster: what is wrong with it.
    HostUnfit(Vec<Finding>),
    /// Nodes need a person.
    Failed(Failures),
    /// It took too long.
    TimedOut(Unfinished),
    /// Ctrl-C; the cluster file.
    Interrupted(PathBuf),
}

#[derive(Debug)]
pub struct Summary {
    pub cluster: String,
    pub nodes: usize,
    /// The first of them, as an example.
    pub first_node: String,
    pub control_planes: usize,
    /// How many etcd members vote; 0: not asked.
    pub members: usize,
    /// Which node holds the VIP, if it says so.
    pub vip_holder: Option<String>,
    /// How many pods of CoreDNS serve, and of how many; none: not known.
    pub dns: Option<(usize, u32)>,
    pub took: Duration,
    pub kubeconfig: PathBuf,
    pub timings: PhaseTimings,
}

/// The nodes that ended a launch.
#[derive(Debug)]
pub struct Failures {
    pub cluster: String,
    pub file: PathBuf,
    /// In the file's order, at least one.
    pub nodes: Vec<NodeFailure>,
    /// How many of the other nodes are Ready.
    pub others_ready: usize,
    pub others: usize,
}

/// What one node's failure looks like from outside.
#[derive(Debug, Clone)]
pub struct NodeFailure {
    pub node: String,
    pub role: Role,
    pub cause: FailureCause,
    /// The failing program's own lines, or the console's.
    pub output: Vec<String>,
    /// What failed beneath the phase's own program, if that was found.
    pub beneath: Option<FailedBeneath>,
}

/// What failed beneath the program of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedBeneath {
    /// As the node says it.
    pub found: Beneath,
    /// The key of the cluster file that it comes from; none: from no key, or not known.
    pub key: Option<String>,
}

/// How a boot ended before the agent could begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootEnd {
    /// On a machine's first boot; there is no second one before Ignition succeeds.
    IgnitionFailed,
    KernelPanic,
    EmergencyShell,
}

/// Why a node is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// The provider could not make its machine.
    MachineNotMade,
    /// Its machine went off.
    PoweredOff,
    /// Its boot ended before its agent could begin.
    NeverBooted(BootEnd),
    /// Its agent cannot read what this program wrote for it.
    NodeFileRefused,
    /// A phase of its agent fails and will not succeed by itself.
    PhaseFailed {
        phase: Phase,
        attempts: u32,
        /// Since the first failed attempt.
        failing: Duration,
    },
}

/// What a launch waited for when its time was up.
#[derive(Debug)]
pub struct Unfinished {
    pub took: Duration,
    pub nodes: Vec<UnfinishedNode>,
    /// What the cluster lacks as a whole, one line each.
    pub missing: Vec<String>,
    /// The host's own step that it was at, if it was not at the nodes yet.
    pub stopped_at: Option<&'static str>,
    pub file: PathBuf,
}

/// A node that is not steady yet.
#[derive(Debug)]
pub struct UnfinishedNode {
    pub progress: NodeProgress,
    /// Why it is silent, or the last line of its agent's journal, asked for if nothing else was heard of it; may be empty.
    pub journal: String,
}
