//! What an agent that was killed, or a power cut, left on the disk: seen to at each start, before any phase looks at it.

use anyhow::Result;
use ha_wire::paths;
use tracing::warn;

use super::{is_settled, kubeadm_files, kubeadm_run_config, kubelet_conf};
use crate::context::Context;
use crate::kube::STATIC_PODS;
use crate::sys::files::{Files, TEMPORARY};

/// Directories of the files that the agent writes. Some of those hold keys, and so do their temporary files.
const DIRECTORIES: [&str; 11] = [
    "/etc",
    paths::AGENT_DIR,
    "/etc/kubernetes",
    STATIC_PODS,
    paths::PKI_DIR,
    "/etc/haproxy",
    "/etc/keepalived",
    "/etc/containers/systemd",
    "/var/lib/kubelet",
    paths::AGENT_STATE_DIR,
    "/run/ha-agent",
];

/// What the runtime's CNI library (libcni) remembers of each pod's network.
const CNI_RESULTS: &str = "/var/lib/cni/results";

/// Nothing here may keep the agent from its start: what cannot be done is told.
pub fn clear_leftovers(cx: &Context) {
    let steps = [
        wipe_temporary_files(&cx.sys.files),
        fix_files(cx),
        kubelet_conf::fix_at_start(cx),
        remove_broken_cni_results(&cx.sys.files),
    ];
    for error in steps.into_iter().filter_map(Result::err) {
        warn!("left over: {error:#}");
    }
}

/// Of the agent's own writes, and kubeadm's configuration, which may hold a token.
fn wipe_temporary_files(files: &Files) -> Result<()> {
    for dir in DIRECTORIES {
        for name in files.names(dir)? {
            let name = format!("{dir}/{name}");
            let is_temporary = name.starts_with(&format!("{dir}/{TEMPORARY}"));
            if is_temporary || kubeadm_run_config::is_config_file(&name) {
                files.wipe(&name)?;
            }
        }
    }
    Ok(())
}

/// libcni syncs none of them: one that a power cut left empty keeps its pod from ever being stopped, and so from coming back. A pod
/// without one is stopped well.
fn remove_broken_cni_results(files: &Files) -> Result<()> {
    for name in files.names(CNI_RESULTS)? {
        let name = format!("{CNI_RESULTS}/{name}");
        let text = files.read(&name)?.unwrap_or_default();
        if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
            warn!(
                "{name} is empty or cut short, as after a power cut: its pod could not be stopped"
            );
            files.remove_file(&name)?;
        }
    }
    Ok(())
}

fn fix_files(cx: &Context) -> Result<()> {
    if is_settled(cx) {
        kubeadm_files::fix_without_kubeadm(cx)
    } else {
        kubeadm_files::remove_broken(cx)
    }
}

#[cfg(test)]
mod tests;
