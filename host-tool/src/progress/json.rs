//! One JSON object a line: for programs. `version` counts up when a reader of the old form would go wrong.

use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar;
use serde_json::{Value, json};

use super::describe::{unfinished_node, waiting_for};
use super::{Printer, end, pull};
use crate::api::{self, ClusterView};
use crate::launch::node_progress::NodeChange;
use crate::launch::report::{
    End, FailureCause, Failures, LaunchEvent, NodeFailure, Report, Summary, Unfinished,
};
use crate::source::FileFaults;

/// The version of the format below. 2: the problems of `unfit` have `message` and `remedy`, as such things are called
/// everywhere.
const VERSION: u32 = 2;

#[derive(Debug)]
pub struct JsonReport {
    printer: Box<dyn Printer>,
}

impl Report for JsonReport {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        match happened {
            LaunchEvent::Begun(cluster) => self.print_object("begin", cluster_object(cluster)),
            LaunchEvent::StepDone(name, facts) => {
                self.print_object("step", json!({"step": name, "seen": facts}));
            }
            LaunchEvent::Warning(message) => {
                self.print_object("warning", json!({"message": message}));
            }
            LaunchEvent::NodeSaid(event) => self.print_object("event", json!({"event": event})),
            LaunchEvent::NodeChanged(node, NodeChange::Moved) => self.print_object(
                "node",
                json!({"node": node.name, "phase": node.stage, "words": waiting_for(node)}),
            ),
            LaunchEvent::ClusterChanged(look, cluster) => {
                self.print_object("look", look_object(look, cluster));
            }
            LaunchEvent::ClusterAwaited(missing) => {
                self.print_object("awaited", json!({"missing": missing}));
            }
            LaunchEvent::Ended(end) => self.print_end(end),
            LaunchEvent::Broken(error) => self.print_object("error", error_object(error)),
            // What a node waits for was an event of its own.
            LaunchEvent::NodeChanged(_, NodeChange::Waiting) => {}
            // Before the end: whoever reads the last object alone goes on reading the end.
            LaunchEvent::PictureWritten(path) => {
                self.print_object("picture", json!({"path": path}));
            }
            LaunchEvent::StepBegun(_) | LaunchEvent::Tick(_) | LaunchEvent::StateHeld(_) => {}
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
    json!({"vip": look.vip.is_ok(), "ready": ready, "missing": api::describe_missing(cluster, look)})
}

impl JsonReport {
    pub fn new(printer: Box<dyn Printer>) -> Self {
        Self { printer }
    }

    fn print_object(&self, kind: &str, mut object: Value) {
        object["version"] = json!(VERSION);
        object["type"] = json!(kind);
        self.printer.print(&object.to_string());
    }

    fn print_end(&self, end: &End) {
        match end {
            End::Ready(summary) => self.print_object("ready", summary_object(summary)),
            End::AlreadyReady(summary) => {
                self.print_object("already-ready", summary_object(summary))
            }
            End::HostUnfit(findings) => {
                let problem =
                    |f: &ha_providers::Finding| json!({"message": f.message, "remedy": f.remedy});
                let problems: Vec<Value> = findings.iter().map(problem).collect();
                self.print_object("unfit", json!({"problems": problems}));
            }
            // One object a node: a reader of the first versions, which knew one failed node alone, takes the last.
            End::Failed(failures) => {
                for node in &failures.nodes {
                    self.print_object("failed", failure_object(node, failures));
                }
            }
            End::TimedOut(unfinished) => {
                self.print_object("timed-out", unfinished_object(unfinished))
            }
            End::Interrupted(_) => self.print_object("interrupted", json!({})),
        }
    }
}

/// Of a cluster file also each fault with its place.
fn error_object(error: &anyhow::Error) -> Value {
    match error.downcast_ref::<FileFaults>() {
        Some(faults) => json!({"message": faults.to_string(), "faults": faults.0}),
        None => json!({"message": format!("{error:#}")}),
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
    let (seconds, step) = (unfinished.took.as_secs_f64(), unfinished.stopped_at);
    json!({"seconds": seconds, "missing": missing, "stoppedAt": step})
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
