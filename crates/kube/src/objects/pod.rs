//! Pods.

use serde::Deserialize;

use super::{Condition, Metadata, parse_rfc3339_ms};

/// `v1/Pod`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its name.
    pub metadata: Metadata,
    /// Where it runs.
    pub spec: PodSpec,
    /// Conditions.
    pub status: PodStatus,
}

/// What is wanted of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Empty: not scheduled yet.
    pub node_name: String,
    /// Whether it lives in its node's own network.
    pub host_network: bool,
}

/// A pod's status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Its init containers, in the order in which they run.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Its containers.
    pub container_statuses: Vec<ContainerStatus>,
}

/// How a container does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Whether it serves; of an init container, whether it has ended well.
    pub ready: bool,
    /// How often it was started anew.
    pub restart_count: u32,
    /// What it does.
    pub state: ContainerState,
    /// What it did before that.
    pub last_state: ContainerState,
}

/// What a container does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// None while it does not run.
    pub running: Option<ContainerRunning>,
    /// None unless it waits to be started.
    pub waiting: Option<ContainerStopped>,
    /// None unless it has ended.
    pub terminated: Option<ContainerStopped>,
}

/// A container that does not run, and why.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStopped {
    /// E.g. `CrashLoopBackOff`, `Error`.
    pub reason: String,
    /// In words; may be empty.
    pub message: String,
}

/// A container that runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerRunning {
    /// Since when, RFC 3339.
    pub started_at: String,
}

impl Pod {
    /// Whether it serves and is to go on serving.
    pub fn is_ready(&self) -> bool {
        self.metadata.deletion_timestamp.is_none() && self.true_since_ms("Ready").is_some()
    }

    /// When it was given its node.
    pub fn scheduled_at_ms(&self) -> Option<u64> {
        self.true_since_ms("PodScheduled")
    }

    /// When its first container was started, in milliseconds since 1970; none while it does not run.
    pub fn started_at_ms(&self) -> Option<u64> {
        let first = self.status.container_statuses.first()?;
        parse_rfc3339_ms(&first.state.running.as_ref()?.started_at)
    }

    /// Why it does not serve: why its container waits and how that ended before, or why no node takes it; empty: not known.
    pub fn trouble(&self) -> String {
        let container = self.status.container_statuses.first();
        let waiting = container.and_then(|c| c.state.waiting.as_ref());
        let ended = container.and_then(|c| {
            c.state
                .terminated
                .as_ref()
                .or(c.last_state.terminated.as_ref())
        });
        let mut words: Vec<&str> = Vec::new();
        words.extend(waiting.map(|w| w.reason.as_str()));
        words.extend(ended.or(waiting).map(|e| e.message.trim()));
        if words.iter().all(|w| w.is_empty()) {
            let mut conditions = self.status.conditions.iter();
            words.extend(
                conditions
                    .find(|c| c.kind == "PodScheduled")
                    .map(|c| c.message.as_str()),
            );
        }
        words.retain(|w| !w.is_empty());
        words.join(": ")
    }

    fn true_since_ms(&self, kind: &str) -> Option<u64> {
        let mut all = self.status.conditions.iter();
        all.find(|c| c.kind == kind)?.true_since_ms()
    }
}
