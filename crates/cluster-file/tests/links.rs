//! Bonds and VLANs, where the machines may have them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::json;

mod least;

use least::{LEAST, valid_cluster};

#[test]
fn the_interface_may_be_a_vlan_of_a_bond() {
    let links = "10.77.0.1], interface: bond0.20, bond: {members: [eno1, eno2], mode: 802.3ad}, vlan: {id: 20, link: bond0}";
    let text = LEAST.replace("10.77.0.1]", links);
    let cluster = valid_cluster(&format!("{text}provider: none\n"));
    let network = serde_json::to_value(&cluster.network).unwrap();
    let bond = json!({"name": "bond0", "members": ["eno1", "eno2"], "mode": "802.3ad"});
    assert_eq!(network["bond"], bond);
    assert_eq!(network["vlan"], json!({"id": 20, "link": "bond0"}));
}
