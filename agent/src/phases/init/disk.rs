//! What this node's disk says about its past. Only what is there counts, never what is missing.

use anyhow::Result;
use ha_wire::paths;

use crate::context::Context;
use crate::phases::etcd_manifest::{has_data, initial_members, read_manifest};
use crate::phases::kubelet_conf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Nothing that proves anything; an init may have been killed before its etcd wrote anything.
    Unproved,
    /// An etcd that this node founded, with data.
    Founded,
    /// A cluster stood: this node began to join it, or its kubelet has a certificate of it.
    KnewCluster,
}

/// The discovery file is written when the gate has opened. A signed kubelet's certificate without etcd's data is left
/// of a member that lost them.
pub fn read_past(cx: &Context) -> Result<Past> {
    let manifest = read_manifest(cx)?;
    let members = initial_members(&manifest);
    let joins_others = members.iter().any(|name| *name != cx.node.name);
    let has_data = has_data(cx, &manifest)?;
    let lost_data = !has_data && kubelet_conf::names_signed_certificate(cx)?;
    if joins_others || lost_data || cx.sys.files.exists(paths::DISCOVERY) {
        return Ok(Past::KnewCluster);
    }
    Ok(if has_data && members == [cx.node.name.as_str()] {
        Past::Founded
    } else {
        Past::Unproved
    })
}
