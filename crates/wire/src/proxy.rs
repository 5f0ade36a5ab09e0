//! A proxy for what a node fetches: its exceptions, and how systemd is told of it. Both programs write both.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::node::NodeFile;

/// Variable in the agent's environment, beside a proxy: whose that is.
pub const OWNER_VARIABLE: &str = "HA_PROXY_OWNER";
/// Its value for the proxy of the cluster file's `proxy`, which is for fetching: kubeadm does not hand it to static pods.
pub const CLUSTER_FILE: &str = "cluster-file";
/// kubeadm's own default.
const DEFAULT_DOMAIN: &str = "cluster.local";

/// What a proxy is not asked for: `first`, and then the cluster: the node itself, the nodes' network, the VIP, every control
/// plane, pods, services, and their names. Each once.
pub fn exceptions<'a>(first: impl Iterator<Item = &'a str>, node: &NodeFile) -> String {
    let kubernetes = &node.kubernetes;
    let domain = kubernetes.cluster_configuration.get("networking");
    let domain = domain.and_then(|n| n.get("dnsDomain"));
    let domain = domain.and_then(Value::as_str).unwrap_or(DEFAULT_DOMAIN);
    let mut all: Vec<String> = first.map(|one| one.trim().to_owned()).collect();
    all.extend(["localhost", "127.0.0.0/8", "::1"].map(str::to_owned));
    all.extend(node.networks().map(|net| net.to_string()));
    all.extend(node.endpoint.addresses().map(|address| address.to_string()));
    all.extend(node.endpoint.name.clone());
    all.extend(node.control_planes.iter().map(|p| p.address.to_string()));
    let inner = node.pod_cidrs().chain(node.service_cidrs());
    all.extend(inner.map(|net| net.to_string()));
    all.extend([".svc".to_owned(), format!(".{domain}")]);
    let mut seen = BTreeSet::new();
    all.retain(|one| !one.is_empty() && seen.insert(one.clone()));
    all.join(",")
}

/// A drop-in that gives a service these variables; proxies in capital and in small letters: curl reads `http_proxy` in small
/// ones alone.
pub fn drop_in(comment: &str, variables: &[(&str, &str)]) -> String {
    let mut text = format!("# {comment}\n[Service]\n");
    for (name, value) in variables {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let value = value.replace('%', "%%");
        // Writing to a String cannot fail.
        let _ = write!(text, "Environment=\"{name}={value}\"");
        if name.ends_with("_PROXY") {
            let _ = write!(text, " \"{}={value}\"", name.to_ascii_lowercase());
        }
        text.push('\n');
    }
    text
}
