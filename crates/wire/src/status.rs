//! Status, v1: what a node knows about itself now. The agent writes it on each change, `ha-agent status` reads it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::format::{self, FormatError, Version};
use crate::phase::{Phase, Role};
use crate::settings::{default_apiserver_port, is_default_apiserver_port};

mod etcd_alarm;
mod server_state;

pub use etcd_alarm::{AlarmKind, EtcdAlarm};
pub use server_state::ServerState;

/// The version of the format below.
pub const VERSION: Version<1> = Version;

/// The whole status. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version of the format.
    pub version: Version<1>,
    /// Name of the cluster that the node belongs to.
    pub cluster: String,
    /// Name of the node that says so.
    pub node: String,
    /// Control plane or worker.
    pub role: Role,
    /// The node's own address.
    pub address: IpAddr,
    /// Where it is now.
    pub phase: Phase,
    /// How the phase goes.
    pub state: PhaseState,
    /// Since when it is in this phase and state.
    pub since_ms: u64,
    /// When this was written.
    pub updated_ms: u64,
    /// Which attempt of the phase.
    pub attempt: u32,
    /// What it waits for; empty: nothing.
    pub waiting_for: String,
    /// When it last tried.
    pub last_try_ms: Option<u64>,
    /// The last error, in the failing program's words; kept until the next success.
    pub last_error: String,
    /// The last lines of the failing program.
    pub tail: Vec<String>,
    /// Every phase met so far with its times.
    pub phases: Vec<PhaseTime>,
    /// Where the API answers, and who holds that address.
    pub vip: Vip,
    /// haproxy's view of the apiservers (control planes).
    pub backends: Vec<Backend>,
    /// The port of every apiserver on its own node.
    #[serde(
        default = "default_apiserver_port",
        skip_serializing_if = "is_default_apiserver_port"
    )]
    pub apiserver_port: u16,
    /// etcd as this node's member sees it (control planes).
    pub etcd: Option<EtcdStatus>,
    /// The kubelet's unit state, e.g. `active`.
    pub kubelet: String,
    /// Whether the API says that this node is Ready; none: not known.
    pub node_ready: Option<bool>,
    /// The pod network in a few words; empty: not known.
    pub network: String,
    /// The certificate that expires first.
    pub first_expiry: Option<CertificateExpiry>,
    /// The process that wrote this.
    pub agent: AgentProcess,
    /// Control planes whose apiserver shows another cluster than most do: no request goes there (control planes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<String>,
    /// Every certificate of the node, the nearest end first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateExpiry>,
    /// How the renewal of certificates goes (control planes).
    #[serde(default, skip_serializing_if = "Renewal::is_silent")]
    pub renewal: Renewal,
    /// What the machine wants to be rebooted for; none: nothing, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot_needed: Option<RebootNeeded>,
    /// Everything that is wrong with the node by its own look, the worst first; [`Self::last_error`] is the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Whether the API's service address answers from this node; none: not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Answer>,
    /// Whether cluster DNS resolves a name of the cluster for this node; none: not asked yet, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Answer>,
    /// The same for pods of this node, asked from their own networks; none: not asked yet, there is none, or no pod of this node
    /// has a network of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_in_pods: Option<PodsAnswer>,
    /// Whether the container runtime answers over CRI; none: not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Answer>,
    /// Those of [`Self::faults`] that no other field shows, the worst first; none: an agent of before, which does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Vec<SeenFault>>,
}

impl Status {
    /// Reads the status file's text.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        format::parse_versioned(text, "a status", VERSION)
    }
}

/// Something that the agent saw to be wrong with its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenFault {
    /// What it is about.
    pub about: About,
    /// One line for people, e.g. `etcd: no leader`.
    pub what: String,
}

/// What a fault is about that the agent saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// This node's member of etcd, or its data.
    Etcd,
    /// What the API says of this node.
    Api,
    /// The load balancer's servers and the cluster's apiservers.
    LoadBalancer,
    /// The ends of the node's certificates, and their renewal.
    Certificates,
    /// The machine, by the checks of the preflight.
    Machine,
    /// Something that a newer agent knows.
    #[serde(other)]
    Other,
}

/// How a phase goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseState {
    /// At work or waiting.
    Working,
    /// The last attempt failed, another follows.
    Retrying,
    /// A person must act.
    Failed,
    /// In the steady state, nothing is wrong.
    Steady,
    /// Steady, but something is wrong: see `last_error`.
    Degraded,
}

/// When a phase ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTime {
    /// The phase in question.
    pub phase: Phase,
    /// When its first attempt began.
    pub started_ms: u64,
    /// End; none: it runs.
    pub ended_ms: Option<u64>,
}

/// Where the API answers, and who holds that address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vip {
    /// The virtual address itself.
    pub address: IpAddr,
    /// haproxy's port on it.
    pub port: u16,
    /// Somebody else's balancer has it, by the name or address that clients use; empty: it is the cluster's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external: String,
    /// True if this node holds it.
    pub here: bool,
    /// Who holds it; empty: not known.
    pub holder: String,
    /// When this node became its holder, within the last ten minutes, the earliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_ms: Vec<u64>,
    /// What keepalived last complained of in this boot, as long as it does so; empty: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub complaint: String,
    /// Since when this node holds it without a break; none: it does not, or its agent has not seen it come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since_ms: Option<u64>,
}

/// How something answered when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// When it was asked.
    pub at_ms: u64,
    /// Since when it answers, or does not.
    pub since_ms: u64,
    /// Why it did not answer; empty: it did.
    pub error: String,
}

/// How something answered pods of a node when it was last asked from some of their networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsAnswer {
    /// Good if one of them was answered.
    pub answer: Answer,
    /// What asks the same from one of them, for a person on the node.
    pub command: String,
}

/// One apiserver behind haproxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Name of the apiserver's node.
    pub name: String,
    /// Whether haproxy sends connections there.
    pub state: ServerState,
    /// How its last check ended, in haproxy's words: `L7OK`, `L4CON`, `L7STS/401`, ...; empty: not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub check: String,
    /// For how long it has been in this state; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// etcd as this node's member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdStatus {
    /// How many members the cluster file asks for.
    pub expected: u32,
    /// Their names; an unstarted one is empty.
    pub members: Vec<String>,
    /// True if this node's member votes.
    pub voter: bool,
    /// The leader's name; empty: none.
    pub leader: String,
    /// Alarms that etcd has raised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<EtcdAlarm>,
    /// What this member's database takes on the disk, bytes; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes: Option<u64>,
    /// What it may take; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// Where an external etcd is asked; empty: it runs on the control planes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EtcdEndpoint>,
    /// When etcd elected a leader, within the last fifteen minutes, the earliest first, as this node saw it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elections_ms: Vec<u64>,
}

/// A member of an external etcd, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdEndpoint {
    /// `https://ADDRESS:PORT`.
    pub url: String,
    /// Why it is not well; empty: it answers and knows a leader.
    pub error: String,
}

/// When a certificate ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateExpiry {
    /// The certificate's name, e.g. `apiserver`.
    pub name: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// From when on a person should look: who renews it should have done so by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ms: Option<u64>,
}

/// How the renewal of certificates goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renewal {
    /// What it waits for, or why the last try failed; empty: nothing is to be renewed, or it goes well.
    pub words: String,
    /// Whether the last try failed, which waiting is not.
    pub failed: bool,
}

impl Renewal {
    fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// The agent as a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentProcess {
    /// Version of the agent.
    pub version: String,
    /// Its process id; 0 when it is not running.
    pub pid: u32,
    /// Resident memory in KiB.
    pub rss_kib: u64,
}

/// What a machine wants to be rebooted for. Nobody does it on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebootNeeded {
    /// The version of Flatcar that is installed and not yet booted; empty: something else asks for it.
    pub flatcar: String,
}
