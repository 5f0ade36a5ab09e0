//! Pods that write down when they were told to end, and that they got to the end of what they do then.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cluster::Cluster;
use crate::eventually::wait_until;

/// Where they write, on their node's disk: one file a pod.
const DIRECTORY: &str = "/var/lib/last-words";
/// What they need after SIGTERM, in seconds; more than anybody gives who only forgets to kill at once.
const NEEDS: u32 = 4;
/// Their grace, in seconds.
const GRACE: u32 = 10;
/// Until both run.
const START: Duration = Duration::from_secs(60);

/// When a pod was told to end and when it had ended by itself, in seconds of the kernel's uptime.
#[derive(Debug, Clone, Copy)]
pub struct LastWords {
    /// It got SIGTERM.
    pub told: f64,
    /// It had done what it had to.
    pub done: f64,
}

impl LastWords {
    /// What the pod of this name wrote on its node; an error if it was killed before its end.
    pub fn read(cluster: &Cluster, node: &str, pod: &str) -> Result<Self> {
        let text = cluster.node(node).read(&format!("{DIRECTORY}/{pod}"))?;
        let times: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        match times.with_context(|| format!("{pod} wrote {text:?}"))?[..] {
            [told, done] => Ok(Self { told, done }),
            _ => anyhow::bail!("{pod} did not get to its end, it wrote {text:?}"),
        }
    }
}

/// Starts `ordinary` and `critical` on a node, whatever its taints, and waits until both run.
pub fn start_pods(cluster: &Cluster, node: &str) -> Result<()> {
    let image = cluster.kube().lab_image()?;
    let pods = [("ordinary", ""), ("critical", "system-node-critical")];
    let items: Vec<_> = pods
        .iter()
        .map(|(name, class)| pod_manifest(name, class, node, &image))
        .collect();
    let file = cluster.dir().join("last-words.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    fs::write(&file, list.to_string())?;
    cluster
        .kube()
        .ctl(&["apply", "-f", &file.display().to_string()])?;
    for (name, _) in pods {
        wait_until("the pod listens for SIGTERM", START, || {
            let path = format!("{DIRECTORY}/{name}.listens");
            cluster.node(node).sh(&format!("test -e {path}"))
        })?;
    }
    Ok(())
}

fn pod_manifest(name: &str, class: &str, node: &str, image: &str) -> serde_json::Value {
    let script = format!(
        "bb=/usr/local/bin/busybox; now() {{ read -r up rest < /proc/uptime; echo $up; }}
         end() {{ now > /w/{name}; $bb sleep {NEEDS}; now >> /w/{name}; exit 0; }}
         trap end TERM; : > /w/{name}.listens; while :; do $bb sleep 1 & wait; done"
    );
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeName": node, "priorityClassName": class, "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": GRACE, "restartPolicy": "Always",
            "containers": [{
                "name": "c", "image": image, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", script],
                "volumeMounts": [{"name": "w", "mountPath": "/w"}],
            }],
            "volumes": [{"name": "w", "hostPath": {"path": DIRECTORY, "type": "DirectoryOrCreate"}}],
        },
    })
}
