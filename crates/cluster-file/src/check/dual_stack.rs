//! Dual-stack: pairs everywhere or nowhere, the VIP's family first; and the second network with all that lives in it.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::families::{allowed_prefixes, family_name, is_v6, why_unusable};
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, Spanned};

pub(super) fn check_dual_stack(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let parts = family_pairs(file);
    let lone = parts.iter().find(|part| part.is_lone());
    match (parts.iter().find(|part| part.is_pair()), lone) {
        (None, _) => {}
        (Some(pair), Some(lone)) => faults.push(lone.without_second(pair)),
        (Some(_), None) => {
            let Some(vip) = &file.endpoint.vip else {
                return;
            };
            let wrong = parts
                .iter()
                .filter_map(|part| part.of_wrong_family(vip.value));
            let before = faults.len();
            faults.extend(wrong);
            if faults.len() == before {
                check_second_network(file, faults);
            }
        }
    }
}

/// One key that is a pair in a dual-stack cluster.
struct FamilyPair {
    /// Its text, and whether that is of IPv6; a prefix is of no family.
    first: Spanned<(String, Option<bool>)>,
    second: Option<Spanned<(String, Option<bool>)>>,
}

impl FamilyPair {
    fn new<T: ToString>(
        first: Option<&Spanned<T>>,
        second: Option<&Spanned<T>>,
        v6: impl Fn(&T) -> Option<bool>,
    ) -> Option<Self> {
        let side = |at: &Spanned<T>| at.with((at.value.to_string(), v6(&at.value)));
        Some(Self {
            first: side(first?),
            second: second.map(side),
        })
    }

    /// Written as one; a default fits either way.
    fn is_lone(&self) -> bool {
        self.first.given && !self.first.paired
    }

    fn is_pair(&self) -> bool {
        self.first.given && self.first.paired
    }

    /// The key's own path, for people.
    fn key(&self) -> &str {
        self.first.path.trim_end_matches("[0]")
    }

    fn without_second(&self, pair: &Self) -> Fault {
        let message = format!("is one value, and {} is a pair", pair.key());
        let help = "for a dual-stack cluster give every node's `address` and network.prefix a pair, and podCIDR, serviceCIDR and \
                    network.gateway one or leave them out; else write one value everywhere";
        let fault = self.first.error(message, help);
        fault.also(pair.first.place, pair.key())
    }

    /// A pair of one family, or one that begins with the other than the VIP's.
    fn of_wrong_family(&self, vip: IpAddr) -> Option<Fault> {
        let second = self.second.as_ref()?;
        let ((one, first_v6), (other, second_v6)) = (&self.first.value, &second.value);
        let (first_v6, second_v6) = ((*first_v6)?, (*second_v6)?);
        if first_v6 == second_v6 {
            let family = family_name(first_v6);
            let message =
                format!("{other} is {family}, too: a pair is one of IPv4 and one of IPv6");
            let help = format!(
                "write an {} one there, or one value everywhere",
                family_name(!first_v6)
            );
            return Some(second.error(message, help));
        }
        (first_v6 != vip.is_ipv6()).then(|| {
            let message = format!(
                "{one} is {}, and the VIP {vip} is {}: the VIP's family is the first of every pair",
                family_name(first_v6),
                family_name(!first_v6)
            );
            self.first
                .error(message, format!("write [\"{other}\", \"{one}\"]"))
        })
    }
}

fn family_pairs(file: &ClusterFile) -> Vec<FamilyPair> {
    let (network, k8s) = (&file.network, &file.kubernetes);
    let address = |at: &IpAddr| Some(at.is_ipv6());
    let net = |at: &IpNet| Some(is_v6(*at));
    let nodes = file.entries().iter();
    let nodes =
        nodes.map(|n| FamilyPair::new(n.address.as_ref(), n.second_address.as_ref(), address));
    let gateway = FamilyPair::new(
        network.gateway.as_ref(),
        network.second_gateway.as_ref(),
        address,
    );
    let pods = FamilyPair::new(k8s.pod_cidr.as_ref(), k8s.second_pod_cidr.as_ref(), net);
    let services = FamilyPair::new(
        k8s.service_cidr.as_ref(),
        k8s.second_service_cidr.as_ref(),
        net,
    );
    let prefix = FamilyPair::new(
        network.prefix.as_ref(),
        network.second_prefix.as_ref(),
        |_| None,
    );
    let all = nodes.chain([prefix, gateway, pods, services]);
    all.flatten().collect()
}

/// As [`super::network`] has it for the VIP's own network, without a VIP.
fn check_second_network(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let network = &file.network;
    let addresses = || {
        file.entries()
            .iter()
            .filter_map(|node| node.second_address.as_ref())
    };
    let (Some(first), Some(prefix)) = (addresses().next(), &network.second_prefix) else {
        return;
    };
    let range = allowed_prefixes(first.value);
    if !range.contains(&prefix.value) {
        let family = family_name(first.value.is_ipv6());
        let message = format!("{} is not a usable prefix length of {family}", prefix.value);
        let (least, most) = range.into_inner();
        faults.push(prefix.error(message, format!("write {least} to {most}")));
        return;
    }
    let Some(net) = file.second_network() else {
        return;
    };
    let gateway = network.second_gateway.as_ref();
    let mut seen: HashMap<IpAddr, &Spanned<IpAddr>> = HashMap::new();
    let all = gateway.filter(|at| at.given).into_iter().chain(addresses());
    for at in all.filter(|at| at.value.is_ipv6() == first.value.is_ipv6()) {
        let help = format!("write an address of {net} that no other machine has");
        if let Some(other) = seen.insert(at.value, at) {
            let fault = at.error(format!("{} is already in use", at.value), help);
            faults.push(fault.also(other.place, "first here"));
        } else if !net.contains(&at.value) {
            let message = format!("{} is outside the nodes' second network {net}", at.value);
            faults.push(at.error(message, help));
        } else if let Some(what) = why_unusable(at.value, net) {
            faults.push(at.error(what, help));
        } else if gateway.is_some_and(|gateway| !gateway.given && gateway.value == at.value) {
            let help = format!("name the router in network.gateway, or {help}");
            faults.push(at.error(
                "is the gateway's address (the network's first, as none is given)",
                help,
            ));
        }
    }
}

/// The nodes' second network at the place of its first address, if its prefix makes sense.
pub(super) fn second_nodes_network(file: &ClusterFile) -> Option<Spanned<IpNet>> {
    let prefix = file.network.second_prefix.as_ref()?;
    let net = file.second_network()?;
    let at = file
        .entries()
        .iter()
        .find_map(|node| node.second_address.as_ref())?;
    allowed_prefixes(net.addr())
        .contains(&prefix.value)
        .then(|| Spanned {
            path: "the nodes' second network".to_owned(),
            ..at.with(net)
        })
}
