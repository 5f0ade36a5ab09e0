//! Everything that a launch hears of, from threads and tasks, in one queue.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Node;
use ha_providers::{Machine, Made, Provider};
use tokio::sync::mpsc::UnboundedSender;

use crate::api::{Api, ClusterView};
use crate::silent_node::Silence;
use crate::{node_status, silent_node};

/// How often the machines are looked at: a look is cheap, but five nodes share this machine's processors.
const MACHINES: Duration = Duration::from_secs(1);
/// How often booted nodes that say nothing are asked why: each is a process there, and a boot takes longer.
const SILENCE: Duration = Duration::from_secs(10);
/// systemd takes the order to restart the agent and does not wait for it; a node that hangs longer than this is not well.
const RESTART: Duration = Duration::from_secs(30);

/// One thing seen or done.
#[derive(Debug)]
pub enum Observation {
    /// A node's machine is being made.
    Making(usize),
    /// A node's machine was made, or what could not be done and why.
    Made(usize, Result<Made>),
    /// Something to tell people that ends nothing.
    Warning(String),
    /// What every machine does.
    Machines(Vec<Option<Machine>>),
    /// Why those of the nodes say nothing that were asked, by their names.
    Silence(BTreeMap<String, Silence>),
    /// What the cluster showed.
    Cluster(Box<ClusterView>),
}

/// The nodes that have said nothing for long.
pub type SilentNodes = Arc<Mutex<Vec<Node>>>;

/// Where observations go. Nobody listens any more once the launch has ended.
pub type Sender = UnboundedSender<Observation>;

/// A machine to make.
#[derive(Debug)]
pub struct MachineJob {
    pub index: usize,
    pub node: Node,
    pub ignition: PathBuf,
    /// Its agent gave up in an earlier launch: if the machine still runs, the agent is told to try again.
    pub gave_up: bool,
}

/// Makes machines in the order given, so many at a time. The process may end before they are made: a second launch goes on.
pub fn make_machines(
    provider: &Arc<dyn Provider>,
    jobs: Vec<MachineJob>,
    parallel: usize,
    to: &Sender,
) {
    let workers = parallel.min(jobs.len());
    let (jobs, next) = (Arc::new(jobs), Arc::new(AtomicUsize::new(0)));
    for _ in 0..workers {
        let (provider, to) = (provider.clone(), to.clone());
        let (jobs, next) = (jobs.clone(), next.clone());
        std::thread::spawn(move || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if to.send(Observation::Making(job.index)).is_err() {
                    return;
                }
                let made = job.make(&*provider, &to);
                if to.send(Observation::Made(job.index, made)).is_err() {
                    return;
                }
            }
        });
    }
}

impl MachineJob {
    fn make(&self, provider: &dyn Provider, to: &Sender) -> Result<Made> {
        let made = provider.ensure(&self.node, &self.ignition)?;
        if let Made::New {
            warning: Some(warning),
        } = &made
        {
            let warning = format!("{}: {warning}", self.node.name);
            let _ = to.send(Observation::Warning(warning));
        }
        if let Err(error) = create_event_file(&provider.events(&self.node)) {
            let warning = format!("{} will not be heard: {error:#}", self.node.name);
            let _ = to.send(Observation::Warning(warning));
        }
        if self.gave_up
            && made == Made::Running
            && let Err(error) = restart_agent(provider, &self.node)
        {
            let name = &self.node.name;
            let warning = format!(
                "{name}: its agent gave up in an earlier launch and could not be told to try again ({error:#}): launch again \
                 once {name} answers, or restart its machine"
            );
            let _ = to.send(Observation::Warning(warning));
        }
        Ok(made)
    }
}

/// Somebody mended what the agent gave up on, or it will say so again.
fn restart_agent(provider: &dyn Provider, node: &Node) -> Result<()> {
    let argv = ["systemctl", "restart", "--no-block", "ha-agent.service"];
    node_status::run_on_node(provider, node, &argv, RESTART).map(|_| ())
}

/// The agent writes into what is there and makes nothing, or a missing port would become a file. A provider whose
/// channel is not a plain file has made it by now.
pub fn create_event_file(path: &Path) -> Result<()> {
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .map(|_| ())
        .with_context(|| format!("cannot make {}", path.display()))
}

/// Looks at every machine, for ever.
pub fn watch_machines(provider: Arc<dyn Provider>, nodes: Vec<Node>, to: Sender) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(MACHINES);
            let states = provider.known_states(&nodes);
            if to.send(Observation::Machines(states)).is_err() {
                return;
            }
        }
    });
}

/// Asks the nodes that say nothing why, for ever.
pub fn watch_silent_nodes(provider: Arc<dyn Provider>, silent: SilentNodes, to: Sender) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(SILENCE);
            let nodes = silent
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let nodes: Vec<&Node> = nodes.iter().collect();
            let why = silent_node::explain_silence(&*provider, &nodes);
            if to.send(Observation::Silence(why)).is_err() {
                return;
            }
        }
    });
}

/// Looks at the cluster, for ever, with a pause that may change meanwhile.
pub async fn watch_cluster(api: Api, pause_ms: Arc<AtomicU64>, to: Sender) {
    loop {
        if to
            .send(Observation::Cluster(Box::new(api.observe().await)))
            .is_err()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(pause_ms.load(Ordering::Relaxed))).await;
    }
}
