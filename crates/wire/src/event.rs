//! Events, v1: what a node says while it works. One JSON object a line, never with a secret in it.

use serde::{Deserialize, Serialize};

use crate::format::{self, FormatError, Version};
use crate::phase::{Phase, Role};

/// The version of the format below.
pub const VERSION: Version<1> = Version;

/// One line of the stream of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The version of the format.
    pub version: Version<1>,
    /// Counts from 1 in each life of the agent; a gap is a lost line.
    pub seq: u64,
    /// Milliseconds since 1970, the node's clock.
    pub time_ms: u64,
    /// Name of the node that says so.
    pub node: String,
    /// What happened, by the field `event`.
    #[serde(flatten)]
    pub what: EventKind,
}

impl Event {
    /// Reads one line of the stream.
    pub fn parse(line: &str) -> Result<Self, FormatError> {
        format::parse_versioned(line, "an event", VERSION)
    }
}

/// What happened on the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    tag = "event"
)]
pub enum EventKind {
    /// The agent began a life.
    Hello {
        /// Version of the agent.
        agent: String,
        /// Control plane or worker.
        role: Role,
        /// The kernel's boot id: the same after a crash of the agent, another after a reboot.
        boot: String,
    },
    /// An attempt of a phase began.
    Started {
        /// The phase in question.
        phase: Phase,
        /// Counts the attempts of the phase from 1.
        attempt: u32,
    },
    /// A phase waits for something; said again when the words change, at most five times a second.
    Waiting {
        /// The phase in question.
        phase: Phase,
        /// What it waits for, e.g. `/readyz via 10.77.0.30:6444`.
        what: String,
        /// What the last try said; empty before the first, and while an ordinary wait is short.
        last_error: String,
        /// What holds it up, where the agent knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<WaitsOn>,
    },
    /// So many of so many, e.g. images.
    Progress {
        /// The phase in question.
        phase: Phase,
        /// How many are done.
        done: u32,
        /// How many there are.
        total: u32,
    },
    /// A phase ended well.
    Done {
        /// The phase in question.
        phase: Phase,
        /// How long it took, all attempts included, in milliseconds.
        took_ms: u64,
        /// True if there was nothing to do.
        skipped: bool,
    },
    /// An attempt failed; the agent tries again by itself.
    Failed {
        /// The phase in question.
        phase: Phase,
        /// The attempt that failed, counted from 1.
        attempt: u32,
        /// The cause in the failing program's own words, one line.
        error: String,
        /// The last lines of the failing program, at most 20.
        tail: Vec<String>,
        /// Milliseconds until the next attempt; absent: a person must act (see `error`).
        retry_ms: Option<u64>,
        /// What failed beneath the phase's own program; none: not found out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beneath: Option<Beneath>,
    },
    /// The node is in its steady state.
    Steady,
}

/// What failed beneath the program that a phase runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beneath {
    /// Which program: `kubeadm` (its configuration), `containerd`, `crio`, `kubelet`, or a static pod's container, e.g. `etcd`.
    pub part: String,
    /// What it does, after its name, e.g. `exits at its start, 3 times in 21 s`.
    pub does: String,
    /// Why, in its own words.
    pub word: String,
    /// What of its configuration it refuses; none: nothing, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What a program refuses of that with which it was started, as the program calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Origin {
    /// An argument of its command line.
    Argument {
        /// Its name without dashes.
        name: String,
    },
    /// A field of its configuration file.
    Field {
        /// The names that lead to it, e.g. `apiServer.certSANs[0]`.
        path: String,
    },
    /// Something that a newer agent knows.
    #[serde(other)]
    Other,
}

/// What a phase waits for, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum WaitsOn {
    /// An apiserver behind the VIP that is up and knows this node's rights.
    Vip,
    /// A Lease that another node holds.
    Lease {
        /// Its name in kube-system.
        name: String,
        /// The node that holds it; empty: not known.
        holder: String,
    },
    /// Other nodes, or what runs on them.
    Nodes {
        /// Their names.
        names: Vec<String>,
    },
    /// The pod network on this node.
    PodNetwork,
    /// Something that a newer agent knows.
    #[serde(other)]
    Other,
}
