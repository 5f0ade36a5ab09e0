//! `status [CLUSTER]`: how a cluster does, from the API, the machines and the nodes themselves.

use std::sync::Arc;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::{Cluster, Node, ProviderOptions as Kind};
use ha_host_base::exit::Exit;
use ha_host_base::interrupt::Interrupt;
use ha_host_base::text::{Paint, home, printable};
use ha_kube::etcd::Member;
use ha_providers::{self, Machine, Provider};
use ha_wire::phase::Role;
use serde::Serialize;

use crate::api::{Api, ClusterView};
use crate::cli::Status;
use crate::node_status::{self, NodeAnswer};
use crate::progress::cluster_headline;
use crate::source;
use crate::state::{ClusterDir, StateRoot};

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
    nodes: Vec<NodeLine>,
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
}

/// Exit code: 0 if the cluster is whole, 1 if not.
pub fn run(args: &Status, root: &StateRoot) -> Result<Exit> {
    let Some(name) = &args.cluster else {
        return list_clusters(root, args.json);
    };
    let dir = source::find_cluster(root, name)?;
    let cluster = source::known_cluster(&dir)?;
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

fn list_clusters(root: &StateRoot, json: bool) -> Result<Exit> {
    let mut records = Vec::new();
    for name in root.clusters() {
        records.push((root.dir(&name).record()?, root.dir(&name)));
    }
    if json {
        let list: Vec<_> = records.iter().filter_map(|(r, _)| r.as_ref()).collect();
        println!(
            "{}",
            serde_json::to_string(&serde_json::json!({"version": VERSION, "clusters": list}))?
        );
    } else if records.is_empty() {
        println!("no clusters; `ha-host new` writes a cluster file to start from");
    } else {
        for (record, dir) in records
            .iter()
            .filter_map(|(r, d)| r.as_ref().map(|r| (r, d)))
        {
            println!(
                "{:<20} {:<20} {}",
                record.name,
                record.life.words(),
                home(dir.path())
            );
        }
    }
    Ok(Exit::Done)
}

fn gather_report(dir: &ClusterDir, cluster: &Cluster) -> Result<ClusterReport> {
    let pki = dir
        .pki()?
        .context("this cluster has no keys yet: launch it")?;
    let provider: Arc<dyn Provider> = Arc::from(ha_providers::provider_of(cluster, dir.path())?);
    let api = Api::new(cluster, &pki, provider.clone())?;
    let look = ha_host_base::block_on(api.observe_all())?;
    let said = node_status::node_statuses(cluster, &*provider);
    let provider = Some(provider).filter(|_| cluster.provider != Kind::None);
    let vip_holder = node_status::vip_holder(cluster, &said);
    let missing = look.missing(cluster);
    let line = |(node, said)| node_line(node, &said, provider.as_deref(), &look);
    Ok(ClusterReport {
        version: VERSION,
        cluster: cluster.name.clone(),
        whole: missing.is_empty(),
        missing,
        vip: cluster.endpoint.authority(),
        vip_answers: look.vip.is_ok(),
        vip_holder,
        etcd_members: member_names(&look),
        nodes: cluster.nodes.iter().zip(said).map(line).collect(),
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
    provider: Option<&dyn Provider>,
    look: &ClusterView,
) -> NodeLine {
    let machine = match provider.map(|p| p.state(node)) {
        None | Some(Err(_)) => "unknown",
        Some(Ok(Machine::Absent)) => "absent",
        Some(Ok(Machine::Off)) => "off",
        Some(Ok(Machine::Running)) => "running",
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
    let width = report.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    for n in &report.nodes {
        let ready = if n.ready {
            paint.green("Ready   ")
        } else {
            paint.red("NotReady")
        };
        let (name, role, phase) = (&n.name, n.role.label(), n.phase.as_deref().unwrap_or("-"));
        let api = n
            .apiserver
            .map_or("", |ok| if ok { "apiserver ok" } else { "apiserver down" });
        let address = n.address.to_string();
        let line = format!(
            "  {name:<width$}  {role:<13}  {address:<15}  {:<8}  {ready}  {phase:<9}  {api:<14}  {}",
            n.machine, n.words
        );
        println!("{}", line.trim_end());
    }
    for line in &report.missing {
        println!("  missing: {line}");
    }
}
