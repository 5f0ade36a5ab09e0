//! What a changed cluster file may change of a cluster that has machines.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_wire::phase::Role;

use crate::ignition::operator_texts;
use crate::inputs::OperatorFiles;
use crate::source::Source;
use crate::state::{ClusterDir, ClusterLife};

/// What a launch has to do because its cluster file is not what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Something is not what it was.
    any: bool,
    /// What reaches no node that stands, one line each.
    pub unreached: Vec<String>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        !self.any
    }
}

/// Compares a file with what the cluster was launched with. An error: it asks for what a launch cannot do.
pub fn judge_changes(dir: &ClusterDir, source: &Source) -> Result<Changes> {
    let Some(record) = dir.record()? else {
        return Ok(Changes::default());
    };
    match record.life {
        ClusterLife::Rendered => return Ok(Changes::default()),
        ClusterLife::Destroying => {
            let name = &record.name;
            return Err(Stop::bad_input(format!(
                "a destroy of {name} was cut off: finish it with `ha-host destroy {name}` first"
            )));
        }
        ClusterLife::Launching | ClusterLife::Standing => {}
    }
    let Some(old) = dir.accepted()? else {
        let (any, unreached) = (true, Vec::new());
        return Ok(Changes { any, unreached });
    };
    let new = &source.cluster;
    let text = files::read(&dir.path().join("cluster.yaml"))?;
    // Nobody edited it: what differs are defaults of another version of this program.
    let same_text = text.as_deref() == Some(&source.text) && record.base == source.base;
    let faults = if same_text {
        Vec::new()
    } else {
        unchangeable_parts(&old, new)
    };
    if faults.is_empty() {
        let (any, unreached) = (!same_text && old != *new, parts_for_new_nodes(&old, new));
        return Ok(Changes { any, unreached });
    }
    let (name, file) = (&old.name, source.path.display());
    Err(Stop::bad_input(format!(
        "{file} differs from what {name} was launched with, in what a launch cannot change:\n  {}\n  nothing was changed; \
         take these changes back, or `ha-host destroy {name}` first",
        faults.join("\n  ")
    )))
}

impl Changes {
    /// Notes whose content is not what the first control plane was made with, though the cluster file names the same paths.
    pub fn add_contents(
        &mut self,
        dir: &ClusterDir,
        source: &Source,
        files: &OperatorFiles,
    ) -> Result<()> {
        let founder = source.cluster.founder();
        let launched = dir
            .record()?
            .is_some_and(|r| r.life != ClusterLife::Rendered);
        let Some(path) = founder.filter(|_| launched).map(|n| dir.ignition(&n.name)) else {
            return Ok(());
        };
        let Some(config) = files::read(&path)? else {
            return Ok(());
        };
        let made_with = operator_texts(&config)
            .with_context(|| format!("{} cannot be understood", path.display()))?;
        let contents = [
            ("ignition.merge", made_with.merges == files.merges),
            (
                "kubernetes.cni.manifests",
                made_with.manifests == files.manifests,
            ),
        ];
        for (part, _) in contents.into_iter().filter(|(_, same)| !same) {
            let line = unreached(part);
            if !self.unreached.contains(&line) {
                self.unreached.push(line);
            }
        }
        Ok(())
    }
}

fn unreached(part: &str) -> String {
    format!("{part} changed: nodes that stand keep theirs, only new nodes get it")
}

/// What differs and is accepted, but is told to a node once, at its making.
fn parts_for_new_nodes(old: &Cluster, new: &Cluster) -> Vec<String> {
    let parts = [
        (
            "ssh.authorizedKeys",
            old.authorized_keys == new.authorized_keys,
        ),
        ("hooks", old.hooks == new.hooks),
        ("ignition.merge", old.ignition_merge == new.ignition_merge),
        ("sysexts", old.sysexts == new.sysexts),
        ("assets", old.assets == new.assets),
        ("updates", old.updates == new.updates),
    ];
    let changed = parts.into_iter().filter(|(_, same)| !same);
    changed.map(|(part, _)| unreached(part)).collect()
}

/// Everything that differs and is built into machines that stand.
fn unchangeable_parts(old: &Cluster, new: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    let mut differ = |what: &str, same: bool| {
        if !same {
            faults.push(format!("{what} is not what it was"));
        }
    };
    differ("endpoint", old.endpoint == new.endpoint);
    differ("network", old.network == new.network);
    differ("kubernetes", old.kubernetes == new.kubernetes);
    differ("loadBalancer", old.load_balancer == new.load_balancer);
    differ("provider", old.provider == new.provider);
    faults.extend(changed_nodes(old, new));
    faults
}

fn changed_nodes(old: &Cluster, new: &Cluster) -> Vec<String> {
    let find =
        |cluster: &'_ Cluster, name: &str| cluster.nodes.iter().find(|n| n.name == name).cloned();
    let names: BTreeSet<&str> = old
        .nodes
        .iter()
        .chain(&new.nodes)
        .map(|n| n.name.as_str())
        .collect();
    let compare = |name: &str| match (find(old, name), find(new, name)) {
        (Some(old), Some(new)) => (old != new).then(|| format!("node {name} is not what it was")),
        (Some(_), None) => Some(format!(
            "node {name} is gone (taking nodes out comes later)"
        )),
        (
            None,
            Some(Node {
                role: Role::ControlPlane,
                ..
            }),
        ) => Some(format!(
            "control plane {name} is new (adding control planes comes later; workers can be added now)"
        )),
        (None, _) => None,
    };
    names.into_iter().filter_map(compare).collect()
}
