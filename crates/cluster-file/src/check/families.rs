//! IPv4 or IPv6: everything that nodes, pods and services are reached by is of the VIP's kind; and which address a machine can have.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::diagnostic::Fault;
use crate::file::{ClusterFile, Spanned};

/// Whether any node has two addresses.
pub(super) fn is_dual_stack(file: &ClusterFile) -> bool {
    let mut nodes = file.entries().iter();
    nodes.any(|node| node.second_address.is_some())
}

/// The lengths of prefix that a network with this address may have. A shorter one is a slip (the largest private network is a /8,
/// and nobody is given more of IPv6 than a /32), a longer one has no room for all that lives here.
pub(super) fn allowed_prefixes(address: IpAddr) -> RangeInclusive<u8> {
    match address {
        IpAddr::V4(_) => 8..=29,
        IpAddr::V6(_) => 32..=125,
    }
}

/// The kind's name as people write it.
pub(super) fn family_name(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}

pub(super) fn check_families(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(vip) = &file.endpoint.vip else {
        return;
    };
    let is_stranger = is_vip_the_stranger(file);
    if is_stranger {
        let ipv6 = vip.value.is_ipv6();
        let (mine, theirs) = (family_name(ipv6), family_name(!ipv6));
        let message = format!(
            "{} is an {mine} address, and the nodes' are {theirs}",
            vip.value
        );
        let help = match file.load_balancer.is_external() {
            true => {
                format!("name an {theirs} address of the balancer, or give the nodes {mine} ones")
            }
            false => format!(
                "give the VIP an {theirs} address of the nodes' network, or the nodes {mine} ones"
            ),
        };
        faults.push(vip.error(message, help));
    }
    let ipv6 = vip.value.is_ipv6() != is_stranger;
    let nodes = file.entries().iter().filter_map(|n| n.address.as_ref());
    let stranger = |at: &&Spanned<IpAddr>| at.given && at.value.is_ipv6() != ipv6;
    let others = nodes.chain(&file.network.gateway);
    // Pairs have their own rule, which knows of their order.
    for address in others.filter(|at| stranger(at) && !at.paired) {
        faults.push(mixed_families_fault(address, "address", ipv6));
    }
    let dual = is_dual_stack(file);
    for server in file.network.dns.iter().filter(|at| stranger(at) && !dual) {
        let message = format!(
            "{} is an {} address, which no node has one to ask from",
            server.value,
            family_name(!ipv6)
        );
        let help = format!("name a server by its {} address", family_name(ipv6));
        faults.push(server.error(message, help));
    }
    let k8s = &file.kubernetes;
    for network in k8s.pod_cidr.iter().chain(&k8s.service_cidr) {
        if network.given && is_v6(network.value) != ipv6 && !network.paired {
            faults.push(mixed_families_fault(network, "network", ipv6));
        }
    }
}

/// With most nodes of the other kind it is the VIP that is the slip.
pub(super) fn is_vip_the_stranger(file: &ClusterFile) -> bool {
    let ipv6 = file.endpoint.vip.as_ref().map(|vip| vip.value.is_ipv6());
    let nodes = file.entries();
    let addresses = nodes.iter().filter_map(|n| n.address.as_ref());
    let addresses = addresses.filter(|at| !at.paired);
    let strangers = addresses.filter(|at| ipv6.is_some_and(|ipv6| at.value.is_ipv6() != ipv6));
    strangers.count() * 2 > nodes.len()
}

pub(super) fn is_v6(network: IpNet) -> bool {
    matches!(network, IpNet::V6(_))
}

fn mixed_families_fault<T: std::fmt::Display>(at: &Spanned<T>, what: &str, ipv6: bool) -> Fault {
    let (mine, theirs) = (family_name(!ipv6), family_name(ipv6));
    let message = format!("{} is an {mine} {what} in a cluster of {theirs}", at.value);
    let help = format!("use {theirs} for VIP, nodes, gateway, pods and services alike");
    at.error(message, help)
}

/// Why no machine of this network can have this address.
pub(super) fn why_unusable(address: IpAddr, net: IpNet) -> Option<String> {
    // A network of one or two addresses has no ends.
    let ends = net.max_prefix_len() - net.prefix_len() > 1;
    if ends && address == net.network() {
        let what = match address {
            IpAddr::V4(_) => "network address",
            IpAddr::V6(_) => "address of all routers (RFC 4291)",
        };
        Some(format!("{address} is the {what} of {net}"))
    } else if ends && address.is_ipv4() && address == net.broadcast() {
        Some(format!("{address} is the broadcast address of {net}"))
    } else {
        let why = why_no_host(address)?;
        Some(format!("{address} is {why}"))
    }
}

pub(super) fn why_no_host(address: IpAddr) -> Option<&'static str> {
    let special = address.is_loopback() || address.is_multicast() || address.is_unspecified();
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some("link-local: nobody knows it without the name of an interface")
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in disguise"),
        IpAddr::V4(v4) if v4.octets()[0] >= 240 => Some("not a usable host address"),
        _ => special.then_some("not a usable host address"),
    }
}
