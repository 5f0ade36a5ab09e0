//! A file of `examples/` on the lab's machines, which bring what is not to be had here: the provider, and the system extensions.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ha_cluster_file::check::{check_cluster_file, render_faults};
use ha_cluster_file::minors::example_version;
use ha_wire::phase::Role;

use super::ClusterPlan;
use crate::lab::{Lab, workspace_root};

/// The manifest that examples name, and that its makers have.
const MANIFEST: &str = "calico.yaml";

/// An example as it is launched.
#[derive(Debug, Clone)]
pub struct Example {
    pub(super) text: String,
    pub(super) nodes: Vec<(String, Role, IpAddr)>,
}

impl Example {
    /// The manifest that has to lie beside the file; none: the example names none.
    pub(super) fn manifest(&self) -> Option<&'static str> {
        self.text.contains(MANIFEST).then_some(MANIFEST)
    }
}

impl ClusterPlan {
    /// `examples/FILE` under a test's name. `changes`: further words that the lab has others for, each once in the file.
    pub fn of_example(file: &str, name: &str, changes: &[(&str, &str)]) -> Result<Self> {
        let lab = Lab::default();
        let examples = workspace_root().join("examples");
        let mut text = std::fs::read_to_string(examples.join(file))?;
        for (from, to) in changes {
            ensure!(text.matches(from).count() == 1, "{file}: {from:?} once");
            text = text.replace(from, to);
        }
        text = text.replace(example_version(), &lab.kubernetes());
        let mut plan = Self::new(name, 0, 0);
        plan.sysexts.push("cilium");
        let provider = plan.provider(&lab);
        text = with_line(&text, "name", name).context("no name")?;
        text = with_line(&text, "provider", &provider).context("no provider")?;
        text = without_block(&text, "sysexts") + &plan.sysexts_lines(&lab);
        let (cluster, _) = check_cluster_file(&text, &examples)
            .map_err(|faults| anyhow::anyhow!("{}", render_faults(&faults, &text, file)))?;
        plan.vip = Some(cluster.endpoint.vip);
        plan.port = cluster.endpoint.port;
        plan.apiserver_port = cluster.endpoint.apiserver_port;
        let nodes = cluster.kubernetes_nodes();
        let nodes = nodes.map(|node| (node.name.clone(), node.role, node.address));
        plan.example = Some(Example {
            nodes: nodes.collect(),
            text,
        });
        Ok(plan)
    }
}

/// The text with another value of this key of the file.
fn with_line(text: &str, key: &str, value: &str) -> Option<String> {
    let start = format!("{key}:");
    let old = text.lines().find(|line| line.starts_with(&start))?;
    Some(text.replace(old, &format!("{key}: {value}")))
}

/// The text without this key of the file and what is indented below it.
fn without_block(text: &str, key: &str) -> String {
    let start = format!("{key}:");
    let mut within = false;
    let kept = text.split_inclusive('\n').filter(|line| {
        within = line.starts_with(&start) || within && line.starts_with(' ');
        !within
    });
    kept.collect()
}
