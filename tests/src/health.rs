//! What `ha-host status` says of a whole cluster, and of one whose parts are taken away.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::eventually::wait_until;
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

/// keepalived's units end and begin on two busy cores.
const MOVED: Duration = Duration::from_secs(60);

/// `ha-host status` has nothing to say within `within`, and `ha-host doctor` at once.
pub fn nothing_is_wrong(story: &Story, cluster: &Cluster, within: Duration) {
    story.step("ha-host status and doctor find nothing", || {
        wait_until("exit code 0", within, || {
            cluster.ha_host(&["status", cluster.name()], within)?.ok()
        })?;
        cluster.ha_host(&["doctor", cluster.name()], within)?.ok()
    });
}

fn ask_status(cluster: &Cluster, more: &[&str]) -> Result<FinishedProcess> {
    cluster.ha_host(&[&["status", cluster.name()], more].concat(), LOOK)
}

/// What `ha-host status` is to say of a fault, and how soon.
#[derive(Debug, Clone)]
pub struct Told {
    /// How the fault is called in the story.
    pub fault: &'static str,
    /// When it was there.
    pub begun: Instant,
    /// Words of the finding.
    pub words: &'static str,
    /// It is told within this: ten seconds for what a node knows by itself, a minute for what is the cluster's.
    pub within: Duration,
}

impl Told {
    /// From now on.
    pub fn begin(fault: &'static str, words: &'static str, within: Duration) -> Self {
        Self {
            fault,
            begun: Instant::now(),
            words,
            within,
        }
    }
}

/// Asks until all of these are told, and notes after what time each was. One that is late is an error once all are told.
pub fn status_tells(story: &Story, cluster: &Cluster, all: &[Told]) -> Result<()> {
    let mut left = all.to_vec();
    let mut late = Vec::new();
    wait_until("ha-host status tells it", WHOLE, || {
        let done = ask_status(cluster, &["--json"])?;
        let json: Value = serde_json::from_str(&done.stdout).context("status --json")?;
        let findings = json["findings"].as_array().into_iter().flatten();
        let said: Vec<&str> = findings.filter_map(|f| f["what"].as_str()).collect();
        left.retain(|told| {
            let Some(what) = said.iter().find(|what| what.contains(told.words)) else {
                return true;
            };
            let after = told.begun.elapsed();
            let (fault, seconds) = (told.fault, after.as_secs_f64());
            story.note(&format!("{fault}: told after {seconds:.1} s: {what}"));
            if after > told.within || done.code != Some(1) {
                late.push(format!(
                    "{fault}: {seconds:.1} s, exit code {:?}",
                    done.code
                ));
            }
            false
        });
        ensure!(left.is_empty(), "{left:?} of {said:?}");
        Ok(())
    })?;
    ensure!(late.is_empty(), "told too late: {late:?}");
    Ok(())
}

/// The VIP's holder is this control plane: the others have no keepalived for a moment.
pub fn vip_moved_to(cluster: &Cluster, name: &str) -> Result<String> {
    let planes = cluster.control_planes();
    let on_others = |order: &str| {
        let mut others = planes.iter().filter(|other| *other != name);
        others.try_for_each(|other| cluster.node(other).sh(order).map(drop))
    };
    on_others("systemctl mask --runtime --now keepalived 2>&1")?;
    let moved = wait_until("the holder", MOVED, || {
        let holder = cluster.vip_holder()?;
        ensure!(holder == name, "{holder} holds it");
        Ok(holder)
    });
    on_others("systemctl unmask --runtime keepalived 2>&1; systemctl start keepalived")?;
    moved
}

/// For people and for machines; exit code 0.
pub fn status_is_whole(story: &Story, cluster: &Cluster) {
    story.step(
        "ha-host status says whole, for people and for machines",
        || {
            let text = wait_until("the cluster is whole", WHOLE, || {
                let done = ask_status(cluster, &[])?;
                ensure!(done.code == Some(0), "{}", done.stdout);
                Ok(done.stdout)
            })?;
            let head = format!("{}: whole; ", cluster.name());
            ensure!(text.starts_with(&head), "{text}");
            let json = ask_status(cluster, &["--json"])?.stdout;
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
        wait_until("the scheduler is named", TOLD, || {
            let done = ask_status(cluster, &["--json"])?;
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
        wait_until("the cluster is whole", WHOLE, || {
            let done = ask_status(cluster, &[])?;
            ensure!(done.code == Some(0), "{}", done.stdout);
            Ok(())
        })
    });
}
