//! The pod and the service network: their form, their size, and that they meet neither each other nor the nodes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::dual_stack::second_nodes_network;
use super::etcd::endpoint_addresses;
use super::families::is_v6;
use super::families::{allowed_prefixes, is_dual_stack};
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, POD_CIDR, POD_CIDR_V6, SERVICE_CIDR, SERVICE_CIDR_V6, Spanned};

/// The controller manager refuses a pod network with more than 2^16 parts.
const MAX_PARTS_LOG2: u8 = 16;
/// The apiserver refuses service networks with more than 2^20 addresses ...
const MAX_SERVICES_LOG2: u8 = 20;
/// ... and kubeadm such with fewer than ten (CoreDNS takes the tenth).
const MIN_SERVICES_LOG2: u8 = 4;

pub(super) fn check_cidrs(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let k8s = &file.kubernetes;
    let of_vip = [k8s.pod_cidr.as_ref(), k8s.service_cidr.as_ref()];
    check_family(file, of_vip, nodes_network(file).as_ref(), faults);
    let second = [
        k8s.second_pod_cidr.as_ref(),
        k8s.second_service_cidr.as_ref(),
    ];
    check_family(file, second, second_nodes_network(file).as_ref(), faults);
}

/// The networks of one family: those of others never meet.
fn check_family(
    file: &ClusterFile,
    [pods, services]: [Option<&Spanned<IpNet>>; 2],
    home: Option<&Spanned<IpNet>>,
    faults: &mut Vec<Fault>,
) {
    for network in pods.iter().chain(&services) {
        let (written, net) = (network.value, network.value.trunc());
        if written != net {
            let message = format!("{written} is an address in the network {net}");
            faults.push(network.error(message, format!("write {net}")));
        }
    }
    check_overlaps(home, pods, services, faults);
    check_reached_first(file, pods, services, faults);
    if let Some(pods) = pods {
        check_pod_size(file, pods, faults);
    }
    if let Some(services) = services {
        check_service_size(services, faults);
    }
}

fn check_overlaps(
    home: Option<&Spanned<IpNet>>,
    pods: Option<&Spanned<IpNet>>,
    services: Option<&Spanned<IpNet>>,
    faults: &mut Vec<Fault>,
) {
    let pairs = [
        (InnerNetwork::Pods, pods, services),
        (InnerNetwork::Pods, pods, home),
        (InnerNetwork::Services, services, home),
    ];
    let both_there = pairs
        .into_iter()
        .filter_map(|(kind, a, b)| Some((kind, a?, b?)));
    for (kind, one, other) in both_there {
        if networks_overlap(one.value, other.value) {
            let (mine, theirs) = (describe_network(one), describe_network(other));
            let message = format!("{mine} overlaps {} {theirs}", other.path);
            let example = example_network(kind, one.value, home);
            let help = format!("give pods and services networks of their own, e.g. {example}");
            let fault = one.error(message, help);
            faults.push(fault.also(other.place, other.path.clone()));
        }
    }
}

pub(super) fn networks_overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// A network, and whether somebody wrote it.
pub(super) fn describe_network(at: &Spanned<IpNet>) -> String {
    let default = if at.given { "" } else { " (the default)" };
    format!("{}{default}", at.value)
}

/// The nodes' network at the place of the address that it is told by, if its prefix makes sense.
pub(super) fn nodes_network(file: &ClusterFile) -> Option<Spanned<IpNet>> {
    let prefix = file.network.prefix.as_ref()?;
    let net = file
        .node_network()
        .filter(|net| allowed_prefixes(net.addr()).contains(&prefix.value))?;
    let path = "the nodes' network".to_owned();
    Some(Spanned {
        path,
        ..file.anchor()?.with(net)
    })
}

/// Name and time servers, an external etcd, and an endpoint in no network of the nodes' own: a node must reach them before there is
/// a pod network, and kube-proxy drops what goes to a service address that it does not know.
fn check_reached_first(
    file: &ClusterFile,
    pods: Option<&Spanned<IpNet>>,
    services: Option<&Spanned<IpNet>>,
    faults: &mut Vec<Fault>,
) {
    let server = "name a server that nodes reach before there are pods, e.g. the router";
    let servers = file.network.dns.iter().map(|at| (at, server));
    let endpoint = &file.endpoint;
    let elsewhere = match (file.load_balancer.is_external(), &endpoint.interface) {
        (true, _) => &endpoint.addresses[..],
        (false, Some(_)) => endpoint.vip.as_slice(),
        (false, None) => &[],
    };
    let help = "name an address that nodes reach before there are pods, or give pods and services other networks";
    let of_times = file.network.ntp.iter();
    let of_times = of_times.filter_map(|at| Some(at.with(at.value.parse().ok()?)));
    let others: Vec<Spanned<IpAddr>> = of_times.chain(endpoint_addresses(file)).collect();
    let others = elsewhere.iter().chain(&others).map(|at| (at, help));
    for (address, help) in servers.chain(others) {
        let inside = |net: &&Spanned<IpNet>| net.value.contains(&address.value);
        if let Some(net) = pods.into_iter().chain(services).find(inside) {
            let (value, network) = (address.value, describe_network(net));
            let message = format!("{value} is in {} {network}", net.path);
            let fault = address.error(message, help);
            faults.push(fault.also(net.place, net.path.clone()));
        }
    }
}

fn check_service_size(services: &Spanned<IpNet>, faults: &mut Vec<Fault>) {
    let bits = services.value.max_prefix_len();
    let (least, most) = (bits - MAX_SERVICES_LOG2, bits - MIN_SERVICES_LOG2);
    let size = match services.value.prefix_len() {
        length if length < least => "larger than the apiserver takes",
        length if length > most => "too small",
        _ => return,
    };
    let example = default_for(services.value, SERVICE_CIDR, SERVICE_CIDR_V6);
    let help = format!("write a prefix length from {least} to {most}, e.g. {example}");
    faults.push(services.error(format!("{} is {size}", services.value), help));
}

/// The default of this network's own kind.
fn default_for(network: IpNet, v4: IpNet, v6: IpNet) -> IpNet {
    if is_v6(network) { v6 } else { v4 }
}

/// Which network inside the cluster.
#[derive(Debug, Clone, Copy)]
enum InnerNetwork {
    Pods,
    Services,
}

/// A network of this kind that does not meet the nodes', instead of `wrong`.
fn example_network(
    kind: InnerNetwork,
    wrong: IpNet,
    nodes: Option<&Spanned<IpNet>>,
) -> &'static str {
    let candidates = match (kind, is_v6(wrong)) {
        (InnerNetwork::Pods, false) => ["10.244.0.0/16", "172.20.0.0/16", "192.168.0.0/16"],
        (InnerNetwork::Services, false) => ["10.96.0.0/12", "172.24.0.0/16", "192.168.0.0/20"],
        (InnerNetwork::Pods, true) => ["fd00:10:244::/56", "fd00:20:244::/56", "fd00:30:244::/56"],
        (InnerNetwork::Services, true) => {
            ["fd00:10:96::/112", "fd00:20:96::/112", "fd00:30:96::/112"]
        }
    };
    let clear = |text: &&&str| {
        let net = text.parse::<IpNet>().ok();
        net.is_some_and(|net| {
            net != wrong && !nodes.is_some_and(|nodes| networks_overlap(net, nodes.value))
        })
    };
    candidates.iter().find(clear).unwrap_or(&candidates[0])
}

fn check_pod_size(file: &ClusterFile, pods: &Spanned<IpNet>, faults: &mut Vec<Fault>) {
    let mask = node_mask(file, pods.value);
    let nodes = file.kubernetes_entries().count().max(1);
    let prefix = pods.value.prefix_len();
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
        let usual = default_for(pods.value, POD_CIDR, POD_CIDR_V6);
        let (net, length) = (usual.addr(), longest.min(usual.prefix_len()));
        let help = format!("write a prefix length of {longest} or less, e.g. {net}/{length}");
        faults.push(pods.error(message, help));
    } else if mask - prefix > MAX_PARTS_LOG2 {
        let message = format!(
            "{} is too large: the controller manager takes 65536 parts of /{mask}",
            pods.value
        );
        let example = default_for(pods.value, POD_CIDR, POD_CIDR_V6);
        let least = mask - MAX_PARTS_LOG2;
        let help = format!("write a prefix length of {least} or more, e.g. {example}");
        faults.push(pods.error(message, help));
    }
}

/// Prefix length of each node's part of the pod network: the controller manager's own, or as the file's clusterConfiguration has it.
pub(super) fn node_mask(file: &ClusterFile, pods: IpNet) -> u8 {
    let (name, own, longest) = match is_v6(pods) {
        true => ("node-cidr-mask-size-ipv6", 64, 128),
        false => ("node-cidr-mask-size-ipv4", 24, 32),
    };
    let given = node_mask_size(file, name);
    given.filter(|mask| *mask <= longest).unwrap_or(own)
}

/// `node-cidr-mask-size`, or this name of it, of the user's own clusterConfiguration.
fn node_mask_size(file: &ClusterFile, of_family: &str) -> Option<u8> {
    let settings = &file.kubernetes.cluster_configuration;
    let manager = settings
        .iter()
        .find(|setting| setting.key.value == "controllerManager")?;
    let arguments = manager.value.get("extraArgs")?.as_array()?;
    let dual = is_dual_stack(file);
    let named = |argument: &&Value| {
        let name = argument.get("name").and_then(Value::as_str);
        name.is_some_and(|name| name == of_family || name == "node-cidr-mask-size" && !dual)
    };
    let value = arguments.iter().rfind(named)?.get("value")?;
    let mask = value
        .as_str()
        .and_then(|text| text.parse().ok())
        .or_else(|| value.as_u64())?;
    u8::try_from(mask).ok()
}
