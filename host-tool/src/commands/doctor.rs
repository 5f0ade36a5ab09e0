//! `doctor CLUSTER [NODE]`: every node examined by its own agent, then what only several nodes together show: two machines with
//! one identity, clocks apart, ports that a peer does not reach, pods that nobody can place, and the cluster's own judgement.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};
use ha_health::{Finding, Part};
use ha_host_base::clock::now_ms;
use ha_host_base::command::{Finished, run_within};
use ha_host_base::exit::Exit;
use ha_host_base::interrupt::Interrupt;
use ha_host_base::text::printable_line;
use ha_providers::Provider;
use ha_wire::doctor::{Check, Examination, Verdict, is_unfit};
use ha_wire::format::FormatError;
use serde::Serialize;

use super::KnownCluster;
use crate::api::{self, Api};
use crate::cli::DoctorArgs;
use crate::node_status::Asking;
use crate::state::StateRoot;

mod compare;
mod pods;
mod print;
mod ways;

/// The version of the JSON below.
const VERSION: u32 = 1;
/// A node listens for a second or more and asks several programs; on a busy machine all of that takes its time.
const EXAMINING: Asking = Asking {
    at_a_time: 8,
    each: Duration::from_secs(20),
    all: Duration::from_secs(60),
};

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DoctorReport {
    version: u32,
    cluster: String,
    /// Nothing has to be mended.
    well: bool,
    nodes: Vec<NodeReport>,
    /// What only several nodes together show.
    checks: Vec<Check>,
}

/// One node of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeReport {
    node: String,
    /// Why its agent did not examine it; empty: it did.
    error: String,
    checks: Vec<Check>,
}

/// How the examination of one node went.
struct Visit {
    node: Node,
    answer: Result<Examination, String>,
    /// This machine's clock at the answer, milliseconds since 1970.
    answered_ms: u64,
    /// How long the question took, milliseconds.
    took_ms: u64,
}

/// Exit code: 0 if nothing has to be mended, 1 if something has.
pub fn run(args: &DoctorArgs, root: &StateRoot) -> Result<Exit> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let nodes: Vec<&Node> = match &args.node {
        Some(name) => vec![known.node(name)?],
        None => known.cluster.nodes.iter().collect(),
    };
    let findings = judge_cluster(&known);
    let report = examine_cluster(&known.cluster, &*known.provider, &nodes, findings);
    // Whoever did not answer because we are to end is not silent.
    Interrupt::of_process().check()?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", print::report_as_text(&report));
    }
    let exit = match report.well {
        true => Exit::Done,
        false => Exit::Failed,
    };
    Ok(exit)
}

fn examine_cluster(
    cluster: &Cluster,
    provider: &dyn Provider,
    nodes: &[&Node],
    findings: Vec<Finding>,
) -> DoctorReport {
    let visits = visit_nodes(provider, nodes);
    let mut checks = compare::compare_nodes(&visits);
    checks.extend(ways::try_ways(cluster, provider, nodes));
    checks.extend(pods::check_pods(cluster, provider));
    checks.extend(as_checks(findings));
    let nodes: Vec<NodeReport> = visits.into_iter().map(node_report).collect();
    let is_well = |node: &NodeReport| node.error.is_empty() && !is_unfit(&node.checks);
    DoctorReport {
        version: VERSION,
        cluster: cluster.name.clone(),
        well: nodes.iter().all(is_well) && !is_unfit(&checks),
        nodes,
        checks,
    }
}

/// Has every one of these nodes examined by its agent, side by side.
fn visit_nodes(provider: &dyn Provider, nodes: &[&Node]) -> Vec<Visit> {
    let ask = |node: &Node, patience| visit_node(provider, node, patience);
    let visits = EXAMINING.ask(nodes, ask).into_iter().zip(nodes);
    let late = |node: &Node| Visit {
        node: node.clone(),
        answer: Err("there was no time left to ask it".into()),
        answered_ms: now_ms(),
        took_ms: 0,
    };
    visits
        .map(|(visit, node)| visit.unwrap_or_else(|| late(node)))
        .collect()
}

fn visit_node(provider: &dyn Provider, node: &Node, patience: Duration) -> Visit {
    let begun = now_ms();
    let answer = run_agent(provider, node, &["doctor", "--json"], patience);
    let answered_ms = now_ms();
    let answer = answer.and_then(|text| match Examination::parse(&text) {
        Ok(seen) => Ok(seen),
        Err(error @ FormatError::Version { .. }) => Err(error.to_string()),
        // An agent of before this verb, whose list of checks had no version.
        Err(FormatError::Shape { .. }) => {
            Err("its agent's answer is not understood: update whichever of both is older".into())
        }
    });
    Visit {
        node: node.clone(),
        answer,
        answered_ms,
        took_ms: answered_ms.saturating_sub(begun),
    }
}

/// What `ha-agent` prints on a node, whatever its exit code: 1 means that it found something.
fn run_agent(
    provider: &dyn Provider,
    node: &Node,
    args: &[&str],
    patience: Duration,
) -> Result<String, String> {
    let argv = [&["ha-agent"], args].concat();
    let finished = provider
        .exec(node, &argv)
        .and_then(|mut command| run_within(&mut command, "", patience));
    match finished {
        Ok(Finished {
            stdout,
            timed_out: None,
            ..
        }) if !stdout.trim().is_empty() => Ok(stdout),
        Ok(finished) => match finished.into_stdout() {
            Ok(_) => Err("its agent says nothing".into()),
            Err(error) => Err(printable_line(&error.to_string())),
        },
        Err(error) => Err(printable_line(&format!("{error:#}"))),
    }
}

/// What is wrong with the cluster as a whole, as `status` judges it; that it cannot be asked is a finding too.
fn judge_cluster(known: &KnownCluster) -> Vec<Finding> {
    let cluster = &known.cluster;
    let judged = || -> Result<Vec<Finding>> {
        let provider: Arc<dyn Provider> =
            Arc::from(ha_providers::provider_of(cluster, known.dir.path())?);
        let asked = Api::new(cluster, &known.dir.keys()?, provider.clone())?;
        let look = api::look_at_everything(&asked, cluster, &provider, None);
        let look = ha_host_base::block_on(look)??;
        Ok(api::all_findings(cluster, &look.view))
    };
    judged().unwrap_or_else(|error| vec![Finding::new(Part::Api, format!("{error:#}"))])
}

/// Findings as lines of the cluster's own.
fn as_checks(findings: Vec<Finding>) -> Vec<Check> {
    let check = |finding: Finding| {
        let name = match &finding.part {
            Part::Node(node) | Part::Agent(node) => node.clone(),
            part => part.label().to_string(),
        };
        Check::passing(&name, &finding.next).with(Verdict::Fail, printable_line(&finding.what), "")
    };
    findings.into_iter().map(check).collect()
}

fn node_report(visit: Visit) -> NodeReport {
    let node = visit.node.name;
    match visit.answer {
        Ok(seen) => NodeReport {
            node,
            error: String::new(),
            checks: seen.checks,
        },
        Err(error) => NodeReport {
            node,
            error,
            checks: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests;
