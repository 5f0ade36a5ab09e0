//! One JSON object a line: for programs. `version` counts up when a reader of the old form would go wrong.

use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar;
use ha_wire::event::Event;
use serde_json::{Value, json};

use super::{End, Show, Summary};
use crate::api::Look;
use crate::launch::{Change, Track};

/// The version of the format below.
const VERSION: u32 = 1;

/// JSON lines.
#[derive(Debug)]
pub struct Json;

fn say(kind: &str, mut what: Value) {
    what["version"] = json!(VERSION);
    what["type"] = json!(kind);
    println!("{what}");
}

impl Show for Json {
    fn begin(&mut self, cluster: &Cluster) {
        let nodes: Vec<&str> = cluster.nodes.iter().map(|n| n.name.as_str()).collect();
        let (vip, kubernetes) = (cluster.endpoint.authority(), &cluster.kubernetes.version);
        say(
            "begin",
            json!({"cluster": cluster.name, "nodes": nodes, "vip": vip, "kubernetes": kubernetes}),
        );
    }

    fn step(&mut self, name: &str, seen: &[String]) {
        say("step", json!({"step": name, "seen": seen}));
    }

    fn event(&mut self, event: &Event) {
        say("event", json!({"event": event}));
    }

    fn change(&mut self, track: &Track, change: Change) {
        if change == Change::Moved {
            say(
                "node",
                json!({"node": track.name, "phase": track.place(), "words": track.words()}),
            );
        }
    }

    fn look(&mut self, look: &Look, cluster: &Cluster) {
        let ready: Vec<&String> = look
            .nodes
            .iter()
            .filter(|(_, n)| n.ready)
            .map(|(name, _)| name)
            .collect();
        say(
            "look",
            json!({"vip": look.vip.is_ok(), "ready": ready, "missing": look.missing(cluster)}),
        );
    }

    fn tick(&mut self, _tracks: &[Track]) {}

    fn end(&mut self, end: &End) {
        match end {
            End::Ready(s) => say("ready", summary(s)),
            End::Already(s) => say("already-ready", summary(s)),
            End::Unfit(findings) => {
                let list: Vec<Value> = findings
                    .iter()
                    .map(|f| json!({"seen": f.message, "cure": f.remedy}))
                    .collect();
                say("unfit", json!({"problems": list}));
            }
            End::Lost(lost, _) => say(
                "failed",
                json!({
                    "node": lost.node, "phase": lost.phase, "what": lost.what, "words": lost.words, "others": lost.others,
                    "look": lost.look, "again": lost.again,
                }),
            ),
            End::TimedOut { took, missing, .. } => {
                say(
                    "timed-out",
                    json!({"seconds": took.as_secs_f64(), "missing": missing}),
                );
            }
            End::Interrupted { .. } => say("interrupted", json!({})),
        }
    }

    fn bar(&self) -> Box<dyn Bar> {
        crate::progress::pull::of(true)
    }

    fn error(&mut self, message: &str) {
        say("error", json!({"message": message}));
    }
}

fn summary(s: &Summary) -> Value {
    let spent: serde_json::Map<String, Value> = s
        .spent
        .0
        .iter()
        .map(|(name, took)| ((*name).to_owned(), json!(took.as_secs_f64())))
        .collect();
    json!({
        "cluster": s.cluster, "seconds": s.took.as_secs_f64(), "nodes": s.nodes, "etcdMembers": s.members,
        "vipHolder": s.holder, "kubeconfig": s.kubeconfig, "spent": spent,
    })
}
