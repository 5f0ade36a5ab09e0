//! `status [CLUSTER]`: how a cluster does, from the API, etcd, the machines and the nodes themselves. What is wrong is judged by
//! `ha-health`; whole is what shows nothing.

use std::sync::Arc;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};
use ha_health::Finding;
use ha_health::cluster::{AgentView, Machine, MemberView};
use ha_host_base::exit::Exit;
use ha_host_base::interrupt::Interrupt;
use ha_host_base::text::{Paint, printable_line};
use ha_providers::Provider;
use ha_wire::phase::Role;
use ha_wire::status::PhaseState;
use serde::Serialize;
use time::OffsetDateTime;

use crate::api::{self, Api, ClusterView, WholeLook};
use crate::cli::StatusArgs;
use crate::launch;
use crate::node_status::NodeAnswer;
use crate::progress::{cluster_headline, warning_line};
use crate::source;
use crate::state::{ClusterDir, StateRoot};

mod certificates;
mod keys;
mod list;
mod text;
mod watch;

use certificates::{CertificateEnd, certificate_ends};
use keys::KeyEnds;
use text::report_text;

/// The version of the JSON below. 2: `findings` with part, words and next command in place of `missing`; every holder of the VIP.
const VERSION: u32 = 2;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterReport {
    version: u32,
    cluster: String,
    /// In a few words: nodes, VIP, version, provider.
    headline: String,
    /// Nothing is wrong.
    whole: bool,
    /// Everything that is.
    findings: Vec<Finding>,
    vip: String,
    /// Whether somebody else's balancer has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    external: bool,
    vip_answers: bool,
    vip_holders: Vec<String>,
    /// For how long its only holder has held it; none: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    vip_held_seconds: Option<u64>,
    etcd_members: Vec<String>,
    /// Of an external etcd: where it is asked, and whether it answers the control planes.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_etcd: Option<Vec<EndpointLine>>,
    keys: KeyEnds,
    nodes: Vec<NodeLine>,
    certificates: Vec<CertificateEnd>,
    /// Somebody has upgraded it, and its file does not say so yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgraded: Option<Upgraded>,
}

/// Versions of Kubernetes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upgraded {
    /// The cluster's, by its own word.
    version: String,
    /// The cluster file's, as it was last launched.
    of_file: String,
}

/// One endpoint of an external etcd.
#[derive(Debug, Serialize)]
struct EndpointLine {
    url: String,
    healthy: bool,
}

/// One node of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeLine {
    name: String,
    role: Role,
    address: std::net::IpAddr,
    machine: String,
    ready: bool,
    apiserver: Option<bool>,
    phase: Option<String>,
    words: String,
    /// Its machine wants to be rebooted, for an update for example.
    reboot_needed: bool,
}

/// Exit code: 0 if the cluster is whole, 1 if not.
pub fn run(args: &StatusArgs, root: &StateRoot) -> Result<Exit> {
    let Some(name) = &args.cluster else {
        return list::print_clusters(root, args.json);
    };
    let dir = source::find_cluster(root, name)?;
    let cluster = dir.cluster()?;
    let question = Question::prepare(dir, cluster)?;
    if args.watch {
        return watch::print_changes(&question, args.json);
    }
    let report = question.ask()?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        let now = OffsetDateTime::now_utc();
        print!("{}", report_text(&report, now, Paint::stdout()));
    }
    Ok(report.exit())
}

impl ClusterReport {
    fn exit(&self) -> Exit {
        if self.whole { Exit::Done } else { Exit::Failed }
    }
}

/// How a cluster does: may be asked again and again.
struct Question {
    dir: ClusterDir,
    cluster: Cluster,
    pki: crate::pki::Pki,
    provider: Arc<dyn Provider>,
    api: Api,
}

impl Question {
    fn prepare(dir: ClusterDir, cluster: Cluster) -> Result<Self> {
        let pki = dir.keys()?;
        let provider: Arc<dyn Provider> =
            Arc::from(ha_providers::provider_of(&cluster, dir.path())?);
        let api = Api::new(&cluster, &pki, provider.clone())?;
        Ok(Self {
            dir,
            cluster,
            pki,
            provider,
            api,
        })
    }

    fn ask(&self) -> Result<ClusterReport> {
        let (cluster, provider) = (&self.cluster, &self.provider);
        let look = api::look_at_everything(&self.api, cluster, provider, None);
        let look = ha_host_base::block_on(look)??;
        // Whoever did not answer because we are to end is not silent.
        Interrupt::of_process().check()?;
        if look.view.answers()
            && let Err(error) = launch::note_founded(&self.dir, cluster)
        {
            let message = format!("that the cluster stands could not be noted: {error:#}");
            eprintln!("{}", warning_line(&message));
        }
        let keys = KeyEnds::read(&self.dir, &self.pki)?;
        Ok(report_of(cluster, &look, keys, OffsetDateTime::now_utc()))
    }
}

fn report_of(
    cluster: &Cluster,
    look: &WholeLook,
    keys: KeyEnds,
    now: OffsetDateTime,
) -> ClusterReport {
    let view = &look.view;
    let findings = api::all_findings(cluster, view);
    let nodes = cluster.nodes.iter().zip(&look.answers);
    ClusterReport {
        version: VERSION,
        cluster: cluster.name.clone(),
        headline: cluster_headline(cluster),
        whole: findings.is_empty(),
        findings,
        vip: cluster.endpoint.authority(),
        external: cluster.has_external_balancer(),
        vip_answers: view.vip.is_ok(),
        vip_holders: api::vip_holders(cluster, view),
        vip_held_seconds: api::vip_held_seconds(cluster, view),
        etcd_members: member_names(view),
        external_etcd: external_etcd(cluster, view),
        keys,
        nodes: nodes
            .map(|(node, said)| node_line(node, said, view))
            .collect(),
        certificates: certificate_ends(&cluster.nodes, &look.answers, now),
        upgraded: upgraded_to(cluster, view),
    }
}

fn upgraded_to(cluster: &Cluster, view: &ClusterView) -> Option<Upgraded> {
    let version = view.api.as_ref()?.kubernetes_version.clone()?;
    let of_file = cluster.kubernetes.version.clone();
    (version != of_file).then_some(Upgraded { version, of_file })
}

fn external_etcd(cluster: &Cluster, view: &ClusterView) -> Option<Vec<EndpointLine>> {
    cluster.kubernetes.external_etcd()?;
    let all = api::etcd_endpoints(cluster, view).into_iter();
    Some(
        all.map(|(url, healthy)| EndpointLine { url, healthy })
            .collect(),
    )
}

fn member_names(view: &ClusterView) -> Vec<String> {
    let word = |m: &MemberView| match (m.name.as_str(), m.is_learner) {
        ("", _) => "one not started".to_owned(),
        (name, false) => name.to_owned(),
        (name, true) => format!("{name} (learner)"),
    };
    let members = view.etcd.as_deref().unwrap_or_default();
    members.iter().map(word).collect()
}

fn node_line(node: &Node, said: &NodeAnswer, view: &ClusterView) -> NodeLine {
    let agent = view.agents.get(&node.name);
    let machine = match agent.and_then(|a| a.machine) {
        None => "unknown",
        Some(Machine::Absent) => "absent",
        Some(Machine::Off) => "off",
        Some(Machine::Running) => "running",
    };
    NodeLine {
        name: node.name.clone(),
        role: node.role,
        address: node.address,
        machine: machine.to_owned(),
        ready: is_ready(node, said, view),
        apiserver: view.apiservers.get(&node.name).map(Result::is_ok),
        phase: said.status().map(|s| s.phase.name().to_owned()),
        words: printable_line(&node_words(said, agent)),
        reboot_needed: said.status().is_some_and(|s| s.reboot_needed.is_some()),
    }
}

/// As the API says; of a machine that is not a Node its agent.
fn is_ready(node: &Node, said: &NodeAnswer, view: &ClusterView) -> bool {
    match node.role.is_kubernetes_node() {
        true => view.is_ready(&node.name),
        false => said.status().is_some_and(|s| s.state == PhaseState::Steady),
    }
}

/// What its agent is at, or why that is not known; what is wrong is a finding.
fn node_words(said: &NodeAnswer, agent: Option<&AgentView>) -> String {
    match said {
        NodeAnswer::Status { status, .. } if !status.waiting_for.is_empty() => {
            format!("waits for {}", status.waiting_for)
        }
        NodeAnswer::OtherVersion(version) => {
            format!("its agent speaks version {version}: update whichever of both is older")
        }
        NodeAnswer::Silent if agent.is_some_and(|a| a.machine == Some(Machine::Running)) => {
            "what its agent says is not known: its machine did not answer".to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
