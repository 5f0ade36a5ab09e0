//! The facts of a launch as they are kept: JSON lines, each with its version and its time. Written by one release, read by
//! later ones.

use anyhow::{Result, bail};
use ha_host_base::stored::{StoredError, parse_stored};
use ha_wire::event::Event;
use ha_wire::format::Version;
use ha_wire::phase::Role;
use serde::{Deserialize, Serialize};

use crate::launch::node_progress::Stage;

/// The version of the format below.
pub const VERSION: Version<1> = Version;

/// One fact, one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptFact {
    pub version: Version<1>,
    /// Milliseconds since the launch began, by this machine's monotonic clock.
    pub at_ms: u64,
    /// What was seen, by the field `fact`.
    #[serde(flatten)]
    pub what: Fact,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    tag = "fact"
)]
pub enum Fact {
    Begun {
        cluster: String,
        nodes: Vec<KeptNode>,
        vip: String,
        /// Somebody else's balancer answers there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        external: bool,
        kubernetes: String,
        provider: String,
        /// This program's version.
        program: String,
        /// Milliseconds since 1970, this machine's clock.
        began_ms: u64,
    },
    /// One of the host's own steps begins.
    Step {
        step: String,
    },
    Warning {
        message: String,
    },
    /// A node's agent said something.
    Said {
        event: Event,
    },
    /// A node is somewhere else.
    Moved {
        node: String,
        stage: Stage,
    },
    /// What the cluster showed.
    Cluster {
        vip: bool,
        ready: Vec<String>,
    },
    Ended {
        end: KeptEnd,
        /// What was said then, line by line.
        words: Vec<String>,
        failed: Vec<KeptFailure>,
        vip_holder: Option<String>,
        /// The launch in consecutive stretches: name and milliseconds.
        spent: Vec<(String, u64)>,
    },
    /// What a later release keeps.
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptNode {
    pub name: String,
    pub role: Role,
    pub address: String,
}

/// How a launch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptEnd {
    Ready,
    Failed,
    TimedOut,
    Interrupted,
    /// By an error of this program.
    Broken,
}

/// Why a node was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFailure {
    pub node: String,
    pub what: String,
    pub words: Vec<String>,
}

/// Reads a file of facts. Lines that are not facts are passed over, as the last one of a launch that was killed in the middle of
/// it; a file of another version is refused.
pub fn parse_facts(text: &str) -> Result<Vec<KeptFact>> {
    let mut facts = Vec::new();
    for line in text.lines() {
        match parse_stored::<KeptFact, 1>(line, VERSION) {
            Ok(fact) => facts.push(fact),
            Err(error @ StoredError::OtherVersion { .. }) => return Err(error.into()),
            Err(StoredError::Shape(_)) => {}
        }
    }
    match facts.first() {
        Some(KeptFact {
            what: Fact::Begun { .. },
            ..
        }) => Ok(facts),
        _ => bail!("its first line does not say which launch it is of"),
    }
}
