//! The whole look at a cluster: over the network, and beside it what its machines and agents say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Cluster;
use ha_health::cluster::{AgentView, AgentWord, ClusterView, Machine};
use ha_providers::Provider;

use super::Api;
use crate::node_status::{self, NodeAnswer};

/// What one look at everything showed.
#[derive(Debug)]
pub struct WholeLook {
    /// All that the judgement needs.
    pub view: ClusterView,
    /// What every node says of itself, in the cluster file's order.
    pub answers: Vec<NodeAnswer>,
}

/// Asks the API, etcd, every machine and every agent, side by side. `begin`: what the network shows, if some of it is known.
pub async fn look_at_everything(
    api: &Api,
    cluster: &Cluster,
    provider: &Arc<dyn Provider>,
    begin: Option<ClusterView>,
) -> Result<WholeLook> {
    let (asked, of_nodes) = (cluster.clone(), provider.clone());
    let nodes = JoinedThread::start(move || ask_nodes(&asked, &of_nodes));
    let mut view = match begin {
        None => api.observe_all().await,
        Some(mut view) => {
            api.add_facts(&mut view).await;
            view
        }
    };
    let (answers, machines) = nodes.join()?;
    view.agents = agent_views(cluster, &answers, &machines);
    Ok(WholeLook { view, answers })
}

/// What machines and agents show, by node; both in the cluster file's order.
pub fn agent_views(
    cluster: &Cluster,
    answers: &[NodeAnswer],
    machines: &[Option<ha_providers::Machine>],
) -> BTreeMap<String, AgentView> {
    let nodes = cluster.nodes.iter().zip(answers).zip(machines);
    nodes
        .map(|((node, answer), machine)| (node.name.clone(), agent_view(answer, *machine)))
        .collect()
}

type Nodes = (Vec<NodeAnswer>, Vec<Option<ha_providers::Machine>>);

/// A thread that its starter outlives, also if it is interrupted: the thread's own children end with it.
struct JoinedThread<T>(Option<JoinHandle<T>>);

impl<T: Send + 'static> JoinedThread<T> {
    fn start(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(Some(std::thread::spawn(work)))
    }

    fn join(mut self) -> Result<T> {
        let thread = self.0.take().and_then(|thread| thread.join().ok());
        thread.context("the thread that asks the nodes panicked")
    }
}

impl<T> Drop for JoinedThread<T> {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // Nobody waits for its result any more.
            let _ = thread.join();
        }
    }
}

fn ask_nodes(cluster: &Cluster, provider: &Arc<dyn Provider>) -> Nodes {
    let answers = node_status::node_statuses(cluster, &**provider);
    let machines = if cluster.provider.makes_machines() {
        provider.known_states(&cluster.nodes)
    } else {
        vec![None; cluster.nodes.len()]
    };
    (answers, machines)
}

fn agent_view(answer: &NodeAnswer, machine: Option<ha_providers::Machine>) -> AgentView {
    let word = match answer {
        NodeAnswer::Silent => AgentWord::Unreachable,
        NodeAnswer::NoStatus { failed_units } => AgentWord::NoStatus {
            failed_units: failed_units.clone(),
        },
        NodeAnswer::OtherVersion(version) => AgentWord::OtherVersion(*version),
        NodeAnswer::Status { status, now_ms, .. } => AgentWord::Status {
            status: status.clone(),
            now_ms: Some(*now_ms),
        },
    };
    let machine = machine.map(|machine| match machine {
        ha_providers::Machine::Absent => Machine::Absent,
        ha_providers::Machine::Off => Machine::Off,
        ha_providers::Machine::Running => Machine::Running,
    });
    let run_left_kib = match answer {
        NodeAnswer::Status { run_left_kib, .. } => *run_left_kib,
        _ => None,
    };
    AgentView {
        machine,
        word,
        run_left_kib,
    }
}
