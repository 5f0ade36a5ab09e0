//! `ha-agent render`: what the agent would write, for a look. Changes nothing on the node.

use std::path::Path;

use anyhow::Result;
use ha_wire::node::NodeFile;
use ha_wire::paths;
use ha_wire::settings::Cni;

use super::Exit;
use crate::context::Context;
use crate::phases;
use crate::render::{cilium, haproxy, keepalived, kubeadm};
use crate::sys::files::Files;

/// Prints the files one after the other, or writes them below `out`.
pub fn render(node: NodeFile, files: Files, out: Option<&Path>) -> Result<Exit> {
    let all = files_of(&super::run::context(node, files));
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

/// Name on the node and content. kubeadm's files live only while it runs.
fn files_of(cx: &Context) -> Vec<(&'static str, String)> {
    let node = &*cx.node;
    let mut all = Vec::new();
    if node.is_control_plane() {
        all.push((keepalived::CONFIG, keepalived::config(node)));
        all.push((haproxy::CONFIG, haproxy::config(node, &node.control_planes)));
    }
    if node.founder.is_some() {
        let config = kubeadm::init(node, phases::kubeadm::machine(cx), None, &[]);
        all.push(("/run/ha-agent/kubeadm-init.yaml", config));
    }
    all.push((
        "/run/ha-agent/kubeadm-join.yaml",
        kubeadm::join(node, phases::kubeadm::machine(cx), &[]),
    ));
    if let Cni::Cilium { values, .. } = &node.cni {
        all.push((paths::CILIUM_VALUES, cilium::values(node, values)));
    }
    all
}
