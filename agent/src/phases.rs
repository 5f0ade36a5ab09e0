//! One phase, one file, each with `needed` (is there anything to do, judged by looking at the machine and the cluster,
//! never at a marker) and `run` (may be run again at any time, after a crash at any point).

use anyhow::Result;
use ha_wire::paths;
use ha_wire::phase::Phase;

use crate::context::Context;
use crate::kube::{KUBELET_CONF, KUBELET_PEM};
pub use crate::needs_a_person::{FailedBeneath, NeedsAPerson};

pub mod balancer;
pub mod cause;
pub mod etcd_log;
pub mod etcd_manifest;
pub mod finish;
pub mod gate;
pub mod hooks;
pub mod images;
pub mod init;
pub mod join;
pub mod kube_proxy;
pub mod kubeadm;
pub mod kubeadm_files;
pub mod kubeadm_run_config;
pub mod kubelet_conf;
pub mod leftovers;
pub mod network;
pub mod no_cluster;
pub mod node_marks;
pub mod preflight;
pub mod proxy;
pub mod renewal;
pub mod steady;

/// How a phase ended, when it ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The founder found a standing cluster: join it (only from [`Phase::Init`]).
    ClusterStands,
    /// The founder waits for a cluster that nobody may have founded: back to [`Phase::Init`] (only from [`Phase::Gate`]).
    DecideAnew,
}

/// A configuration file that a phase writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its absolute name on the node.
    pub name: String,
    pub text: String,
}

impl ConfigFile {
    /// A file of this name and content.
    pub fn new(name: &str, text: String) -> Self {
        let name = name.to_owned();
        Self { name, text }
    }
}

/// The configuration that a phase writes on its way, for a look: the very files that its `run` makes. What holds keys
/// (the discovery file) is not among them.
pub fn config_files(phase: Phase, cx: &Context) -> Result<Vec<ConfigFile>> {
    Ok(match phase {
        Phase::Images => images::config_files(cx),
        Phase::Balancer => balancer::config_files(cx)?,
        Phase::Init => init::config_files(cx),
        Phase::Join => join::config_files(cx),
        Phase::Network => network::config_files(cx),
        Phase::Preflight | Phase::Gate | Phase::Finish | Phase::Steady => Vec::new(),
    })
}

/// Whether phase finish came to its wipe on this disk: the kubelet has a certificate of its own and the first identity is wiped.
/// (Its hooks may still be due.) Such a node is in its cluster; nothing that founds or joins may ever run on it again, whatever does not answer.
/// A machine that only balances is settled once it has done so.
pub fn is_settled(cx: &Context) -> bool {
    let there = |name| cx.sys.files.exists(name);
    if !cx.node.is_kubernetes_node() {
        return there(crate::render::haproxy::CA);
    }
    !there(paths::IDENTITY_KEY) && there(KUBELET_CONF) && there(KUBELET_PEM)
}

/// Whether a phase has anything to do.
pub async fn needed(phase: Phase, cx: &Context) -> Result<bool> {
    match phase {
        Phase::Preflight => preflight::needed(cx).await,
        Phase::Images => images::needed(cx).await,
        Phase::Balancer => balancer::needed(cx).await,
        Phase::Gate => gate::needed(cx).await,
        Phase::Init => init::needed(cx).await,
        Phase::Join => join::needed(cx).await,
        Phase::Network => network::needed(cx).await,
        Phase::Finish => finish::needed(cx).await,
        Phase::Steady => Ok(true),
    }
}

/// One attempt at a phase.
pub async fn run(phase: Phase, cx: &Context) -> Result<Outcome> {
    match phase {
        Phase::Preflight => preflight::run(cx).await,
        Phase::Images => images::run(cx).await,
        Phase::Balancer => balancer::run(cx).await,
        Phase::Gate => gate::run(cx).await,
        Phase::Init => init::run(cx).await,
        Phase::Join => join::run(cx).await,
        Phase::Network => network::run(cx).await,
        Phase::Finish => finish::run(cx).await,
        Phase::Steady => steady::run(cx).await,
    }
}
