//! What `ha-host status` says of a whole cluster, and of one whose parts are taken away.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::eventually::eventually;
use crate::process::FinishedProcess;
use crate::story::Story;

/// A look asks every node and every apiserver.
const LOOK: Duration = Duration::from_secs(20);
/// A cluster that is made or mended is whole within this: Leases are taken, servers pass their checks, CoreDNS has moved.
const WHOLE: Duration = Duration::from_secs(180);
/// What is wrong with the cluster is told within this: a Lease is old after 40 s, and the kubelet ends a static pod in its time.
const TOLD: Duration = Duration::from_secs(100);
/// Where kubeadm put the scheduler, and where it is kept meanwhile.
const SCHEDULER: [&str; 2] = [
    "/etc/kubernetes/manifests/kube-scheduler.yaml",
    "/root/kube-scheduler.yaml",
];

fn ask(cluster: &Cluster, more: &[&str]) -> Result<FinishedProcess> {
    cluster.ha_host(&[&["status", cluster.name()], more].concat(), LOOK)
}

/// For people and for machines; exit code 0.
pub fn status_is_whole(story: &Story, cluster: &Cluster) {
    story.step(
        "ha-host status says whole, for people and for machines",
        || {
            let text = eventually("the cluster is whole", WHOLE, || {
                let done = ask(cluster, &[])?;
                ensure!(done.code == Some(0), "{}", done.stdout);
                Ok(done.stdout)
            })?;
            let head = format!("{}: whole; ", cluster.name());
            ensure!(text.starts_with(&head), "{text}");
            let json = ask(cluster, &["--json"])?.stdout;
            let json: Value = serde_json::from_str(&json).context("status --json")?;
            ensure!(json["version"] == 2, "{json}");
            for (name, _, _) in cluster.plan().nodes() {
                let mut nodes = json["nodes"].as_array().into_iter().flatten();
                ensure!(
                    text.contains(&name) && nodes.any(|n| n["name"] == *name),
                    "{name}:\n{text}\n{json}"
                );
            }
            Ok(())
        },
    );
}

/// A cluster whose scheduler is gone looks as ever until somebody wants a pod.
pub fn a_dead_scheduler_is_named(story: &Story, cluster: &Cluster) {
    let [there, aside] = SCHEDULER;
    let planes = cluster.control_planes();
    let begun = Instant::now();
    let words = story.step("no scheduler runs: ha-host status names it", || {
        for name in &planes {
            cluster.node(name).sh(&format!("mv {there} {aside}"))?;
        }
        eventually("the scheduler is named", TOLD, || {
            let done = ask(cluster, &["--json"])?;
            let json: Value = serde_json::from_str(&done.stdout).context("status --json")?;
            let findings = json["findings"].as_array().into_iter().flatten();
            let what = |f: &Value| f["what"].as_str().unwrap_or_default().to_owned();
            let mut of_leases = findings.filter(|f| f["part"] == "leases").map(what);
            match of_leases.find(|what| what.contains("kube-scheduler")) {
                Some(what) if done.code == Some(1) => Ok(what),
                _ => bail!("exit code {:?}: {json}", done.code),
            }
        })
    });
    story.note(&format!(
        "after {:.1} s: {words}",
        begun.elapsed().as_secs_f64()
    ));
    story.step("it runs again: the cluster is whole again", || {
        for name in &planes {
            cluster.node(name).sh(&format!("mv {aside} {there}"))?;
        }
        eventually("the cluster is whole", WHOLE, || {
            let done = ask(cluster, &[])?;
            ensure!(done.code == Some(0), "{}", done.stdout);
            Ok(())
        })
    });
}
