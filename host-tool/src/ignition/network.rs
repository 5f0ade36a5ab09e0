//! systemd-networkd's files: one for every interface, or network-online.target never comes.

use std::fmt::Write;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Mac, Network, Nic, Node, ProviderOptions};

use super::build::ConfigBuilder;

mod links;

/// Worse than any route of the first interface (0), and than networkd's own choice for DHCP (1024).
const FURTHER_METRIC: u32 = 2048;

pub fn write_network(build: &mut ConfigBuilder, cluster: &Cluster, node: &Node) -> Result<()> {
    let name = node.interface_in(&cluster.network);
    let mac = mac_address_of(cluster, node);
    let Network { bond, vlan, .. } = &cluster.network;
    // A bond's members are found by their names.
    if let (Some(mac), None) = (mac, bond) {
        let name = vlan.as_ref().map_or(name, |vlan| vlan.link.as_str());
        let path = format!("/etc/systemd/network/10-{name}.link");
        build.file(&path, 0o644, &link_file(mac, name))?;
    }
    links::write_links(build, &cluster.network, name, mac)?;
    let mac = mac.filter(|_| bond.is_none() && vlan.is_none());
    let path = format!("/etc/systemd/network/10-{name}.network");
    build.file(&path, 0o644, &first_network_file(cluster, node, mac))?;
    for nic in &node.interfaces {
        let digits = nic.mac.to_string().replace(':', "");
        let path = format!("/etc/systemd/network/20-{digits}.network");
        build.file(&path, 0o644, &further_network_file(nic))?;
    }
    Ok(())
}

/// What the first interface is found by. In a container the provider names it, and its address is the kernel's choice.
fn mac_address_of(cluster: &Cluster, node: &Node) -> Option<Mac> {
    match cluster.provider {
        ProviderOptions::Nspawn(_) => None,
        _ => node.mac,
    }
}

/// What was found by its address still has to be called as keepalived's configuration calls it. The first file that matches
/// counts, so this one also stands for Flatcar's 98-virtio.link, which keeps the kernel's name and adds the others; where the
/// interface has the name already, nothing happens.
fn link_file(mac: Mac, name: &str) -> String {
    format!(
        "{}\n[Link]\nName={name}\nAlternativeNamesPolicy=database onboard slot path\n",
        match_section(mac)
    )
}

/// `Type=ether` and `Kind=!*` leave alone what inherits the address: VLANs, bridges and bonds above the interface.
fn match_section(mac: Mac) -> String {
    format!("[Match]\nMACAddress={mac}\nType=ether\nKind=!*\n")
}

/// `KeepConfiguration=static`: networkd must not take keepalived's VIP away when it restarts.
fn first_network_file(cluster: &Cluster, node: &Node, mac: Option<Mac>) -> String {
    let network = &cluster.network;
    let mut text = match mac {
        Some(mac) => match_section(mac),
        None => format!("[Match]\nName={}\n", node.interface_in(network)),
    };
    // Writing to a String cannot fail.
    if let Some(mtu) = network.mtu {
        let _ = write!(text, "\n[Link]\nMTUBytes={mtu}\n");
    }
    let first = (node.address, network.prefix, network.gateway);
    let second = node.second_address.zip(cluster.secondary.as_ref());
    let second = second.map(|(address, of)| (address, of.prefix, of.gateway));
    text += "\n[Network]\n";
    for (address, prefix, gateway) in [first].into_iter().chain(second) {
        let _ = write!(text, "Address={address}/{prefix}\nGateway={gateway}\n");
    }
    for server in &network.dns {
        let _ = writeln!(text, "DNS={server}");
    }
    text + &static_settings(node.addresses().any(|at| at.is_ipv6()))
}

/// Whatever a further interface learns, the node's way out and its name servers stay those of the first, and the node does
/// not wait for it.
fn further_network_file(nic: &Nic) -> String {
    let mut text = match_section(nic.mac) + "\n[Link]\nRequiredForOnline=no\n";
    if let Some(mtu) = nic.mtu {
        let _ = writeln!(text, "MTUBytes={mtu}");
    }
    text += "\n[Network]\n";
    let Some(address) = nic.address else {
        let _ = write!(
            text,
            "DHCP=ipv4\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n\n\
             [DHCPv4]\nUseGateway=no\nUseDNS=no\nUseNTP=no\nUseHostname=no\nRouteMetric={FURTHER_METRIC}\n"
        );
        return text;
    };
    let _ = writeln!(text, "Address={address}");
    text + &static_settings(address.addr().is_ipv6())
}

fn static_settings(ipv6: bool) -> String {
    let link_local = if ipv6 { "ipv6" } else { "no" };
    format!(
        "DHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing={link_local}\nKeepConfiguration=static\n"
    )
}
