//! The files of systemd-networkd, byte for byte.

use super::*;

#[test]
fn interfaces_are_found_by_address_and_called_by_name() {
    let text = DEMO
        .replace("prefix: 24,", "prefix: 24, mtu: 9000, interface: lan0,")
        .replace(
            "address: 10.77.0.12}",
            "address: 10.77.0.12, mac: \"52:54:00:aa:bb:01\", interfaces: [{mac: \"52:54:00:aa:bb:02\", \
             address: 10.9.0.12/16, mtu: 1400}, {mac: \"52:54:00:aa:bb:03\"}]}",
        )
        .replace("address: 10.77.0.13}", "address: 10.77.0.13, interface: eno1}");
    let configs = render_all_nodes(&cluster_of_people(&text), &OperatorFiles::default(), None);
    let network: BTreeMap<String, String> = written_files(&configs[1])
        .into_iter()
        .filter_map(|(path, (_, text))| {
            let name = path.strip_prefix("/etc/systemd/network/")?;
            Some((name.to_owned(), text))
        })
        .collect();
    let golden = [
        (
            "10-lan0.link",
            "[Match]\nMACAddress=52:54:00:aa:bb:01\nType=ether\nKind=!*\n\n[Link]\nName=lan0\n\
             AlternativeNamesPolicy=database onboard slot path\n",
        ),
        (
            "10-lan0.network",
            "[Match]\nMACAddress=52:54:00:aa:bb:01\nType=ether\nKind=!*\n\n[Link]\nMTUBytes=9000\n\n[Network]\n\
             Address=10.77.0.12/24\nGateway=10.77.0.1\nDNS=10.77.0.1\nDHCP=no\nIPv6AcceptRA=no\n\
             LinkLocalAddressing=no\nKeepConfiguration=static\n",
        ),
        (
            "20-525400aabb02.network",
            "[Match]\nMACAddress=52:54:00:aa:bb:02\nType=ether\nKind=!*\n\n[Link]\nRequiredForOnline=no\n\
             MTUBytes=1400\n\n[Network]\nAddress=10.9.0.12/16\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n\
             KeepConfiguration=static\n",
        ),
        (
            "20-525400aabb03.network",
            "[Match]\nMACAddress=52:54:00:aa:bb:03\nType=ether\nKind=!*\n\n[Link]\nRequiredForOnline=no\n\n\
             [Network]\nDHCP=ipv4\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n\n[DHCPv4]\nUseGateway=no\nUseDNS=no\n\
             UseNTP=no\nUseHostname=no\nRouteMetric=2048\n",
        ),
    ];
    let golden: BTreeMap<String, String> = golden.map(|(n, t)| (n.to_owned(), t.to_owned())).into();
    assert_eq!(network, golden);
    // A node without an address of its own is found by its interface's name, and needs no link file.
    let others = written_files(&configs[0]);
    assert!(
        others["/etc/systemd/network/10-lan0.network"]
            .1
            .starts_with("[Match]\nName=lan0\n")
    );
    assert!(!others.contains_key("/etc/systemd/network/10-lan0.link"));
    let own = written_files(&configs[2]);
    let text = &own["/etc/systemd/network/10-eno1.network"].1;
    assert!(text.starts_with("[Match]\nName=eno1\n"), "{text}");
    assert_eq!(node_file(&own).interface, "eno1");
}

#[test]
fn ipv6_nodes_keep_their_link_local_address() {
    let text = DEMO
        .replace("10.77.0.", "fd77::")
        .replace("prefix: 24", "prefix: 64")
        .replace(
            "{version: 1.36.3,",
            "{version: 1.36.3, podCIDR: \"fd10::/56\", serviceCIDR: \"fd20::/112\",",
        );
    let text = text
        .replace("vip: fd77::30", "vip: \"fd77::30\"")
        .replace("gateway: fd77::1", "gateway: \"fd77::1\"")
        .replace("[fd77::1]", "[\"fd77::1\"]");
    let text = (11..16).fold(text, |t, n| {
        t.replace(
            &format!("address: fd77::{n}"),
            &format!("address: \"fd77::{n}\""),
        )
    });
    let Ok((cluster, _)) = ha_cluster_file::check::check_cluster_file(&text, Path::new("/")) else {
        return;
    };
    let configs = render_all_nodes(&cluster, &OperatorFiles::default(), None);
    assert!(
        written_files(&configs[0])["/etc/systemd/network/10-eth0.network"]
            .1
            .contains("LinkLocalAddressing=ipv6\n")
    );
}

/// The files below a node's interface, and the first lines of its own.
fn links_with(network: &str, node: &str) -> BTreeMap<String, String> {
    let text = DEMO.replace("prefix: 24,", &format!("prefix: 24, {network},"));
    let text = text.replace(
        "address: 10.77.0.11}",
        &format!("address: 10.77.0.11{node}}}"),
    );
    let config =
        render_all_nodes(&cluster_of_people(&text), &OperatorFiles::default(), None).remove(0);
    let files = written_files(&config).into_iter();
    let files = files.filter_map(|(path, (_, text))| {
        let name = path.strip_prefix("/etc/systemd/network/")?.to_owned();
        let own = name.starts_with("10-").then_some("\n[Network]");
        let text = own.and_then(|own| text.split(own).next()).unwrap_or(&text);
        Some((name, text.to_owned()))
    });
    files.collect()
}

fn as_map(golden: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = golden
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    owned.collect()
}

#[test]
fn an_interface_is_a_vlan_of_a_bond() {
    let bond = "mtu: 9000, interface: bond0.20, bond: {members: [eno1, eno2], mode: 802.3ad}, vlan: {id: 20, link: bond0}";
    let golden = [
        (
            "05-bond0.20.netdev",
            "[NetDev]\nName=bond0.20\nKind=vlan\n\n[VLAN]\nId=20\n",
        ),
        (
            "05-bond0.netdev",
            "[NetDev]\nName=bond0\nKind=bond\n\n[Bond]\nMode=802.3ad\nMIIMonitorSec=100ms\n",
        ),
        (
            "06-bond0-members.network",
            "[Match]\nName=eno1 eno2\n\n[Link]\nRequiredForOnline=no\nMTUBytes=9000\n\n[Network]\nBond=bond0\n",
        ),
        (
            "06-bond0.network",
            "[Match]\nName=bond0\n\n[Link]\nRequiredForOnline=no\nMTUBytes=9000\n\n[Network]\nVLAN=bond0.20\nDHCP=no\n\
             IPv6AcceptRA=no\nLinkLocalAddressing=no\n",
        ),
        (
            "10-bond0.20.network",
            "[Match]\nName=bond0.20\n\n[Link]\nMTUBytes=9000\n",
        ),
    ];
    assert_eq!(
        links_with(bond, ", mac: \"52:54:00:aa:bb:01\""),
        as_map(&golden)
    );
}

#[test]
fn a_vlans_link_may_be_found_by_its_address() {
    let found = "[Match]\nMACAddress=52:54:00:aa:bb:01\nType=ether\nKind=!*\n";
    let link =
        format!("{found}\n[Link]\nName=eno1\nAlternativeNamesPolicy=database onboard slot path\n");
    let below = format!(
        "{found}\n[Link]\nRequiredForOnline=no\n\n[Network]\nVLAN=lan\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n"
    );
    let golden = [
        (
            "05-lan.netdev",
            "[NetDev]\nName=lan\nKind=vlan\n\n[VLAN]\nId=7\n",
        ),
        ("06-eno1.network", below.as_str()),
        ("10-eno1.link", link.as_str()),
        ("10-lan.network", "[Match]\nName=lan\n"),
    ];
    let vlan = "interface: lan, vlan: {id: 7, link: eno1}";
    assert_eq!(
        links_with(vlan, ", mac: \"52:54:00:aa:bb:01\""),
        as_map(&golden)
    );
}

#[test]
fn a_node_of_both_families_has_two_addresses_and_two_ways_out() {
    let text = DEMO
        .replace("prefix: 24", "prefix: [24, 64]")
        .replace("gateway: 10.77.0.1", "gateway: [10.77.0.1, \"fd00:77::1\"]");
    let text = (11..16).fold(text, |text, n| {
        let one = format!("address: 10.77.0.{n}}}");
        let two = format!("address: [10.77.0.{n}, \"fd00:77::{n}\"]}}");
        assert!(text.contains(&one), "{text}");
        text.replace(&one, &two)
    });
    let configs = render_all_nodes(&cluster_of_people(&text), &OperatorFiles::default(), None);
    let files = written_files(&configs[1]);
    let network = "[Match]\nName=eth0\n\n[Network]\nAddress=10.77.0.12/24\nGateway=10.77.0.1\nAddress=fd00:77::12/64\n\
                   Gateway=fd00:77::1\nDNS=10.77.0.1\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=ipv6\nKeepConfiguration=static\n";
    assert_eq!(files["/etc/systemd/network/10-eth0.network"].1, network);
    let second = node_file(&files).secondary.unwrap();
    assert_eq!(
        (second.address.to_string(), second.prefix),
        ("fd00:77::12".to_owned(), 64)
    );
    let planes: Vec<String> = second
        .control_planes
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(planes, ["fd00:77::11", "fd00:77::12", "fd00:77::13"]);
}
