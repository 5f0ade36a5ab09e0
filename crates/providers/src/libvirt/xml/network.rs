//! Virtual networks: the cluster's own, and what is to be known of one that was there before.

use std::fmt;
use std::net::IpAddr;

use anyhow::{Result, anyhow};
use ipnet::IpNet;

use super::{Mark, XmlEscaped, parse_xml};
use crate::finding::Unfit;

/// A NAT network of a cluster's own. Addresses are static: it has no DHCP.
#[derive(Debug, Clone)]
pub struct NewNetwork {
    pub name: String,
    /// Its bridge, at most 15 bytes.
    pub bridge: String,
    pub mark: Mark,
    /// The nodes' network with the host's address in it, their gateway; in a dual-stack cluster two.
    pub subnets: Vec<(IpNet, IpAddr)>,
    /// Largest packet in bytes; none: the bridge's own.
    pub mtu: Option<u32>,
}

impl fmt::Display for NewNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = |(net, _): &(IpNet, IpAddr)| matches!(net, IpNet::V6(_));
        let nat = match self.subnets.iter().any(is_v6) {
            false => "<forward mode='nat'/>",
            true => "<forward mode='nat'><nat ipv6='yes'/></forward>",
        };
        writeln!(
            f,
            "<network>\n  <name>{}</name>\n  {}\n  {nat}",
            XmlEscaped(&self.name),
            self.mark
        )?;
        writeln!(
            f,
            "  <bridge name='{}' stp='on' delay='0'/>",
            XmlEscaped(&self.bridge)
        )?;
        if let Some(mtu) = self.mtu {
            writeln!(f, "  <mtu size='{mtu}'/>")?;
        }
        for (net, gateway) in &self.subnets {
            let family = if gateway.is_ipv4() { "ipv4" } else { "ipv6" };
            let prefix = net.prefix_len();
            writeln!(
                f,
                "  <ip family='{family}' address='{gateway}' prefix='{prefix}'/>"
            )?;
        }
        writeln!(f, "</network>")
    }
}

/// A network as libvirt tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Whose it is; none: not ours.
    pub mark: Option<Mark>,
    /// `nat`, `route`, `open`, `bridge`...; none: isolated.
    pub forward: Option<String>,
    /// Its addresses; empty where libvirt gives it none (bridges, macvtap).
    pub addresses: Vec<Subnet>,
}

/// One address of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The host's own address with the prefix.
    pub host: IpNet,
    /// What its DHCP server gives away: first and last.
    pub ranges: Vec<(IpAddr, IpAddr)>,
}

impl Network {
    pub fn read(xml: &str, name: &str) -> Result<Self> {
        let what = format!("network {name}");
        let document = parse_xml(xml, &what)?;
        let root = document.root_element();
        let forward = root.children().find(|n| n.has_tag_name("forward"));
        let addresses: Option<Vec<Subnet>> = root
            .children()
            .filter(|n| n.has_tag_name("ip"))
            .map(read_subnet)
            .collect();
        Ok(Self {
            mark: Mark::find(&document),
            forward: forward.map(|n| n.attribute("mode").unwrap_or("nat").to_owned()),
            addresses: addresses
                .ok_or_else(|| anyhow!("cannot parse the addresses of libvirt's {what}"))?,
        })
    }

    /// Everything that keeps nodes with these addresses (named for people) from living in the network.
    pub fn faults(&self, name: &str, addresses: &[(String, IpAddr)]) -> Vec<Unfit> {
        // libvirt gives it no addresses: whoever does is not to be asked.
        if self.addresses.is_empty() {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for (who, address) in addresses {
            let Some(subnet) = self.addresses.iter().find(|s| s.host.contains(address)) else {
                let all: Vec<String> = self
                    .addresses
                    .iter()
                    .map(|s| s.host.trunc().to_string())
                    .collect();
                faults.push(Unfit::new(
                    format!(
                        "{who} {address} is outside libvirt's network {name} ({})",
                        all.join(", ")
                    ),
                    "give nodes and VIP addresses of that network, or take `network: own`",
                ));
                continue;
            };
            if subnet.host.addr() == *address {
                faults.push(Unfit::new(
                    format!(
                        "{who} {address} is the host's own address in libvirt's network {name}"
                    ),
                    "take another address",
                ));
            }
            faults.extend(subnet.ranges.iter().filter(|(from, to)| from <= address && address <= to).map(
                |(from, to)| {
                    Unfit::new(
                        format!("{who} {address} lies in the DHCP range {from} to {to} of libvirt's network {name}: another machine may get it"),
                        format!(
                            "take an address outside the range, or make the range smaller:  virsh net-update {name} delete \
                             ip-dhcp-range \"<range start='{from}' end='{to}'/>\" --live --config  and `add` a smaller one"
                        ),
                    )
                },
            ));
        }
        faults
    }
}

fn read_subnet(ip: roxmltree::Node<'_, '_>) -> Option<Subnet> {
    let address: IpAddr = ip.attribute("address")?.parse().ok()?;
    let prefix = match (ip.attribute("prefix"), ip.attribute("netmask")) {
        (Some(prefix), _) => prefix.parse().ok()?,
        (None, Some(mask)) => ipnet::ip_mask_to_prefix(mask.parse().ok()?).ok()?,
        // libvirt's own defaults.
        (None, None) => match address {
            IpAddr::V4(v4) => match v4.octets()[0] {
                0..=127 => 8,
                128..=191 => 16,
                _ => 24,
            },
            IpAddr::V6(_) => 64,
        },
    };
    let ranges: Option<Vec<_>> = ip
        .descendants()
        .filter(|n| n.has_tag_name("range"))
        .map(|n| {
            Some((
                n.attribute("start")?.parse().ok()?,
                n.attribute("end")?.parse().ok()?,
            ))
        })
        .collect();
    Some(Subnet {
        host: IpNet::new(address, prefix).ok()?,
        ranges: ranges?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "<network><name>default</name><forward mode='nat'><nat><port start='1' end='2'/></nat></forward>\
        <bridge name='virbr0'/><ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>\
        <range start='192.168.122.100' end='192.168.122.254'><lease expiry='1'/></range></dhcp></ip></network>";

    fn sample_mark() -> Mark {
        Mark {
            cluster: "demo".into(),
            node: String::new(),
            state: "aa".into(),
        }
    }

    fn parse_subnet(net: &str, gateway: &str) -> (IpNet, IpAddr) {
        (net.parse().unwrap(), gateway.parse().unwrap())
    }

    #[test]
    fn our_own() {
        let new = NewNetwork {
            name: "ha-demo".into(),
            bridge: "ha-demo".into(),
            mark: sample_mark(),
            subnets: vec![parse_subnet("10.77.0.0/24", "10.77.0.1")],
            mtu: Some(9000),
        };
        let xml = new.to_string();
        assert_eq!(
            xml,
            "<network>\n  <name>ha-demo</name>\n  <metadata><ha:owner xmlns:ha='https://github.com/flatcar-ha/libvirt/1' \
             cluster='demo' node='' state='aa'/></metadata>\n  <forward mode='nat'/>\n  <bridge name='ha-demo' stp='on' delay='0'/>\n  \
             <mtu size='9000'/>\n  <ip family='ipv4' address='10.77.0.1' prefix='24'/>\n</network>\n"
        );
        let read = Network::read(&xml, "ha-demo").unwrap();
        assert_eq!(read.mark, Some(sample_mark()));
        assert_eq!(
            read.addresses,
            [Subnet {
                host: "10.77.0.1/24".parse().unwrap(),
                ranges: vec![]
            }]
        );
        let six = NewNetwork {
            subnets: vec![parse_subnet("fd00:77::/64", "fd00:77::1")],
            mtu: None,
            ..new.clone()
        };
        let six = six.to_string();
        let of_six = "  <ip family='ipv6' address='fd00:77::1' prefix='64'/>\n</network>\n";
        assert!(six.contains("<nat ipv6='yes'/>") && six.ends_with(of_six));
        let subnets = vec![new.subnets[0], parse_subnet("fd00:77::/64", "fd00:77::1")];
        let both = NewNetwork { subnets, ..new }.to_string();
        assert!(
            both.contains("<nat ipv6='yes'/>")
                && both.contains("address='10.77.0.1' prefix='24'/>\n")
        );
        assert!(both.ends_with(of_six), "{both}");
        assert_eq!(Network::read(&both, "ha-demo").unwrap().addresses.len(), 2);
    }

    #[test]
    fn addresses_against_a_network_that_is_there() {
        let network = Network::read(DEFAULT, "default").unwrap();
        assert_eq!(
            (network.mark.as_ref(), network.forward.as_deref()),
            (None, Some("nat"))
        );
        let faults = |address: &str| {
            network.faults("default", &[("node1".into(), address.parse().unwrap())])
        };
        assert_eq!(faults("192.168.122.20"), []);
        assert_eq!(faults("192.168.122.99"), []);
        for inside in ["192.168.122.100", "192.168.122.254"] {
            let Unfit { message, remedy } = faults(inside).remove(0);
            assert!(
                message.contains(inside) && message.contains("192.168.122.100 to 192.168.122.254"),
                "{message}"
            );
            assert!(
                remedy.contains("virsh net-update default delete ip-dhcp-range"),
                "{remedy}"
            );
        }
        assert!(
            faults("192.168.122.1")[0]
                .message
                .contains("host's own address")
        );
        assert!(
            faults("10.0.0.1")[0]
                .message
                .contains("is outside libvirt's network default (192.168.122.0/24)")
        );
    }

    #[test]
    fn a_bridge_network_has_no_addresses_to_judge() {
        let xml = "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>";
        let network = Network::read(xml, "lan").unwrap();
        assert_eq!(
            network.faults("lan", &[("VIP".into(), "10.0.0.1".parse().unwrap())]),
            []
        );
    }
}
