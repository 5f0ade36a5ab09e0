//! The file's version, and the names of cluster and nodes.

use std::collections::HashMap;

use super::name_syntax::{is_dns_label, is_dns_name, label_help};
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, Spanned, VERSION};

pub(super) fn check_version_and_names(file: &ClusterFile, faults: &mut Vec<Fault>) {
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
        check_node_name(name, faults);
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

/// What Linux takes for a hostname and Kubernetes for the label `kubernetes.io/hostname`.
const MAX_NODE_NAME: usize = 63;

/// A hostname, with a domain or without.
fn check_node_name(name: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = name.value.as_str();
    let characters = text.chars().count();
    let reserved = |what: String| name.error(what, "give the node a name of its own");
    if !text.contains('.') {
        check_dns_label(name, faults);
    } else if characters > MAX_NODE_NAME {
        let message =
            format!("has {characters} characters; a hostname has at most {MAX_NODE_NAME}");
        faults.push(name.error(message, "choose a shorter name, or leave the domain out"));
    } else if !is_dns_name(text) {
        let help = "write labels of lower-case letters, digits and `-` with single dots between them, e.g. node1.example.com";
        faults.push(name.error(format!("`{text}` is not a valid hostname"), help));
    } else if text.ends_with(".json") {
        faults.push(reserved(format!(
            "`{text}` is what ha-host may call a file of its own"
        )));
    }
    if text == "localhost" {
        faults.push(reserved("`localhost` is reserved".to_owned()));
    }
}

/// Cluster and balanced ports are called by DNS labels, and nodes without a domain.
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
