//! One JSON object a line: for programs. `version` counts up when a reader of the old form would go wrong.

use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar;
use serde_json::{Value, json};

use super::describe::{stage_name, unfinished_node, waiting_for};
use super::{end, pull};
use crate::api::ClusterView;
use crate::launch::node_progress::NodeChange;
use crate::launch::report::{
    End, FailureCause, Failures, LaunchEvent, NodeFailure, Report, Summary, Unfinished,
};

/// The version of the format below.
const VERSION: u32 = 1;

#[derive(Debug)]
pub struct JsonReport;

fn print_object(kind: &str, mut object: Value) {
    object["version"] = json!(VERSION);
    object["type"] = json!(kind);
    println!("{object}");
}

impl Report for JsonReport {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        match happened {
            LaunchEvent::Begun(cluster) => print_object("begin", cluster_object(cluster)),
            LaunchEvent::StepDone(name, facts) => {
                print_object("step", json!({"step": name, "seen": facts}));
            }
            LaunchEvent::Warning(message) => {
                print_object("warning", json!({"message": message}));
            }
            LaunchEvent::NodeSaid(event) => print_object("event", json!({"event": event})),
            LaunchEvent::NodeChanged(node, NodeChange::Moved) => print_object(
                "node",
                json!({"node": node.name, "phase": stage_name(node.stage), "words": waiting_for(node)}),
            ),
            LaunchEvent::ClusterChanged(look, cluster) => {
                print_object("look", look_object(look, cluster));
            }
            LaunchEvent::Ended(end) => print_end(end),
            LaunchEvent::Broken(message) => print_object("error", json!({"message": message})),
            // What a node waits for was an event of its own.
            LaunchEvent::NodeChanged(_, NodeChange::Waiting) | LaunchEvent::Tick(_) => {}
        }
    }

    fn download_bar(&self) -> Box<dyn Bar> {
        pull::download_bar(true)
    }
}

fn cluster_object(cluster: &Cluster) -> Value {
    let nodes: Vec<&str> = cluster.nodes.iter().map(|n| n.name.as_str()).collect();
    let (vip, kubernetes) = (cluster.endpoint.authority(), &cluster.kubernetes.version);
    json!({"cluster": cluster.name, "nodes": nodes, "vip": vip, "kubernetes": kubernetes})
}

fn look_object(look: &ClusterView, cluster: &Cluster) -> Value {
    let ready = look.nodes.iter().filter(|(_, n)| n.ready);
    let ready: Vec<&String> = ready.map(|(name, _)| name).collect();
    json!({"vip": look.vip.is_ok(), "ready": ready, "missing": look.missing(cluster)})
}

fn print_end(end: &End) {
    match end {
        End::Ready(summary) => print_object("ready", summary_object(summary)),
        End::AlreadyReady(summary) => print_object("already-ready", summary_object(summary)),
        End::HostUnfit(findings) => {
            let problem = |f: &ha_providers::Finding| json!({"seen": f.message, "cure": f.remedy});
            let problems: Vec<Value> = findings.iter().map(problem).collect();
            print_object("unfit", json!({"problems": problems}));
        }
        // One object a node: a reader of the first versions, which knew one failed node alone, takes the last.
        End::Failed(failures) => {
            for node in &failures.nodes {
                print_object("failed", failure_object(node, failures));
            }
        }
        End::TimedOut(unfinished) => print_object("timed-out", unfinished_object(unfinished)),
        End::Interrupted(_) => print_object("interrupted", json!({})),
    }
}

fn failure_object(node: &NodeFailure, failures: &Failures) -> Value {
    let phase = match node.cause {
        FailureCause::PhaseFailed { phase, .. } => Some(phase.name()),
        _ => None,
    };
    json!({
        "node": node.node, "phase": phase, "what": end::what_failed(&node.cause), "words": node.output,
        "others": end::others_text(failures), "look": end::look_command(node, failures),
        "again": end::way_on(node, failures),
    })
}

fn unfinished_object(unfinished: &Unfinished) -> Value {
    let nodes = unfinished.nodes.iter().map(unfinished_node);
    let missing: Vec<String> = nodes.chain(unfinished.missing.iter().cloned()).collect();
    json!({"seconds": unfinished.took.as_secs_f64(), "missing": missing})
}

fn summary_object(s: &Summary) -> Value {
    let spent = s.timings.0.iter();
    let spent: serde_json::Map<String, Value> = spent
        .map(|(name, took)| ((*name).to_owned(), json!(took.as_secs_f64())))
        .collect();
    json!({
        "cluster": s.cluster, "seconds": s.took.as_secs_f64(), "nodes": s.nodes, "etcdMembers": s.members,
        "vipHolder": s.vip_holder, "kubeconfig": s.kubeconfig, "spent": spent,
    })
}
