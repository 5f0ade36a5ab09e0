//! What the pods of the pod network do, as the API tells it: Cilium's CLI is silent until all is well or its time is up.

use std::time::Duration;

use anyhow::Result;
use ha_kube::objects::{ContainerStatus, Pod};
use ha_wire::settings::Cni;

use crate::context::Context;
use crate::kube;

/// Two small requests each.
const EVERY: Duration = Duration::from_secs(2);
/// They may not keep the node's own readiness from being seen.
const DEADLINE: Duration = Duration::from_secs(2);
const LABEL: &str = "k8s-app=cilium";
/// The kubelet's own mark of its static pods.
const STATIC: &str = "kubernetes.io/config.mirror";

/// What was last seen of the pod on this node, while the node waits for it.
#[derive(Debug, Default)]
pub struct PodWatch {
    words: String,
    /// By the monotonic clock.
    next_look: Duration,
}

impl PodWatch {
    /// What the pod on this node does; empty: it serves, or nobody was asked for a pod network. On a control plane the count of
    /// Cilium's is told, too, if `tells_count`.
    pub async fn observe(&mut self, cx: &Context, tells_count: bool) -> &str {
        let now = cx.sys.clock.monotonic();
        if now < self.next_look {
            return &self.words;
        }
        self.next_look = now + EVERY;
        let asked = match cx.node.cni {
            Cni::Cilium { .. } => ask_own_pod(cx).await,
            Cni::Manifests { .. } => ask_host_network(cx).await,
            Cni::None => return "",
        };
        if let Ok(words) = asked {
            self.words = words;
        }
        if tells_count && cx.node.is_control_plane() {
            report_ready_nodes(cx).await;
        }
        &self.words
    }
}

/// A node may ask for the pods that are bound to it, and for no others.
async fn ask_own_pod(cx: &Context) -> Result<String> {
    let client = kube::as_node(cx)?.within(DEADLINE);
    let pods = client.pods_on_node(&cx.node.name, LABEL).await?;
    let goes_on = |p: &&Pod| p.metadata.deletion_timestamp.is_none();
    let own = pods.iter().find(goes_on);
    Ok(own.map_or_else(|| "no pod of Cilium's is here yet".to_owned(), pod_progress))
}

/// Of a network that is somebody else's no label is known. Until it serves only pods on the host's network can start, so the first
/// of these that does not is told; static pods are kubeadm's.
async fn ask_host_network(cx: &Context) -> Result<String> {
    let client = kube::as_node(cx)?.within(DEADLINE);
    let pods = client.all_pods_on_node(&cx.node.name).await?;
    let is_of_network = |p: &&Pod| {
        p.spec.host_network
            && p.metadata.deletion_timestamp.is_none()
            && !p.metadata.annotations.contains_key(STATIC)
    };
    let mut told = pods.iter().filter(is_of_network).map(pod_progress);
    Ok(told.find(|words| !words.is_empty()).unwrap_or_default())
}

/// Puts into the status on how many nodes Cilium's agent is ready. A word for people; what is wrong shows in the nodes' readiness.
pub async fn report_ready_nodes(cx: &Context) {
    let Cni::Cilium { version, .. } = &cx.node.cni else {
        return;
    };
    let Ok(client) = kube::as_best(cx) else {
        return;
    };
    if let Ok(set) = client.within(DEADLINE).daemon_set("cilium").await {
        let (ready, all) = (set.status.number_ready, set.status.desired_number_scheduled);
        let words = match ready == all && all > 0 {
            true => "ready".into(),
            false => format!("ready on {ready} of {all} nodes"),
        };
        cx.report
            .update_status(|s| s.network = format!("cilium {version} {words}"));
    }
}

/// How far a pod is; empty: it serves.
fn pod_progress(pod: &Pod) -> String {
    let init = &pod.status.init_container_statuses;
    // An init container that has ended well counts as ready.
    let place = match init.iter().position(|c| !c.ready) {
        Some(at) => {
            let (all, name) = (init.len(), &init[at].name);
            let place = format!("init container {} of {all} ({name})", at + 1);
            Some((place, describe_container(&init[at], "runs"), &init[at]))
        }
        None => {
            let mut containers = pod.status.container_statuses.iter();
            let waits = containers.find(|c| !c.ready);
            waits.map(|c| {
                let does = describe_container(c, "runs and is not ready");
                (format!("container {}", c.name), does, c)
            })
        }
    };
    place.map_or_else(String::new, |(place, does, container)| {
        let restarts = match container.restart_count {
            0 => String::new(),
            times => format!(" (restarts: {times})"),
        };
        format!("pod {}: {place} {does}{restarts}", pod.metadata.name)
    })
}

/// Why a container waits is often said by how it ended before. `runs`: what it does if it does run.
fn describe_container(container: &ContainerStatus, runs: &str) -> String {
    let state = &container.state;
    let ended = state.terminated.as_ref();
    let before = ended.or(container.last_state.terminated.as_ref());
    let words = match (&state.waiting, ended) {
        (Some(waiting), _) => [
            "waits",
            waiting.reason.as_str(),
            before.unwrap_or(waiting).message.trim(),
        ],
        (None, Some(ended)) => ["has ended", ended.reason.as_str(), ended.message.trim()],
        (None, None) => [runs, "", ""],
    };
    let said = words.into_iter().filter(|w| !w.is_empty());
    said.collect::<Vec<_>>().join(": ")
}
