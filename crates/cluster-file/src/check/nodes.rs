//! How many nodes of which role, their labels and their taints.

use std::collections::HashMap;

use super::name_syntax::{is_label_value, is_qualified_name};
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, NodeEntry, Spanned, TaintFile};
use crate::suggest::did_you_mean;
use ha_wire::phase::Role;

/// More voters make every write slower and save nobody: etcd's own advice.
const MAX_CONTROL_PLANES: usize = 7;
/// kubeadm puts it on control planes by itself, as label and as taint.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// The agents' own labels and annotations.
const OWN_PREFIX: &str = "ha-agent/";
/// Kubernetes' own bound for all annotations of an object together.
const MAX_ANNOTATIONS: usize = 256 * 1024;
/// The effects of taints.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn check_nodes(file: &ClusterFile, faults: &mut Vec<Fault>) {
    if let Some(nodes) = &file.nodes {
        let external = file.kubernetes.etcd.as_ref();
        let external = external.is_some_and(|etcd| etcd.value.external().is_some());
        check_control_plane_count(nodes, external, faults);
    }
    check_room_for_pods(file, faults);
    for node in file.entries() {
        for (key, value) in &node.labels {
            check_label(node, key, value, faults);
        }
        check_annotations(node, faults);
        check_taints(node, faults);
    }
}

/// With an external etcd no control plane has a vote: two are as good as three.
fn check_control_plane_count(
    nodes: &Spanned<Vec<NodeEntry>>,
    external_etcd: bool,
    faults: &mut Vec<Fault>,
) {
    // A role that could not be read may be the one that is missed here.
    if nodes.value.iter().any(|node| node.role.is_none()) {
        return;
    }
    let is_control_plane = |node: &&NodeEntry| {
        node.role
            .as_ref()
            .is_some_and(|r| r.value == Role::ControlPlane)
    };
    let count = nodes.value.iter().filter(is_control_plane).count();
    let help = "an odd number of control planes, three for most clusters, keeps a majority when one is lost";
    let fault = match count {
        0 => nodes.error(
            "lists no control plane",
            "give one node, or better three, `role: control-plane`",
        ),
        1 if external_etcd => {
            let message = "lists one control plane: while it is away nothing answers at the VIP";
            let help = "two are enough with an external etcd";
            nodes.error(message, help).warning()
        }
        _ if external_etcd => return,
        1 => nodes
            .error("lists one control plane: the cluster is lost with it", help)
            .warning(),
        n if n % 2 == 0 => {
            let message = format!(
                "lists {n} control planes: they tolerate no more failures than {}",
                n - 1
            );
            nodes.error(message, help).warning()
        }
        n if n > MAX_CONTROL_PLANES => {
            let message =
                format!("lists {n} control planes: more than {MAX_CONTROL_PLANES} make etcd slow");
            nodes.error(message, help).warning()
        }
        _ => return,
    };
    faults.push(fault);
}

/// Several control planes may be the beginning of a cluster, workers come with a later launch; one alone mostly is all there
/// will be.
fn check_room_for_pods(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let mut nodes = file.kubernetes_entries();
    let (Some(only), None) = (nodes.next(), nodes.next()) else {
        return;
    };
    let Some(role) = only.role.as_ref() else {
        return;
    };
    if role.value == Role::ControlPlane && !only.taints_given {
        let message = "is a control plane, and there is no worker: no pod of yours would run";
        let help = "say `taints: []` there and pods may run on it, or list a worker";
        faults.push(role.error(message, help).warning());
    }
}

fn check_label(
    node: &NodeEntry,
    key: &Spanned<String>,
    value: &Spanned<String>,
    faults: &mut Vec<Fault>,
) {
    if !is_qualified_name(&key.value) {
        faults.push(Fault::error(
            key.place,
            &key.path,
            format!("`{}` is not a valid label key", key.value),
            KEY_HELP,
        ));
    } else if key.value == CONTROL_PLANE {
        faults.push(control_plane_only(node, key, "label"));
    } else if key.value.starts_with(OWN_PREFIX) {
        faults.push(own_key(key));
    }
    if !is_label_value(&value.value) {
        let message = format!("`{}` is not a valid label value", value.value);
        faults.push(Fault::error(value.place, &value.path, message, VALUE_HELP));
    }
}

fn check_annotations(node: &NodeEntry, faults: &mut Vec<Fault>) {
    for (key, _) in &node.annotations {
        if !is_qualified_name(&key.value) {
            let message = format!("`{}` is not a valid annotation key", key.value);
            faults.push(Fault::error(key.place, &key.path, message, KEY_HELP));
        } else if key.value.starts_with(OWN_PREFIX) {
            faults.push(own_key(key));
        }
    }
    let bytes =
        |(key, value): &(Spanned<String>, Spanned<String>)| key.value.len() + value.value.len();
    let total: usize = node.annotations.iter().map(bytes).sum();
    if let Some((key, _)) = node.annotations.first().filter(|_| total > MAX_ANNOTATIONS) {
        let message =
            format!("the annotations come to {total} bytes: Kubernetes takes {MAX_ANNOTATIONS}");
        let help = "keep large texts elsewhere, e.g. in a ConfigMap";
        faults.push(Fault::error(key.place, &key.path, message, help));
    }
}

fn own_key(key: &Spanned<String>) -> Fault {
    let message = format!("`{}` is for the agents themselves", key.value);
    Fault::error(key.place, &key.path, message, "use a prefix of your own")
}

const KEY_HELP: &str =
    "write `name` or `example.com/name`: letters, digits, `-`, `_` and `.` inside, at most 63";
const VALUE_HELP: &str = "use letters, digits, and `-`, `_` or `.` inside, at most 63";

fn is_worker(node: &NodeEntry) -> bool {
    node.role
        .as_ref()
        .is_some_and(|role| role.value == Role::Worker)
}

fn control_plane_only(node: &NodeEntry, key: &Spanned<String>, what: &str) -> Fault {
    let worker = is_worker(node);
    let (message, help) = if worker {
        let help = "leave it out, or give the node `role: control-plane`";
        (
            format!("the {what} `{CONTROL_PLANE}` is for control planes, and this is a worker"),
            help,
        )
    } else {
        (
            format!("kubeadm sets the {what} `{CONTROL_PLANE}` on control planes itself"),
            "leave it out",
        )
    };
    let fault = Fault::error(key.place, &key.path, message, help);
    match node.role.as_ref().filter(|_| worker) {
        Some(role) => fault.also(role.place, "role"),
        None => fault,
    }
}

fn check_taints(node: &NodeEntry, faults: &mut Vec<Fault>) {
    let mut seen: HashMap<(&str, &str), &Spanned<String>> = HashMap::new();
    for taint in &node.taints {
        check_taint(node, taint, faults);
        let (Some(key), Some(effect)) = (&taint.key, &taint.effect) else {
            continue;
        };
        if let Some(first) = seen.get(&(key.value.as_str(), effect.value.as_str())) {
            let message = format!("`{}:{}` is given twice", key.value, effect.value);
            faults.push(
                key.error(message, "keep one of the two")
                    .also(first.place, "first here"),
            );
        } else {
            seen.insert((&key.value, &effect.value), key);
        }
    }
}

fn check_taint(node: &NodeEntry, taint: &TaintFile, faults: &mut Vec<Fault>) {
    if let Some(key) = &taint.key {
        if !is_qualified_name(&key.value) {
            faults.push(key.error(
                format!("`{}` is not a valid taint key", key.value),
                KEY_HELP,
            ));
        } else if key.value == CONTROL_PLANE {
            faults.push(control_plane_only(node, key, "taint"));
        } else if key.value.starts_with("node.kubernetes.io/") {
            let message = format!("`{}` is managed by Kubernetes itself", key.value);
            faults.push(key.error(message, "use a prefix of your own"));
        }
    }
    if let Some(value) = taint
        .value
        .as_ref()
        .filter(|value| !is_label_value(&value.value))
    {
        faults.push(value.error(
            format!("`{}` is not a valid taint value", value.value),
            VALUE_HELP,
        ));
    }
    if let Some(effect) = taint
        .effect
        .as_ref()
        .filter(|effect| !EFFECTS.contains(&effect.value.as_str()))
    {
        let message = format!(
            "`{}` is not a taint effect{}",
            effect.value,
            did_you_mean(&effect.value, EFFECTS)
        );
        faults.push(effect.error(message, format!("write one of {}", EFFECTS.join(", "))));
    }
}
