//! Doctor, v1: what the examination of a node found, and the facts of it that are compared across nodes. `ha-agent doctor --json`
//! prints it, `ha-host doctor` reads it; and how attempts to reach other nodes' ports ended.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::format::{self, FormatError, Version};

/// The version of the formats below.
pub const VERSION: Version<1> = Version;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Works, but somebody should look.
    Warn,
    /// Not yet: it may come by itself.
    Wait,
    /// A person must act.
    Fail,
}

/// One check with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, in the machine's words.
    pub reason: String,
    /// What to do; empty: nothing.
    pub remedy: String,
    /// The command that shows it.
    pub command: String,
}

impl Check {
    /// Passes unless told otherwise.
    pub fn passing(name: &str, command: &str) -> Self {
        Self {
            name: name.into(),
            verdict: Verdict::Pass,
            reason: "ok".into(),
            remedy: String::new(),
            command: command.into(),
        }
    }

    /// Ended otherwise, with this reason and remedy.
    #[must_use]
    pub fn with(mut self, verdict: Verdict, reason: String, remedy: &str) -> Self {
        (self.verdict, self.reason, self.remedy) = (verdict, reason, remedy.into());
        self
    }

    /// Passed, and says more than ok.
    #[must_use]
    pub fn says(mut self, reason: String) -> Self {
        self.reason = reason;
        self
    }
}

/// Whether something among these checks has to be mended, or is not there yet; a warning has time.
pub fn is_unfit(checks: &[Check]) -> bool {
    let unfit = |check: &Check| matches!(check.verdict, Verdict::Fail | Verdict::Wait);
    checks.iter().any(unfit)
}

/// What the examination of a node found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Examination {
    /// The version of the format.
    pub version: Version<1>,
    /// Name of the cluster that the node belongs to.
    pub cluster: String,
    /// The node's name.
    pub node: String,
    /// Every check, in the order in which a person would look.
    pub checks: Vec<Check>,
    /// What no other machine may have.
    pub machine: MachineIdentity,
    /// Whom the node heard on VRRP's protocol; none: it did not listen, because it is no control plane or may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrrp: Option<VrrpHeard>,
    /// How long the examination took, milliseconds.
    pub took_ms: u64,
    /// The machine's clock at its end, milliseconds since 1970.
    pub clock_ms: u64,
}

impl Examination {
    /// Reads what `ha-agent doctor --json` prints.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        format::parse_versioned(text, "a doctor's report", VERSION)
    }
}

/// What no two machines may share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineIdentity {
    /// /etc/machine-id; empty: not known.
    pub machine_id: String,
    /// The firmware's id of the machine; empty: not known, or a container, which shows its host's.
    pub product_uuid: String,
    /// The node's interface, and every other one that is a device.
    pub interfaces: Vec<LinkAddress>,
}

/// An interface's link-layer address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkAddress {
    /// The interface's name.
    pub name: String,
    /// e.g. `52:54:00:12:34:57`.
    pub mac: String,
}

/// What came in on VRRP's protocol while a control plane listened, past its own firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VrrpHeard {
    /// Whether the node itself held the VIP all the while: then nobody else has to be heard.
    pub holds_vip: bool,
    /// Who sent advertisements.
    pub from: Vec<IpAddr>,
    /// For how long it listened, milliseconds.
    pub listened_ms: u64,
}

/// How attempts to open connections to other nodes ended: `ha-agent try-ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortTrials {
    /// The version of the format.
    pub version: Version<1>,
    /// Each in the order of the question.
    pub trials: Vec<PortTrial>,
}

impl PortTrials {
    /// Reads what `ha-agent try-ports` prints.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        format::parse_versioned(text, "trials of ports", VERSION)
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortTrial {
    /// Where to.
    pub to: SocketAddr,
    /// How it ended.
    pub outcome: TrialOutcome,
    /// The kernel's word; empty: it was opened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// How an attempt to open a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// Somebody accepted it.
    Open,
    /// The machine answers and nobody listens there.
    Refused,
    /// No answer in time: something on the way drops it, or the machine is off.
    Silent,
    /// It was refused on the way, or there is none.
    Unreachable,
}
