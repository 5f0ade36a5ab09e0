//! kube-controller-manager and kube-scheduler read their kubeconfig only when they start. They are restarted by an annotation in
//! their manifest that names the end of what they are to run with: the kubelet makes the pod anew, by itself and whatever its
//! runtime. Nothing is ever absent (a manifest that is moved away and back is, if the power goes in between), writing the
//! same again restarts nothing, and a `kubeadm upgrade` that drops the annotation has restarted the pod itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_kube::kubeconfig::parse_yaml;
use ha_kube::objects::Pod;
use serde_json::{Value, json};
use tracing::{debug, info};

use super::ends::{
    CONTROLLER_MANAGER_CONF, Condition, RENEWABLE, SCHEDULER_CONF, kubeconfig_file, written_ms,
};
use crate::context::Context;
use crate::kube::{self, pod_manifest};

/// A static pod with the kubeconfig that it reads at its start.
#[derive(Debug, PartialEq, Eq)]
pub struct Component {
    pub name: &'static str,
    conf: &'static str,
}

const COMPONENTS: [Component; 2] = [
    Component {
        name: "kube-controller-manager",
        conf: CONTROLLER_MANAGER_CONF,
    },
    Component {
        name: "kube-scheduler",
        conf: SCHEDULER_CONF,
    },
];

/// In milliseconds since 1970.
const ANNOTATION: &str = "flatcar-ha/certificate-ends";
/// The grace period of 30 s, the kubelet's look at its manifests every 20 s, and a start under load.
const RESTARTED_WITHIN: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Those that run with an older certificate than the disk has, and were not told to restart yet.
pub async fn old_components(
    cx: &Context,
    current: &mut BTreeMap<&'static str, u64>,
) -> Result<Vec<&'static Component>> {
    let mut old = Vec::new();
    for component in &COMPONENTS {
        let Some(until_ms) = end_on_disk(cx, component)? else {
            continue;
        };
        let Some(manifest) = cx.sys.files.read(&pod_manifest(component.name))? else {
            continue;
        };
        let is_told = annotation_of(&manifest)? == Some(until_ms.to_string());
        if is_told || current.get(component.name) == Some(&until_ms) {
            continue;
        }
        // One that does not run starts with what is there.
        match pod_of(cx, component).await?.and_then(|p| p.started_at_ms()) {
            Some(started) if was_written_since(cx, component, started) => old.push(component),
            Some(_) => _ = current.insert(component.name, until_ms),
            None => debug!("{} does not run", component.name),
        }
    }
    Ok(old)
}

/// Tells the kubelet to make the pod anew, and waits until it runs.
pub async fn restart_static_pod(cx: &Context, component: &Component) -> Result<()> {
    let name = component.name;
    let file = pod_manifest(name);
    let manifest = cx.sys.files.read(&file)?;
    let (Some(manifest), Some(until_ms)) = (manifest, end_on_disk(cx, component)?) else {
        bail!("{file} or {} has gone", component.conf);
    };
    let annotated = with_annotation(&manifest, &until_ms.to_string());
    let annotated = annotated.with_context(|| {
        format!("{file} is not written as kubeadm writes it: {name} must be restarted by hand")
    })?;
    info!("{name} is restarted: it runs with the certificate before");
    let told_s = cx.sys.clock.now_ms() / 1000;
    cx.sys.files.write(&file, 0o600, annotated.as_bytes())?;
    let begun = cx.sys.clock.monotonic();
    loop {
        let pod = pod_of(cx, component).await;
        let runs =
            |p: &Pod| p.is_ready() && p.started_at_ms().is_some_and(|ms| ms / 1000 >= told_s);
        if matches!(&pod, Ok(Some(pod)) if runs(pod)) {
            return Ok(());
        }
        if cx.sys.clock.monotonic().saturating_sub(begun) > RESTARTED_WITHIN {
            pod?;
            bail!(
                "{name} did not come back within {} s",
                RESTARTED_WITHIN.as_secs()
            );
        }
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
}

async fn pod_of(cx: &Context, component: &Component) -> Result<Option<Pod>> {
    let client = kube::as_admin(cx)?;
    let pod = format!("{}-{}", component.name, cx.node.name);
    client.pod(&pod).await.with_context(|| format!("pod {pod}"))
}

/// Whether its kubeconfig was written after it began; whole seconds are all that is known of that.
fn was_written_since(cx: &Context, component: &Component, started_ms: u64) -> bool {
    let written = written_ms(&cx.sys.files, &kubeconfig_file(component.conf));
    written.is_some_and(|at| started_ms <= at)
}

fn end_on_disk(cx: &Context, component: &Component) -> Result<Option<u64>> {
    let certificate = RENEWABLE.iter().find(|c| c.name == component.conf);
    let certificate = certificate.context("a component of no kubeconfig")?;
    Ok(match certificate.condition(&cx.sys.files)? {
        Condition::Sound(validity) => Some(validity.until_ms),
        _ => None,
    })
}

fn annotation_of(manifest: &str) -> Result<Option<String>> {
    let manifest = parse_yaml(manifest)?;
    let annotations = manifest.pointer("/metadata/annotations");
    let value = annotations.and_then(|all| all.get(ANNOTATION)?.as_str());
    Ok(value.map(str::to_owned))
}

/// The manifest with this one line more or changed; none if that cannot be done so that it says nothing else than before.
fn with_annotation(manifest: &str, value: &str) -> Option<String> {
    let line = format!("    {ANNOTATION}: \"{value}\"");
    let is_ours = |l: &str| l.trim_start().starts_with(&format!("{ANNOTATION}:"));
    let mut lines: Vec<&str> = manifest.lines().filter(|l| !is_ours(l)).collect();
    let metadata = lines.iter().position(|l| *l == "metadata:")?;
    let inside = |l: &&str| l.is_empty() || l.starts_with(' ');
    let block = lines[metadata + 1..].iter().take_while(|l| inside(l));
    match block.into_iter().position(|l| *l == "  annotations:") {
        Some(at) => lines.insert(metadata + at + 2, &line),
        None => {
            lines.insert(metadata + 1, "  annotations:");
            lines.insert(metadata + 2, &line);
        }
    }
    let annotated = lines.join("\n") + "\n";
    let mut wanted = parse_yaml(manifest).ok()?;
    let metadata = wanted.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    annotations
        .as_object_mut()?
        .insert(ANNOTATION.into(), Value::from(value));
    (parse_yaml(&annotated).ok()? == wanted).then_some(annotated)
}

#[cfg(test)]
mod tests;
