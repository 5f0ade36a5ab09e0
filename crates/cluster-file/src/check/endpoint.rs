//! Where the API answers: the VIP, or somebody else's balancer, by its addresses and perhaps a name.

use std::collections::HashMap;
use std::net::IpAddr;

use super::cidrs::nodes_network;
use super::families::{family_name, why_no_host};
use super::name_syntax::is_dns_name;
use super::network::check_interface_name;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, ProviderFile, Spanned};

/// Names that mean something else on every node, or to every client.
const OF_OTHERS: [&str; 4] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
];

pub(super) fn check_endpoint(file: &ClusterFile, faults: &mut Vec<Fault>) {
    check_endpoint_name(file, faults);
    check_interface(file, faults);
    let endpoint = &file.endpoint;
    if !file.load_balancer.is_external() {
        if let Some(addresses) = &endpoint.addresses_written {
            let message = "are those of somebody else's balancer, which `loadBalancer: {mode: external}` says";
            let help =
                "write `vip: ADDRESS`, an address that the control planes pass on, or add the mode";
            faults.push(addresses.error(message, help));
        }
        return;
    }
    if let Some(vip) = &endpoint.vip_written {
        let message = "is passed on by the control planes' keepalived, and with `mode: external` there is none";
        let help = "write `addresses: [ADDRESS]`, where the balancer listens";
        faults.push(vip.error(message, help));
    }
    if let Some(addresses) = endpoint.addresses_written.as_ref()
        && endpoint.vip.is_none()
        && endpoint.addresses.is_empty()
    {
        let help = "write where the balancer listens, e.g. [192.0.2.10]";
        faults.push(addresses.error("has no address", help));
    }
    check_addresses(file, faults);
    if let Some(mode) = &file.load_balancer.mode {
        let message = "`external` needs nodes that the balancer reaches, and qemu's own network lets nobody in";
        let help = "take provider libvirt, or leave the mode out";
        refuse_with_qemu(file, mode, message, help, faults);
    }
}

/// A VIP on another interface than the nodes' own addresses: in another network than theirs, and nobody's.
fn check_interface(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let endpoint = &file.endpoint;
    let Some(interface) = &endpoint.interface else {
        return;
    };
    if file.load_balancer.is_external() {
        let message =
            "is where control planes pass on a VIP, and with `mode: external` there is none";
        faults.push(interface.error(message, "leave it out"));
        return;
    }
    check_interface_name(interface, faults);
    let of_nodes = file.entries().iter().filter_map(|n| n.interface.as_ref());
    let mut own = file.network.interface.iter().chain(of_nodes);
    if let Some(same) = own.find(|own| own.value == interface.value) {
        let message = format!("`{}` carries the nodes' own addresses", interface.value);
        let help =
            "leave it out: the VIP is there without it; or name the interface of the VIP's network";
        let fault = interface.error(message, help);
        faults.push(match same.given {
            true => fault.also(same.place, same.path.clone()),
            false => fault,
        });
    }
    check_vip_behind(interface, file, faults);
    let message = "needs a network that clients are in, and qemu's own lets nobody in";
    let help = "take provider libvirt or none, or leave it out";
    refuse_with_qemu(file, interface, message, help, faults);
}

/// In a network of its own, which this interface leads to.
fn check_vip_behind(interface: &Spanned<String>, file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(vip) = &file.endpoint.vip else {
        return;
    };
    let help = format!(
        "give it a free address of the network behind {}",
        interface.value
    );
    if let Some(why) = why_no_host(vip.value) {
        faults.push(vip.error(format!("{} is {why}", vip.value), help));
    } else if let Some(net) = nodes_network(file).filter(|net| net.value.contains(&vip.value)) {
        let message = format!(
            "{} is in the nodes' network {}, which is not behind {}",
            vip.value, net.value, interface.value
        );
        let help = "leave endpoint.interface out, or write an address of the network behind it";
        faults.push(
            vip.error(message, help)
                .also(interface.place, interface.path.clone()),
        );
    }
}

fn check_endpoint_name(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(name) = &file.endpoint.name else {
        return;
    };
    let text = name.value.as_str();
    let help = "write a DNS name in lower case without a port, e.g. k8s-api.example.org";
    // What ends in a number is an address to those who read URLs.
    let last = text.rsplit('.').next().unwrap_or_default();
    if !is_dns_name(text) || last.chars().all(|c| c.is_ascii_digit()) {
        faults.push(name.error(format!("`{text}` is not a DNS name"), help));
    } else if OF_OTHERS.contains(&text) {
        faults.push(name.error(format!("`{text}` means something else on every node"), help));
    }
    let mut names = file.entries().iter().filter_map(|node| node.name.as_ref());
    if let Some(node) = names.find(|node| node.value == text) {
        let fault = name.error("is the name of a node", help);
        faults.push(fault.also(node.place, node.path.clone()));
    }
}

/// The kind of the first one is the families' rule's.
fn check_addresses(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let endpoint = &file.endpoint;
    let mut seen: HashMap<IpAddr, &Spanned<IpAddr>> = HashMap::new();
    for address in &endpoint.addresses {
        let help = "name an address where the balancer listens";
        if let Some(why) = why_no_host(address.value) {
            faults.push(address.error(format!("{} is {why}", address.value), help));
        } else if let Some(first) = seen.get(&address.value) {
            let fault = address.error(format!("{} is listed twice", address.value), "list it once");
            faults.push(fault.also(first.place, "first here"));
        } else if let Some(fault) = check_owner(file, address) {
            faults.push(fault);
        }
        seen.insert(address.value, address);
    }
    let Some((first, further)) = endpoint.addresses.split_first() else {
        return;
    };
    for address in further {
        if address.value.is_ipv4() != first.value.is_ipv4() {
            let kind = family_name(first.value.is_ipv6());
            let message = format!(
                "{} is not an {kind} address as the first one is",
                address.value
            );
            faults.push(address.error(message, "list those that every node reaches"));
        }
    }
    if let (Some(second), None) = (further.first(), &endpoint.name) {
        let message = "is a second address, and kubeconfigs without a name hold one alone";
        let help = "write `name`, which means all of them, or keep one address";
        faults.push(second.error(message, help));
    }
}

/// On a node nobody but its own apiserver would listen.
fn check_owner(file: &ClusterFile, address: &Spanned<IpAddr>) -> Option<Fault> {
    let has = |at: &&Spanned<IpAddr>| at.value == address.value;
    let mut nodes = file.entries().iter();
    let (node, at) = nodes.find_map(|node| Some((node, node.address.as_ref().filter(has)?)))?;
    let name = node.name.as_ref().map_or("a node", |name| &name.value);
    let message = format!("is the address of {name}, and a balancer outlives every node");
    let help = "name the balancer's own address, or leave the mode out: the control planes then pass on a VIP";
    Some(address.error(message, help).also(at.place, at.path.clone()))
}

/// Nobody outside reaches a machine in QEMU's user network but by a port of its host.
fn refuse_with_qemu<T>(
    file: &ClusterFile,
    what: &Spanned<T>,
    message: &str,
    help: &str,
    faults: &mut Vec<Fault>,
) {
    let provider = file.provider.as_ref();
    if let Some(provider) = provider.filter(|at| matches!(at.value, ProviderFile::Qemu(_))) {
        let fault = what.error(message, help);
        faults.push(fault.also(provider.place, "provider"));
    }
}
