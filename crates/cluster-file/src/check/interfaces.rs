//! Further interfaces of nodes: their networks meet no other, and nobody else has their addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::cidrs::{describe_network, networks_overlap, nodes_network};
use super::dual_stack::second_nodes_network;
use super::families::why_unusable;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, NodeEntry, Spanned};

pub(super) fn check_interfaces(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let k8s = &file.kubernetes;
    let (home, second) = (nodes_network(file), second_nodes_network(file));
    let inner = k8s.pod_cidr.iter().chain(&k8s.service_cidr);
    let inner = inner
        .chain(&k8s.second_pod_cidr)
        .chain(&k8s.second_service_cidr);
    let inner: Vec<&Spanned<IpNet>> = inner.collect();
    let mut owners = Owners::new(file);
    for node in file.entries() {
        let addresses = node.interfaces.iter().filter_map(|i| i.address.as_ref());
        let addresses: Vec<&Spanned<IpNet>> = addresses.collect();
        for (i, address) in addresses.iter().enumerate() {
            if let Some(what) = why_unusable(address.value.addr(), address.value.trunc()) {
                let help = "write an address of a machine with the length of its network's prefix, e.g. 10.9.0.35/24";
                faults.push(address.error(what, help));
                continue;
            }
            let taken = owners.check(node, address);
            let clear = taken.is_none();
            faults.extend(taken);
            for other in inner
                .iter()
                .filter(|net| networks_overlap(net.value, address.value))
            {
                faults.push(overlap_fault(address, other));
            }
            // An address that is somebody else's is wrong before its network is.
            if clear {
                let networks = home.iter().chain(&second);
                let networks = networks.map(|net| (net, net.path.as_str()));
                let earlier = addresses[..i].iter().map(|at| (*at, "the network"));
                let mut others = networks.chain(earlier);
                faults.extend(
                    others.find_map(|(at, network)| shared_network_fault(address, at, network)),
                );
            }
        }
    }
}

/// Packets to pods or services would leave by this interface, or the other way round.
fn overlap_fault(address: &Spanned<IpNet>, other: &Spanned<IpNet>) -> Fault {
    let message = format!(
        "{} is in a network that overlaps {} {}",
        address.value,
        other.path,
        describe_network(other)
    );
    let name = other.path.rsplit('.').next().unwrap_or_default();
    let help = format!("give the interface a network of its own, or choose another {name}");
    let fault = address.error(message, help);
    if other.given {
        fault.also(other.place, other.path.clone())
    } else {
        fault
    }
}

/// Two interfaces of a machine in one network, which is called `network`: Linux answers for both addresses on either of them.
fn shared_network_fault(
    address: &Spanned<IpNet>,
    other: &Spanned<IpNet>,
    network: &str,
) -> Option<Fault> {
    if !networks_overlap(address.value, other.value) {
        return None;
    }
    let net = other.value.trunc();
    let message = format!(
        "{} is a second interface in {network} {net}: either one answers for both addresses (ARP flux), and packets leave by the other",
        address.value,
    );
    let help = "give each interface a network of its own, or bond the two below one address";
    let fault = address.error(message, help).warning();
    Some(fault.also(other.place, "the first"))
}

/// Who has which address: a word for it, and where it stands.
struct Owners<'f>(
    HashMap<IpAddr, (String, &'f Spanned<IpAddr>)>,
    HashMap<IpAddr, &'f Spanned<IpNet>>,
);

impl<'f> Owners<'f> {
    fn new(file: &'f ClusterFile) -> Self {
        let mut all = HashMap::new();
        let network = &file.network;
        for server in &network.dns {
            all.insert(server.value, ("a name server's address".to_owned(), server));
        }
        for node in file.entries() {
            let name = node.name.as_ref().map_or("a node", |name| &name.value);
            for address in node.address.iter().chain(&node.second_address) {
                all.insert(address.value, (format!("the address of {name}"), address));
            }
        }
        for gateway in network.gateway.iter().chain(&network.second_gateway) {
            all.insert(gateway.value, ("the gateway's address".to_owned(), gateway));
        }
        if let Some(vip) = &file.endpoint.vip {
            let whose = match file.load_balancer.is_external() {
                true => "an address of the balancer",
                false => "the VIP",
            };
            all.insert(vip.value, (whose.to_owned(), vip));
        }
        Self(all, HashMap::new())
    }

    /// A fault if somebody has this address; else it is the node's from now on.
    fn check(&mut self, node: &'f NodeEntry, address: &'f Spanned<IpNet>) -> Option<Fault> {
        let addr = address.value.addr();
        let help = "give the interface an address that no other machine has";
        if let Some((whose, other)) = self.0.get(&addr) {
            let own = node
                .address
                .as_ref()
                .is_some_and(|at| at.place == other.place);
            let whose = if own {
                "this node's own first address"
            } else {
                whose
            };
            let fault = address.error(format!("{addr} is {whose}"), help);
            return Some(if other.given {
                fault.also(other.place, other.path.clone())
            } else {
                fault
            });
        }
        let first = self.1.insert(addr, address)?;
        let fault = address.error(format!("{addr} is already in use"), help);
        Some(fault.also(first.place, "first here"))
    }
}
