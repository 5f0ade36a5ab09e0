//! The manifest of etcd's static pod as kubeadm writes it, one argument a line, and what lies where it says.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use ha_kube::ETCD_CLIENT_PORT;
use ha_wire::phase::Phase;

use super::etcd_log;
use crate::context::Context;
use crate::kube::pod_manifest;
use crate::render::kubeadm::EffectiveSettings;
use crate::sys::net;

const INITIAL_CLUSTER: &str = "initial-cluster";
const INITIAL_STATE: &str = "initial-cluster-state";
const EXISTING: &str = "existing";
/// etcd's own, when it is told none.
const DEFAULT_QUOTA: u64 = 2 << 30;
/// An etcd whose manifest is gone is stopped by the kubelet within its grace period of 30 s.
const GONE_WITHIN: Duration = Duration::from_secs(45);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The manifest on this node's disk; empty if there is none.
pub fn read_manifest(cx: &Context) -> Result<String> {
    Ok(cx
        .sys
        .files
        .read(&pod_manifest("etcd"))?
        .unwrap_or_default())
}

/// The names of the members that this etcd would found a cluster of, or join; none if the manifest does not say it.
pub fn initial_members(manifest: &str) -> Vec<&str> {
    let members = flag_value(manifest, INITIAL_CLUSTER).unwrap_or_default();
    members
        .split(',')
        .filter_map(|member| Some(member.split_once('=')?.0))
        .collect()
}

/// Whether this etcd makes an empty cluster when it finds no data.
pub fn can_bootstrap(manifest: &str) -> bool {
    flag_value(manifest, INITIAL_CLUSTER).is_some()
        && flag_value(manifest, INITIAL_STATE) != Some(EXISTING)
}

/// The same for an etcd that never makes an empty cluster: without data it ends with an error, for it is told of no member
/// that it could ask; with data it does not look at these arguments.
pub fn without_bootstrap(manifest: &str) -> String {
    let mut out = String::with_capacity(manifest.len() + 64);
    for line in manifest.lines() {
        if value_of(line, INITIAL_STATE).is_some() {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if value_of(line, INITIAL_CLUSTER).is_some() {
            let indent = &line[..line.len() - line.trim_start().len()];
            out.push_str(&format!("{indent}- --{INITIAL_STATE}={EXISTING}\n"));
        }
    }
    out
}

/// Whether etcd ever wrote anything: without a log, or with one that has no entry, it has made no cluster.
pub fn has_data(cx: &Context, manifest: &str) -> Result<bool> {
    let log = log_directory(cx, manifest);
    let names = cx.sys.files.names(&log)?;
    let has_log = names.iter().any(|name| name.ends_with(".wal"));
    Ok(has_log && !etcd_log::is_unwritten(&cx.sys.files, &log)?)
}

/// Where it keeps its log, by the manifest or, where that says nothing, by what kubeadm is told.
pub fn log_directory(cx: &Context, manifest: &str) -> String {
    match flag_value(manifest, "wal-dir") {
        Some(log) => log.to_owned(),
        None => format!("{}/member/wal", data_directory(cx, manifest)),
    }
}

/// The same of all that it keeps.
pub fn data_directory(cx: &Context, manifest: &str) -> String {
    let data = flag_value(manifest, "data-dir").map(str::to_owned);
    data.unwrap_or_else(|| EffectiveSettings::new(&cx.node).etcd_data)
}

/// Ends this node's own etcd: its manifest goes, or the kubelet would start it again. Data must not be taken from under one that
/// runs: that it still does is an error.
pub async fn end_own_etcd(cx: &Context, phase: Phase) -> Result<()> {
    cx.sys.files.remove_file(&pod_manifest("etcd"))?;
    let own = SocketAddr::new(cx.node.address, ETCD_CLIENT_PORT);
    let begin = cx.sys.clock.monotonic();
    while net::accepts_connections(own).await {
        if cx.sys.clock.monotonic().saturating_sub(begin) > GONE_WITHIN {
            bail!(
                "the old etcd on this node still runs, {} s after its manifest was removed: look at the kubelet",
                GONE_WITHIN.as_secs()
            );
        }
        cx.report
            .waiting(phase, "the old etcd on this node to end", "");
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// What its database may take, bytes: by the manifest, or etcd's own default.
pub fn backend_quota(manifest: &str) -> u64 {
    let said = flag_value(manifest, "quota-backend-bytes").and_then(|bytes| bytes.parse().ok());
    said.filter(|bytes| *bytes > 0).unwrap_or(DEFAULT_QUOTA)
}

fn flag_value<'a>(manifest: &'a str, name: &str) -> Option<&'a str> {
    manifest.lines().find_map(|line| value_of(line, name))
}

fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let argument = line.trim().strip_prefix("- --")?;
    argument.strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests;
