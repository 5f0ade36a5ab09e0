//! `ha-agent render`: what the agent would write, for a look. Changes nothing on the node.

use std::path::Path;

use anyhow::Result;
use ha_spec::node::NodeFile;

use super::Exit;
use crate::render::{haproxy, keepalived};
use crate::sys::files::Files;

/// Prints the files one after the other, or writes them below `out`.
pub fn render(node: &NodeFile, _files: &Files, out: Option<&Path>) -> Result<Exit> {
    let all = files_of(node);
    match out {
        Some(dir) => {
            let target = Files::new(dir);
            for (name, content) in all {
                target.write(name, 0o600, content.as_bytes())?;
                println!("{}", target.path(name).display());
            }
        }
        None => {
            for (name, content) in all {
                println!("==> {name} <==\n{content}");
            }
        }
    }
    Ok(Exit::Done)
}

/// Name on the node and content.
fn files_of(node: &NodeFile) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if node.is_control_plane() {
        all.push((keepalived::CONFIG, keepalived::config(node)));
        all.push((haproxy::CONFIG, haproxy::config(node, &node.control_planes)));
    }
    all
}
