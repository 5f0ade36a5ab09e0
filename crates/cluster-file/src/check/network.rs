//! Addresses: the VIP, the gateway, the nodes, and the three networks that must not meet.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::families::{allowed_prefixes, check_families, is_vip_the_stranger, why_unusable};
use super::name_syntax::{INTERFACE_HELP, is_dns_name, is_interface_name};
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, ProviderFile, Spanned};

/// glibc, and so the kubelet's pods, look at three name servers only.
const MAX_DNS: usize = 3;

pub(super) fn check_network(file: &ClusterFile, faults: &mut Vec<Fault>) {
    check_families(file, faults);
    check_own_interfaces(file, faults);
    check_name_servers(file, faults);
    check_time_servers(file, faults);
    let Some(node_network) = NodeNetwork::new(file, faults) else {
        return;
    };
    node_network.check_vip(faults);
    node_network.check_gateway(faults);
    node_network.check_nodes(faults);
}

fn check_time_servers(file: &ClusterFile, faults: &mut Vec<Fault>) {
    for server in &file.network.ntp {
        if server.value.parse::<IpAddr>().is_err() && !is_dns_name(&server.value) {
            let message = format!("`{}` is neither a name nor an address", server.value);
            faults.push(server.error(
                message,
                "write e.g. ntp.example.com or 192.0.2.123, without a port",
            ));
        }
    }
}

fn check_own_interfaces(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let of_nodes = file
        .entries()
        .iter()
        .filter_map(|node| node.interface.as_ref());
    for interface in file.network.interface.iter().chain(of_nodes) {
        check_interface_name(interface, faults);
        if interface.value == "lo" {
            faults.push(interface.error(
                "is the loopback interface",
                "name the one that carries the node's address, e.g. eth0",
            ));
        }
    }
}

/// Interfaces of nodes, and bridges of hosts.
pub(super) fn check_interface_name(name: &Spanned<String>, faults: &mut Vec<Fault>) {
    if !is_interface_name(&name.value) {
        let message = format!("`{}` is not a valid interface name", name.value);
        faults.push(name.error(message, INTERFACE_HELP));
    }
}

fn check_name_servers(file: &ClusterFile, faults: &mut Vec<Fault>) {
    check_without_name_servers(file, faults);
    for server in file.network.dns.iter().filter(|at| at.value.is_loopback()) {
        let message = format!(
            "{} is each machine's own: in a pod nobody answers there, and CoreDNS ends with \"Loop detected\"",
            server.value
        );
        faults.push(server.error(message, "name the server behind it, e.g. the router"));
    }
    if let Some(fourth) = file.network.dns.get(MAX_DNS) {
        let message = "is a fourth name server: resolvers and pods use only three";
        faults.push(
            fourth
                .error(message, "keep the three that matter")
                .warning(),
        );
    }
}

/// Containers get the host's own; every other machine has what this file says.
fn check_without_name_servers(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let provider = file.provider.as_ref().map(|at| &at.value);
    let network = &file.network;
    let said = network.dns_given || matches!(provider, Some(ProviderFile::Nspawn(_)));
    if let Some(prefix) = network.prefix.as_ref().filter(|_| !said) {
        let example = network.gateway.as_ref().map(|gateway| gateway.value);
        let example = example.map_or_else(|| "192.168.122.1".to_owned(), |at| at.to_string());
        let message = "network.dns is missing: nodes get no name server, pods resolve no outer names and CoreDNS does not start";
        let help = format!(
            "write e.g. `dns: [{example}]`, most often the router; `dns: []` if your own Ignition or DHCP brings one"
        );
        faults.push(Fault::error(prefix.place, "network.dns", message, help).warning());
    }
}

/// The nodes' network with all that lives in it.
struct NodeNetwork<'f> {
    file: &'f ClusterFile,
    /// The file's anchor.
    vip: &'f Spanned<IpAddr>,
    /// The network of the file's anchor, the VIP most often, and the prefix.
    net: IpNet,
    /// The network of the same size that most nodes are in.
    majority: IpNet,
}

impl<'f> NodeNetwork<'f> {
    fn new(file: &'f ClusterFile, faults: &mut Vec<Fault>) -> Option<Self> {
        let (vip, prefix) = (file.anchor()?, file.network.prefix.as_ref()?);
        let kind = file.endpoint.vip.as_ref().map(|vip| vip.value.is_ipv6());
        if is_vip_the_stranger(file) || kind != Some(vip.value.is_ipv6()) {
            return None;
        }
        let (address, range) = (vip.value, allowed_prefixes(vip.value));
        if !range.contains(&prefix.value) {
            let message = format!("{} is not a usable prefix length", prefix.value);
            let usual = if address.is_ipv4() { 24 } else { 64 };
            let (least, most) = range.into_inner();
            let help = format!("write {least} to {most}; most networks are {usual}");
            faults.push(prefix.error(message, help));
            return None;
        }
        let network = |address: IpAddr| Some(IpNet::new(address, prefix.value).ok()?.trunc());
        let net = network(address)?;
        let mut counts: HashMap<IpNet, usize> = HashMap::from([(net, 0)]);
        let nodes = file.entries().iter().filter_map(|n| n.address.as_ref());
        for node in nodes.filter(|at| at.value.is_ipv4() == address.is_ipv4()) {
            *counts.entry(network(node.value)?).or_default() += 1;
        }
        // More than half, or the VIP's own: with no clear majority it is the nodes that are shown as strangers.
        let nodes = file.entries().len();
        let majority = counts
            .into_iter()
            .find(|(_, count)| *count * 2 > nodes)
            .map_or(net, |(net, _)| net);
        Some(Self {
            file,
            vip,
            net,
            majority,
        })
    }

    fn check_vip(&self, faults: &mut Vec<Fault>) {
        if self.file.has_endpoint_elsewhere() {
            return;
        }
        let (vip, help) = (self.vip.value, || self.free("give the VIP"));
        if self.net != self.majority {
            let message = format!("{vip} is outside the nodes' network {}", self.majority);
            faults.push(self.vip.error(message, help()));
        } else if let Some(what) = why_unusable(vip, self.majority) {
            faults.push(self.vip.error(what, help()));
        } else if let Some((whose, word, other)) = self.owner(vip) {
            let fault = self.vip.error(format!("is {whose}"), help());
            faults.push(if other.given {
                fault.also(other.place, word)
            } else {
                fault
            });
        }
    }

    /// Whose address this is already, a word for it, and where it stands.
    fn owner(&self, address: IpAddr) -> Option<(String, &str, &Spanned<IpAddr>)> {
        let has = |at: &&Spanned<IpAddr>| at.value == address;
        for node in self.file.entries() {
            if let Some(at) = node.address.as_ref().filter(has) {
                let name = node.name.as_ref().map_or("a node", |name| &name.value);
                return Some((format!("the address of {name}"), name, at));
            }
        }
        let network = &self.file.network;
        if let Some(gateway) = network.gateway.as_ref().filter(has) {
            let default = " (the network's first, as none is given)";
            let default = if gateway.given { "" } else { default };
            let whose = format!("the gateway's address{default}");
            return Some((whose, &gateway.path, gateway));
        }
        let server = network.dns.iter().find(has)?;
        Some(("a name server's address".to_owned(), &server.path, server))
    }

    fn check_gateway(&self, faults: &mut Vec<Fault>) {
        let Some(gateway) = self
            .file
            .network
            .gateway
            .as_ref()
            .filter(|g| g.given && self.is_of_vips_kind(g.value))
        else {
            return;
        };
        if !self.contains(gateway.value) {
            let message = format!(
                "{} is outside the nodes' network {}",
                gateway.value, self.majority
            );
            faults.push(gateway.error(
                message,
                format!("name the router's address in {}", self.majority),
            ));
        } else if let Some(what) = why_unusable(gateway.value, self.majority) {
            faults.push(gateway.error(
                what,
                format!("name the router's address in {}", self.majority),
            ));
        }
    }

    fn check_nodes(&self, faults: &mut Vec<Fault>) {
        let mut seen: HashMap<IpAddr, &Spanned<IpAddr>> = HashMap::new();
        let gateway = self.file.network.gateway.as_ref();
        for node in self.file.entries() {
            let Some(address) = node.address.as_ref() else {
                continue;
            };
            if let Some(first) = seen.get(&address.value) {
                let message = format!("{} is already in use", address.value);
                faults.push(
                    address
                        .error(message, self.free("give the node"))
                        .also(first.place, "first here"),
                );
                continue;
            }
            seen.insert(address.value, address);
            if !self.is_of_vips_kind(address.value) {
                continue; // Said by the families' own rule.
            }
            if !self.contains(address.value) {
                let message = match self.file.has_endpoint_elsewhere() {
                    true => format!(
                        "{} is outside the nodes' network {}",
                        address.value, self.majority
                    ),
                    false => format!(
                        "{} is outside the network {} of the VIP",
                        address.value, self.majority
                    ),
                };
                faults.push(address.error(message, self.free("give the node")));
            } else if let Some(what) = why_unusable(address.value, self.majority) {
                faults.push(address.error(what, self.free("give the node")));
            } else if let Some(gateway) = gateway.filter(|g| g.value == address.value) {
                let fault = address.error("is the gateway's address", self.free("give the node"));
                let help = format!("name the router in network.gateway, or {}", fault.help);
                let given = gateway.given;
                faults.push(if given {
                    fault.also(gateway.place, "network.gateway")
                } else {
                    Fault { help, ..fault }
                });
            }
        }
    }

    fn is_of_vips_kind(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.vip.value.is_ipv4()
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.majority.contains(&address)
    }

    /// Help with an address that nobody has.
    fn free(&self, whom: &str) -> String {
        let nodes = self
            .file
            .entries()
            .iter()
            .filter_map(|node| node.address.as_ref());
        let others = self
            .file
            .network
            .gateway
            .iter()
            .chain(&self.file.network.dns);
        let taken: std::collections::HashSet<IpAddr> = nodes
            .chain(others)
            .chain(&self.file.endpoint.vip)
            .map(|at| at.value)
            .collect();
        // The first address is the router's more often than not.
        let hosts = self
            .majority
            .hosts()
            .filter(|host| *host != self.majority.network());
        let free = hosts.skip(1).find(|host| !taken.contains(host));
        let free = free.filter(|host| why_unusable(*host, self.majority).is_none());
        let example = free.map_or_else(String::new, |host| format!(", e.g. {host}"));
        format!(
            "{whom} an address of {} that no other machine has{example}",
            self.majority
        )
    }
}
