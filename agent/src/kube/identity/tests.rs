use super::*;
use crate::kube::pki_file;
use crate::kube::testing::{Authority, node_identity, test_authority};
use crate::testing::{self, FakeMachine};

/// A machine with the identity that Ignition brought; it lasts two hours here.
fn machine_with_identity(node: ha_wire::node::NodeFile) -> (FakeMachine, Authority, Identity) {
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(node);
    machine.file(&pki_file("ca.crt"), ca.cert());
    if machine.cx.node.is_control_plane() {
        machine.file(&pki_file("ca.key"), ca.key().expose());
    }
    let first = node_identity(&ca, &machine.cx.node.name);
    machine.file(paths::IDENTITY_CERT, &first.cert);
    machine.file(paths::IDENTITY_KEY, first.key.expose());
    (machine, ca, first)
}

fn three_hours_later(machine: &FakeMachine) {
    let clock = &machine.clock.0;
    clock.set(clock.get() + 3 * 3_600_000);
}

#[test]
fn the_kubelets_own_certificate_comes_first() {
    let (machine, ca, first) = machine_with_identity(testing::worker());
    assert_eq!(of_node(&machine.cx).unwrap(), first);
    machine.file(KUBELET_PEM, first.joint_pem().expose());
    assert_eq!(
        of_node(&machine.cx).unwrap(),
        first,
        "the kubelet keeps the first identity until its own is signed"
    );
    machine.file(KUBELET_PEM, "");
    assert_eq!(of_node(&machine.cx).unwrap(), first, "empty after a cut");
    let own = node_identity(&ca, "node4").joint_pem();
    machine.file(KUBELET_PEM, own.expose());
    let own = Identity::from_joint_pem(own.expose());
    assert_eq!(of_node(&machine.cx).unwrap(), own);
}

#[test]
fn a_control_plane_mints_an_identity_when_its_first_one_is_over() {
    let (machine, _, first) = machine_with_identity(testing::control_plane());
    three_hours_later(&machine);
    let minted = of_node(&machine.cx).unwrap();
    assert_ne!(minted, first);
    let (_, until) = ha_kube::certificate::validity_of_ms(&minted.cert).unwrap();
    assert!(until > machine.cx.sys.clock.now_ms() + 3_600_000);
    assert_eq!(of_node(&machine.cx).unwrap(), minted, "one is enough");
}

/// Nobody on a worker can sign: a person must have the machine made anew.
#[test]
fn a_worker_whose_identity_is_over_says_what_helps() {
    let (machine, ..) = machine_with_identity(testing::worker());
    three_hours_later(&machine);
    let error = of_node(&machine.cx).unwrap_err();
    assert!(error.is::<NeedsAPerson>(), "{error:#}");
    assert!(error.to_string().contains("`ha-host launch`"), "{error:#}");
}
