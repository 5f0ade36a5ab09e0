//! What the machines of a right file are like.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use ha_cluster_file::cluster::{LibvirtNetwork, ProviderOptions};

mod least;

use least::{LEAST, valid_cluster};

#[test]
fn every_way_to_plug_in_a_libvirt_domain() {
    for (written, network) in [
        ("own", LibvirtNetwork::Own),
        ("default", LibvirtNetwork::Named("default".to_owned())),
        ("{bridge: br0}", LibvirtNetwork::Bridge("br0".to_owned())),
    ] {
        let text = format!("{LEAST}provider: {{libvirt: {{network: {written}}}}}\n");
        let ProviderOptions::Libvirt(options) = valid_cluster(&text).provider else {
            panic!("{written}")
        };
        assert_eq!(options.network, network);
    }
}

#[test]
fn every_virtual_machine_has_an_ethernet_address_of_its_own() {
    let macs = |text: &str| -> Vec<_> { valid_cluster(text).nodes.iter().map(|n| n.mac).collect() };
    let derived = macs(LEAST);
    assert!(derived.iter().all(Option::is_some));
    assert!(derived[0] != derived[1] && derived[1] != derived[2]);
    // One that the user gives to another node is not given twice.
    let first = derived[0].unwrap();
    let text = LEAST.replace(
        "address: 10.77.0.12",
        &format!("address: 10.77.0.12, mac: \"{first}\""),
    );
    let given = macs(&text);
    assert!(given[1] == derived[0] && given[0] != derived[0]);
    assert_eq!(macs(&format!("{LEAST}provider: none\n")), [None; 3]);
}
