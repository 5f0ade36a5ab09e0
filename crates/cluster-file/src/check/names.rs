//! The file's version, and the names of cluster and nodes.

use std::collections::HashMap;

use super::name_syntax::{is_dns_label, label_help};
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, Spanned, VERSION};

pub(super) fn check_names(file: &ClusterFile, faults: &mut Vec<Fault>) {
    if let Some(version) = file.version.as_ref().filter(|v| v.value != VERSION) {
        let message = format!("{} is not supported by this ha-host", version.value);
        faults.push(version.error(
            message,
            format!("write `version: {VERSION}`, or use the ha-host that made this file"),
        ));
    }
    if let Some(name) = &file.name {
        check_dns_label(name, faults);
    }
    let mut seen: HashMap<&str, &Spanned<String>> = HashMap::new();
    for name in file.entries().iter().filter_map(|node| node.name.as_ref()) {
        check_dns_label(name, faults);
        if name.value == "localhost" {
            faults.push(name.error("`localhost` is reserved", "give the node a name of its own"));
        }
        if let Some(first) = seen.get(name.value.as_str()) {
            let message = format!("`{}` is already in use", name.value);
            faults.push(
                name.error(message, "give every node a name of its own")
                    .also(first.place, "first here"),
            );
        } else {
            seen.insert(&name.value, name);
        }
    }
}

/// Cluster, nodes and balanced ports are called by DNS labels.
pub(super) fn check_dns_label(name: &Spanned<String>, faults: &mut Vec<Fault>) {
    let characters = name.value.chars().count();
    if characters > 63 {
        faults.push(name.error(
            format!("has {characters} characters; a DNS label has at most 63"),
            "choose a shorter name",
        ));
    } else if !is_dns_label(&name.value) {
        faults.push(name.error(
            format!("`{}` is not a valid DNS label", name.value),
            label_help(&name.value),
        ));
    }
}
