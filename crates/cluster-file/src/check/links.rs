//! `network.bond` and `network.vlan`: what the nodes' interface is made of, on machines that others make.

use super::network::check_interface_name;
use crate::diagnostic::{Fault, Place};
use crate::file::{BondFile, ClusterFile, ProviderFile, Spanned, VlanFile};
use crate::suggest::did_you_mean;

/// As the kernel and networkd call them.
const MODES: [&str; 7] = [
    "active-backup",
    "802.3ad",
    "balance-rr",
    "balance-xor",
    "broadcast",
    "balance-tlb",
    "balance-alb",
];
/// 0 and 4095 are the standard's own.
const VLAN_IDS: std::ops::RangeInclusive<u32> = 1..=4094;

pub(super) fn check_links(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let (bond, vlan) = (&file.network.bond, &file.network.vlan);
    let of_bond = bond.iter().map(|bond| (bond.place, "network.bond"));
    let of_vlan = vlan.iter().map(|vlan| (vlan.place, "network.vlan"));
    let Some(first) = of_bond.chain(of_vlan).next() else {
        return;
    };
    check_machines(file, first, faults);
    if let Some(bond) = bond {
        check_bond(bond, faults);
    }
    if let Some(vlan) = vlan {
        check_vlan(vlan, faults);
    }
    check_chain(file, faults);
}

/// Machines that a provider makes have one cable each, and its hypervisor knows of bonds and VLANs.
fn check_machines(file: &ClusterFile, (place, path): (Place, &str), faults: &mut Vec<Fault>) {
    let provider = file.provider.as_ref().map(|at| &at.value);
    if !matches!(provider, Some(ProviderFile::None)) {
        let message = format!("{path} is for machines that others make");
        let help = "leave it out: make a bond or a VLAN on the host, and name its bridge in the provider's `network`; or `provider: none`";
        faults.push(Fault::error(place, path, message, help));
    }
    for interface in file
        .entries()
        .iter()
        .filter_map(|node| node.interface.as_ref())
    {
        let message = format!("cannot be given with {path}");
        let help = "call it as on the other nodes: network.interface";
        faults.push(interface.error(message, help));
    }
}

fn check_bond(bond: &BondFile, faults: &mut Vec<Fault>) {
    if bond.members.is_empty() {
        let message = "network.bond has no members";
        let help = "write `members: [eno1, eno2]`";
        faults.push(Fault::error(
            bond.place,
            "network.bond.members",
            message,
            help,
        ));
    }
    for (i, member) in bond.members.iter().enumerate() {
        check_interface_name(member, faults);
        let mut before = bond.name.iter().chain(&bond.members[..i]);
        let same = |first: &&Spanned<String>| first.value == member.value;
        if let Some(first) = before.find(same) {
            let message = format!("`{}` is in use already", member.value);
            let fault = member.error(message, "name each interface once");
            faults.push(fault.also(first.place, first.path.clone()));
        }
    }
    if let Some(name) = &bond.name {
        check_interface_name(name, faults);
    }
    let mode = bond.mode.as_ref();
    if let Some(mode) = mode.filter(|mode| !MODES.contains(&mode.value.as_str())) {
        let guess = did_you_mean(&mode.value, MODES);
        let message = format!("`{}` is not a mode of bonds{guess}", mode.value);
        faults.push(mode.error(message, format!("write one of {}", MODES.join(", "))));
    }
}

fn check_vlan(vlan: &VlanFile, faults: &mut Vec<Fault>) {
    if let Some(link) = &vlan.link {
        check_interface_name(link, faults);
    }
    if let Some(id) = vlan.id.as_ref().filter(|id| !VLAN_IDS.contains(&id.value)) {
        let message = format!("{} is not a VLAN's number", id.value);
        faults.push(id.error(message, "write a number from 1 to 4094"));
    }
}

/// The node's interface is the VLAN, its link the bond: each name leads to the next.
fn check_chain(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let network = &file.network;
    let (Some(interface), bond) = (&network.interface, network.bond.as_ref()) else {
        return;
    };
    let bond = bond.and_then(|bond| bond.name.as_ref());
    let link = network.vlan.as_ref().and_then(|vlan| vlan.link.as_ref());
    match (bond, link) {
        (Some(bond), Some(link)) if link.value != bond.value => {
            let message = format!("is `{}`, and the bond is `{}`", link.value, bond.value);
            faults.push(link.error(message, format!("write `link: {}`", bond.value)));
        }
        (_, Some(link)) if link.value == interface.value => {
            let message = format!("`{}` is the VLAN's own name", link.value);
            let help = format!(
                "call the VLAN otherwise: `network: {{interface: {}.20}}`",
                link.value
            );
            faults.push(link.error(message, help));
        }
        (Some(bond), None) if bond.value != interface.value => {
            let message = format!("is `{}`, and the bond is `{}`", interface.value, bond.value);
            faults.push(interface.error(message, format!("write `interface: {}`", bond.value)));
        }
        _ => {}
    }
}
