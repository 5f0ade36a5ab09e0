//! `ha-agent close-bootstrap`: before the kubelet starts, an etcd that knows a cluster is kept from beginning an empty one.

use anyhow::Result;
use ha_wire::node::NodeFile;

use super::Exit;
use crate::phases::steady::bootstrap;
use crate::sys::files::Files;
use crate::sys::new_runtime;

/// Says what was changed, to the kubelet's journal.
pub fn close_bootstrap(node: NodeFile, files: Files) -> Result<Exit> {
    let cx = super::run::real_context(node, files);
    if new_runtime()?.block_on(bootstrap::close_before_start(&cx))? {
        println!("etcd's manifest: an etcd without data no longer begins an empty cluster");
    }
    Ok(Exit::Done)
}
