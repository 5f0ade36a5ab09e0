//! `status [CLUSTER]`: how a cluster does, from the API, the machines and the nodes themselves.

use std::sync::Arc;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node, ProviderOptions as Kind};
use ha_host_base::exit::Exit;
use ha_host_base::interrupt::Interrupt;
use ha_host_base::text::{Paint, printable};
use ha_kube::etcd::Member;
use ha_providers::{self, Machine, Provider};
use ha_wire::phase::Role;
use serde::Serialize;
use time::OffsetDateTime;

use crate::api::{Api, ClusterView};
use crate::cli::Status;
use crate::launch;
use crate::node_status::{self, NodeAnswer};
use crate::progress::{cluster_headline, warning_line};
use crate::source;
use crate::state::{ClusterDir, StateRoot};

mod certificates;
mod keys;
mod list;

use certificates::{CertificateEnd, certificate_ends, describe_certificates};
use keys::KeyEnds;

/// The version of the JSON below.
const VERSION: u32 = 1;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterReport {
    version: u32,
    cluster: String,
    whole: bool,
    missing: Vec<String>,
    vip: String,
    vip_answers: bool,
    vip_holder: Option<String>,
    etcd_members: Vec<String>,
    keys: KeyEnds,
    nodes: Vec<NodeLine>,
    certificates: Vec<CertificateEnd>,
}

/// One node of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeLine {
    name: String,
    role: Role,
    address: std::net::IpAddr,
    machine: &'static str,
    ready: bool,
    apiserver: Option<bool>,
    phase: Option<String>,
    words: String,
    /// Its machine wants to be rebooted, for an update for example.
    reboot_needed: bool,
}

/// Exit code: 0 if the cluster is whole, 1 if not.
pub fn run(args: &Status, root: &StateRoot) -> Result<Exit> {
    let Some(name) = &args.cluster else {
        return list::print_clusters(root, args.json);
    };
    let dir = source::find_cluster(root, name)?;
    let cluster = dir.cluster()?;
    let report = gather_report(&dir, &cluster)?;
    // Whoever did not answer because we are to end is not silent.
    Interrupt::of_process().check()?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print_report(&report, &cluster);
    }
    Ok(if report.whole {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn gather_report(dir: &ClusterDir, cluster: &Cluster) -> Result<ClusterReport> {
    let pki = dir.keys()?;
    let provider: Arc<dyn Provider> = Arc::from(ha_providers::provider_of(cluster, dir.path())?);
    let api = Api::new(cluster, &pki, provider.clone())?;
    let look = ha_host_base::block_on(api.observe_all())?;
    if look.answers()
        && let Err(error) = launch::note_founded(dir, cluster)
    {
        let message = format!("that the cluster stands could not be noted: {error:#}");
        eprintln!("{}", warning_line(&message));
    }
    let said = node_status::node_statuses(cluster, &*provider);
    let provider = Some(provider).filter(|_| cluster.provider != Kind::None);
    let vip_holder = node_status::vip_holder(cluster, &said);
    let certificates = certificate_ends(&cluster.nodes, &said, OffsetDateTime::now_utc());
    let missing = look.missing(cluster);
    let machines = provider.map_or_else(
        || vec![None; cluster.nodes.len()],
        |provider| provider.known_states(&cluster.nodes),
    );
    let nodes = cluster.nodes.iter().zip(said).zip(machines);
    let line = |((node, said), machine)| node_line(node, &said, machine, &look);
    Ok(ClusterReport {
        version: VERSION,
        cluster: cluster.name.clone(),
        whole: missing.is_empty(),
        missing,
        vip: cluster.endpoint.authority(),
        vip_answers: look.vip.is_ok(),
        vip_holder,
        etcd_members: member_names(&look),
        keys: KeyEnds::read(dir, &pki)?,
        nodes: nodes.map(line).collect(),
        certificates,
    })
}

fn member_names(look: &ClusterView) -> Vec<String> {
    let word = |m: &Member| {
        if !m.is_learner {
            m.name.clone()
        } else {
            format!("{} (learner)", m.name)
        }
    };
    look.etcd
        .as_ref()
        .map_or_else(|_| Vec::new(), |list| list.iter().map(word).collect())
}

fn node_line(
    node: &Node,
    said: &NodeAnswer,
    machine: Option<Machine>,
    look: &ClusterView,
) -> NodeLine {
    let machine = match machine {
        None => "unknown",
        Some(Machine::Absent) => "absent",
        Some(Machine::Off) => "off",
        Some(Machine::Running) => "running",
    };
    let words = match (said, look.nodes.get(&node.name)) {
        (NodeAnswer::Status(s), _) if !s.waiting_for.is_empty() => {
            format!("waits for {}", s.waiting_for)
        }
        (NodeAnswer::Status(s), _) if !s.last_error.is_empty() => s.last_error.clone(),
        (NodeAnswer::OtherVersion(version), _) => {
            format!("its agent speaks version {version}: update whichever of both is older")
        }
        (_, Some(seen)) if !seen.ready => seen.reason.clone(),
        _ => String::new(),
    };
    NodeLine {
        name: node.name.clone(),
        role: node.role,
        address: node.address,
        machine,
        ready: look.is_ready(&node.name),
        apiserver: look.apiservers.get(&node.name).map(Result::is_ok),
        phase: said.status().map(|s| s.phase.name().to_owned()),
        words: printable(&words),
        reboot_needed: said.status().is_some_and(|s| s.reboot_needed.is_some()),
    }
}

fn print_report(report: &ClusterReport, cluster: &Cluster) {
    let paint = Paint::stdout();
    let state = if report.whole {
        paint.green("ready")
    } else {
        paint.red("not whole")
    };
    println!("{}: {state}; {}", report.cluster, cluster_headline(cluster));
    let answers = if report.vip_answers {
        "answers"
    } else {
        "does not answer"
    };
    let held = report
        .vip_holder
        .as_ref()
        .map_or_else(String::new, |n| format!(", held by {n}"));
    println!("  vip   {} {answers}{held}", report.vip);
    println!(
        "  etcd  {}",
        if report.etcd_members.is_empty() {
            "not known".to_owned()
        } else {
            report.etcd_members.join(", ")
        }
    );
    println!("  keys  {}", report.keys.describe(&report.cluster, &paint));
    let ends = describe_certificates(&report.certificates, OffsetDateTime::now_utc(), &paint);
    for (i, line) in ends.iter().enumerate() {
        println!("  {:<5} {line}", if i == 0 { "certs" } else { "" });
    }
    let width = report.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    for node in &report.nodes {
        println!("{}", node.describe(width, paint));
    }
    for line in &report.missing {
        println!("  missing: {line}");
    }
}

impl NodeLine {
    /// `width`: that of the longest name.
    fn describe(&self, width: usize, paint: Paint) -> String {
        let ready = if self.ready {
            paint.green("Ready   ")
        } else {
            paint.red("NotReady")
        };
        let (name, role) = (&self.name, self.role.label());
        let phase = self.phase.as_deref().unwrap_or("-");
        let api = match self.apiserver {
            None => "",
            Some(true) => "apiserver ok",
            Some(false) => "apiserver down",
        };
        let reboot = if self.reboot_needed {
            "reboot-needed  "
        } else {
            ""
        };
        let address = self.address.to_string();
        let line = format!(
            "  {name:<width$}  {role:<13}  {address:<15}  {:<8}  {ready}  {phase:<9}  {api:<14}  {reboot}{}",
            self.machine, self.words
        );
        line.trim_end().to_owned()
    }
}
