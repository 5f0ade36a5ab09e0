//! The pod and the service network: their form, their size, and that they meet neither each other nor the nodes.

use ipnet::IpNet;
use serde_json::Value;

use super::Fault;
use super::network::PREFIXES;
use crate::file::{At, ClusterFile};

/// What the controller manager gives each node of an IPv4 pod network.
const NODE_MASK: u8 = 24;
/// The controller manager refuses a pod network with more than 2^16 such parts.
const MAX_PARTS_LOG2: u8 = 16;
/// The apiserver refuses service networks with more than 2^20 addresses ...
const SERVICE_MIN_PREFIX: u8 = 12;
/// ... and kubeadm such with fewer than ten (CoreDNS takes the tenth).
const SERVICE_MAX_PREFIX: u8 = 28;

pub(super) fn rules(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let pods = file
        .kubernetes
        .pod_cidr
        .as_ref()
        .filter(|at| matches!(at.value, IpNet::V4(_)));
    let services = file
        .kubernetes
        .service_cidr
        .as_ref()
        .filter(|at| matches!(at.value, IpNet::V4(_)));
    for network in pods.iter().chain(&services) {
        if network.value.trunc() != network.value {
            let message = format!(
                "{} is an address in the network {}",
                network.value,
                network.value.trunc()
            );
            faults.push(network.error(message, format!("write {}", network.value.trunc())));
        }
    }
    overlaps(file, pods, services, faults);
    if let Some(pods) = pods {
        pod_size(file, pods, faults);
    }
    if let Some(services) = services {
        let prefix = services.value.prefix_len();
        if !(SERVICE_MIN_PREFIX..=SERVICE_MAX_PREFIX).contains(&prefix) {
            let size = if prefix < SERVICE_MIN_PREFIX {
                "larger than the apiserver takes"
            } else {
                "too small"
            };
            let help = format!(
                "write a prefix length from {SERVICE_MIN_PREFIX} to {SERVICE_MAX_PREFIX}, e.g. 10.96.0.0/12"
            );
            faults.push(services.error(format!("{} is {size}", services.value), help));
        }
    }
}

fn overlaps(
    file: &ClusterFile,
    pods: Option<&At<IpNet>>,
    services: Option<&At<IpNet>>,
    faults: &mut Vec<Fault>,
) {
    let prefix = file.network.prefix.as_ref();
    let sensible = prefix.is_some_and(|prefix| PREFIXES.contains(&prefix.value));
    let nodes = file
        .node_network()
        .filter(|_| sensible)
        .zip(file.endpoint.vip.as_ref());
    let nodes = nodes.map(|(net, vip)| At {
        path: "the nodes' network".to_owned(),
        ..vip.with(net)
    });
    let pairs = [
        (pods, services),
        (pods, nodes.as_ref()),
        (services, nodes.as_ref()),
    ];
    for (one, other) in pairs.iter().filter_map(|(a, b)| Some(((*a)?, (*b)?))) {
        if one.value.contains(&other.value.network()) || other.value.contains(&one.value.network())
        {
            let default = |at: &At<IpNet>| if at.given { "" } else { " (the default)" };
            let (mine, theirs) = (default(one), default(other));
            let message = format!(
                "{}{mine} overlaps {} {}{theirs}",
                one.value, other.path, other.value
            );
            let help = format!(
                "give pods and services networks of their own, e.g. {}",
                apart(one, &nodes)
            );
            faults.push(
                one.error(message, help)
                    .also(other.place, other.path.clone()),
            );
        }
    }
}

/// Networks that do not meet the nodes'.
fn apart(wrong: &At<IpNet>, nodes: &Option<At<IpNet>>) -> String {
    let candidates: [&str; 3] = if wrong.path.ends_with("podCIDR") {
        ["10.244.0.0/16", "172.20.0.0/16", "192.168.0.0/16"]
    } else {
        ["10.96.0.0/12", "172.24.0.0/16", "192.168.0.0/20"]
    };
    let clear = |text: &&&str| {
        let net: Option<IpNet> = text.parse().ok();
        let meets = net.zip(nodes.as_ref()).is_some_and(|(net, nodes)| {
            net.contains(&nodes.value.network()) || nodes.value.contains(&net.network())
        });
        !meets && net != Some(wrong.value)
    };
    candidates
        .iter()
        .find(clear)
        .unwrap_or(&candidates[0])
        .to_string()
}

fn pod_size(file: &ClusterFile, pods: &At<IpNet>, faults: &mut Vec<Fault>) {
    let mask = node_mask(file).unwrap_or(NODE_MASK);
    let (prefix, nodes) = (pods.value.prefix_len(), file.entries().len().max(1));
    // The smallest power of two that gives every node its part.
    let bits = u8::try_from(nodes.next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX);
    let longest = mask.saturating_sub(bits);
    if prefix > longest {
        let room = if prefix > mask {
            0
        } else {
            1_u64 << (mask - prefix).min(63)
        };
        let message = format!(
            "{} has room for {room} of {nodes} nodes: each gets a /{mask}",
            pods.value
        );
        faults.push(pods.error(
            message,
            format!(
                "write a prefix length of {longest} or less, e.g. 10.244.0.0/{}",
                longest.min(16)
            ),
        ));
    } else if mask - prefix > MAX_PARTS_LOG2 {
        let message = format!(
            "{} is too large: the controller manager takes 65536 parts of /{mask}",
            pods.value
        );
        faults.push(pods.error(
            message,
            format!(
                "write a prefix length of {} or more, e.g. 10.244.0.0/16",
                mask - MAX_PARTS_LOG2
            ),
        ));
    }
}

/// `node-cidr-mask-size` of the user's own clusterConfiguration.
fn node_mask(file: &ClusterFile) -> Option<u8> {
    let settings = &file.kubernetes.cluster_configuration;
    let (_, manager) = settings
        .iter()
        .find(|(key, _)| key.value == "controllerManager")?;
    let arguments = manager.get("extraArgs")?.as_array()?;
    let named = |argument: &&Value| {
        let name = argument.get("name").and_then(Value::as_str);
        matches!(
            name,
            Some("node-cidr-mask-size" | "node-cidr-mask-size-ipv4")
        )
    };
    let value = arguments.iter().rfind(named)?.get("value")?;
    let mask = value
        .as_str()
        .and_then(|text| text.parse().ok())
        .or_else(|| value.as_u64())?;
    u8::try_from(mask).ok().filter(|mask| *mask <= 32)
}
