//! What a changed cluster file may change of a cluster that has machines.

use std::collections::BTreeSet;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_wire::phase::Role;

use crate::source::Source;
use crate::state::{ClusterDir, ClusterLife};

/// True: the file says what it said at the last launch. An error: it asks for what a launch cannot do.
pub fn is_unchanged(dir: &ClusterDir, source: &Source) -> Result<bool> {
    let Some(record) = dir.record()? else {
        return Ok(true);
    };
    match record.life {
        ClusterLife::Rendered => return Ok(true),
        ClusterLife::Destroying => {
            let name = &record.name;
            return Err(Stop::bad_input(format!(
                "a destroy of {name} was cut off: finish it with `ha-host destroy {name}` first"
            )));
        }
        ClusterLife::Launching | ClusterLife::Standing => {}
    }
    if files::read(&dir.path().join("cluster.yaml"))?.as_deref() == Some(&source.text)
        && record.base == source.base
    {
        return Ok(true);
    }
    let Some(old) = dir.accepted()? else {
        return Ok(false);
    };
    let faults = unchangeable_parts(&old, &source.cluster);
    if faults.is_empty() {
        return Ok(old == source.cluster);
    }
    let (name, file) = (&old.name, source.path.display());
    Err(Stop::bad_input(format!(
        "{file} differs from what {name} was launched with, in what a launch cannot change:\n  {}\n  nothing was changed; \
         take these changes back, or `ha-host destroy {name}` first",
        faults.join("\n  ")
    )))
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
