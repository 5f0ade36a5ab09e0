//! The node's addresses: on its interface, and not in doubt.

use std::net::{IpAddr, Ipv6Addr};

use ha_wire::node::NodeFile;

use super::check::{Check, Verdict, passing_check};
use crate::sys::files::Files;
use crate::sys::net::{has_address, has_interface, interface_with};

/// The kernel's IPv6 addresses with their flags.
const IF_INET6: &str = "/proc/net/if_inet6";
/// `IFA_F_DADFAILED` and `IFA_F_TENTATIVE` there.
const DAD_FAILED: u32 = 0x08;
const TENTATIVE: u32 = 0x40;

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressFault {
    Missing,
    /// It is on this interface, which is another than the node file's.
    Elsewhere(String),
    /// Nobody can bind it yet: the kernel still asks whether somebody has it (RFC 4862).
    Tentative,
    /// Somebody has it.
    Duplicate,
}

/// Those of the node's addresses that cannot be used.
pub fn address_faults(node: &NodeFile, files: &Files) -> Vec<(IpAddr, AddressFault)> {
    let inet6 = files.read(IF_INET6).ok().flatten().unwrap_or_default();
    let fault = |address| {
        if !has_address(address, Some(&node.interface)).unwrap_or(false) {
            let other = interface_with(address);
            return Some(other.map_or(AddressFault::Missing, AddressFault::Elsewhere));
        }
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => duplicate_detection_fault(&inet6, address),
        }
    };
    let all = node.addresses();
    all.filter_map(|address| Some((address, fault(address)?)))
        .collect()
}

/// What the kernel says against an address that is there.
fn duplicate_detection_fault(inet6: &str, address: Ipv6Addr) -> Option<AddressFault> {
    let digits = format!("{:032x}", u128::from(address));
    let line = inet6.lines().find(|line| line.starts_with(&digits))?;
    let flags = u32::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
    match flags {
        flags if flags & DAD_FAILED != 0 => Some(AddressFault::Duplicate),
        flags if flags & TENTATIVE != 0 => Some(AddressFault::Tentative),
        _ => None,
    }
}

pub fn check_address(node: &NodeFile, faults: &[(IpAddr, AddressFault)]) -> Check {
    let interface = &node.interface;
    let check = passing_check("address", &format!("ip address show {interface}"));
    let Some((address, fault)) = faults.first() else {
        let all: Vec<String> = node.addresses().map(|at| at.to_string()).collect();
        return check.says(format!("{} on {interface}", all.join(" and ")));
    };
    let (reason, remedy) = match fault {
        AddressFault::Missing => (
            format!("{interface} does not have {address} (yet)"),
            "look at the network configuration (networkctl status)".to_owned(),
        ),
        AddressFault::Elsewhere(other) => (
            format!(
                "{address} is on {other}, and the node file says {interface}: VIP and pod network would use the wrong one"
            ),
            format!("`interface: {other}` in the cluster file, or move the address"),
        ),
        AddressFault::Tentative => (
            format!("{address} is tentative: the kernel still asks whether another machine has it"),
            "wait a second".to_owned(),
        ),
        AddressFault::Duplicate => (
            format!(
                "another machine answers for {address}: the kernel does not use it (dadfailed)"
            ),
            "give one of the two another address".to_owned(),
        ),
    };
    check.with(Verdict::Wait, reason, &remedy)
}

/// True if keepalived would have nowhere to add the VIP to.
pub fn lacks_vip_interface(node: &NodeFile) -> bool {
    let there = |name: &String| has_interface(name).unwrap_or(true);
    node.runs_balancer() && !node.endpoint.interface.iter().all(there)
}

/// Without it the node is a balancer that never holds the VIP, which one of them alone may be.
pub fn check_vip_interface(node: &NodeFile, lacks: bool) -> Option<Check> {
    let interface = node.endpoint.interface.as_ref()?;
    let check = passing_check("VIP's interface", &format!("ip link show {interface}"));
    if !lacks {
        return Some(check.says(interface.clone()));
    }
    let reason = format!("there is no {interface} (yet): this node cannot hold the VIP");
    let remedy = "look at networkctl list: what is the interface of the VIP's network called here? It is `endpoint.interface` in the cluster file";
    Some(check.with(Verdict::Wait, reason, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes them: the first of each kind of flag.
    const INET6: &str = "fd000077000000000000000000000031 02 40 00 80     eth0\n\
                         fd000077000000000000000000000032 02 40 00 c0     eth0\n\
                         fd000077000000000000000000000033 02 40 00 c8     eth0\n";

    #[test]
    fn an_address_in_doubt_is_known() {
        let see = |address: &str| duplicate_detection_fault(INET6, address.parse().unwrap());
        assert_eq!(see("fd00:77::31"), None);
        assert_eq!(see("fd00:77::32"), Some(AddressFault::Tentative));
        assert_eq!(see("fd00:77::33"), Some(AddressFault::Duplicate));
        assert_eq!(see("fd00:77::34"), None);
    }
}
