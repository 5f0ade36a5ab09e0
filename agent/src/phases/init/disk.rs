//! What this node's disk says about its past. Only what is there counts, never what is missing.

use anyhow::Result;
use ha_wire::paths;
use ha_wire::phase::Phase;
use tracing::warn;

use crate::context::Context;
use crate::kube::pod_manifest;
use crate::phases::etcd_log::is_unwritten;
use crate::phases::etcd_manifest::{
    data_directory, end_own_etcd, has_data, initial_members, log_directory, read_manifest,
};
use crate::phases::kubelet_conf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskHistory {
    /// Nothing that proves anything; an init may have been killed before its etcd wrote anything.
    Unproved,
    /// An etcd that this node founded, with data; beside an external one, an init that was begun.
    Founded,
    /// A cluster stood: this node began to join it, or its kubelet has a certificate of it.
    KnewCluster,
}

/// The discovery file is written when the gate has opened. A signed kubelet's certificate without etcd's data is left
/// of a member that lost them.
pub fn read_disk_history(cx: &Context) -> Result<DiskHistory> {
    if cx.node.has_external_etcd() {
        return history_beside_external_etcd(cx);
    }
    let manifest = read_manifest(cx)?;
    let members = initial_members(&manifest);
    let joins_others = members.iter().any(|name| *name != cx.node.name);
    let has_data = has_data(cx, &manifest)?;
    let lost_data = !has_data && kubelet_conf::names_signed_certificate(cx)?;
    if joins_others || lost_data || cx.sys.files.exists(paths::DISCOVERY) {
        return Ok(DiskHistory::KnewCluster);
    }
    Ok(if has_data && members == [cx.node.name.as_str()] {
        DiskHistory::Founded
    } else {
        DiskHistory::Unproved
    })
}

/// There the data are elsewhere, and whose they are etcd itself says (`claim`): an apiserver's manifest without a trace of a join is
/// an init that was begun here, and may be begun again.
fn history_beside_external_etcd(cx: &Context) -> Result<DiskHistory> {
    let there = |name: &str| cx.sys.files.exists(name);
    Ok(if there(paths::DISCOVERY) {
        DiskHistory::KnewCluster
    } else if there(&pod_manifest("kube-apiserver")) {
        DiskHistory::Founded
    } else if kubelet_conf::names_signed_certificate(cx)? {
        DiskHistory::KnewCluster
    } else {
        DiskHistory::Unproved
    })
}

/// Before a cluster is founded: takes a log that was never written to away, with all that was made beside it, once no etcd
/// has it open. kubeadm writes its manifest anew.
pub async fn remove_unwritten_log(cx: &Context) -> Result<()> {
    let manifest = read_manifest(cx)?;
    let log = log_directory(cx, &manifest);
    let files = &cx.sys.files;
    if !is_unwritten(files, &log)? {
        return Ok(());
    }
    warn!(
        "{log} has no entry: etcd ended before its first one, and would wait for ever; it begins anew"
    );
    if let Err(error) = end_own_etcd(cx, Phase::Init).await {
        warn!("{log} stays until the next attempt: {error:#}");
        return Ok(());
    }
    // Who ran until now may have written after all.
    if is_unwritten(files, &log)? {
        files.remove_dir(&log)?;
        files.remove_dir(&format!("{}/member", data_directory(cx, &manifest)))?;
    }
    Ok(())
}
