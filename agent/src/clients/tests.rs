use super::*;
use crate::kube::testing::{node_identity, test_authority};
use crate::testing::{self, FakeMachine};

fn control_plane_machine() -> FakeMachine {
    let machine = testing::fake_machine(testing::control_plane());
    let ca = test_authority("kubernetes");
    machine.file(&Ca::Cluster.file("crt"), ca.cert());
    machine.file(&Ca::Cluster.file("key"), ca.key().expose());
    machine
}

fn minted_certificate(machine: &FakeMachine) -> String {
    let minted = machine
        .cx
        .clients
        .identity(&machine.cx.sys, "node2", Ca::Cluster);
    minted.unwrap().identity.cert
}

#[test]
fn a_certificate_serves_until_less_than_a_quarter_of_its_life_is_left() {
    let machine = control_plane_machine();
    let first = minted_certificate(&machine);
    let minutes = |m: u64| machine.clock.0.set(1_700_000_000_000 + m * 60_000);
    minutes(89);
    assert_eq!(minted_certificate(&machine), first);
    minutes(90);
    let second = minted_certificate(&machine);
    assert_ne!(second, first);
    minutes(89);
    assert_ne!(
        minted_certificate(&machine),
        second,
        "the clock was put back"
    );
}

#[test]
fn a_certificate_that_a_server_refused_is_made_anew() {
    let machine = control_plane_machine();
    let first = minted_certificate(&machine);
    machine.cx.clients.forget_minted(Ca::Etcd);
    assert_eq!(minted_certificate(&machine), first);
    machine.cx.clients.forget_minted(Ca::Cluster);
    assert_ne!(minted_certificate(&machine), first);
}

#[test]
fn a_client_is_made_anew_with_another_certificate() {
    let machine = control_plane_machine();
    let clients = &machine.cx.clients;
    let ca = test_authority("kubernetes");
    let base = "https://10.77.0.30:6444";
    let cert = |clients: &Clients| {
        clients.made.borrow()[&(ClientIdentity::Node, base.into())]
            .cert
            .clone()
    };
    for name in ["node1", "node2", "node2"] {
        let me = node_identity(&ca, name);
        clients.of_node(base, ca.cert(), &me).unwrap();
        assert_eq!(cert(clients), me.cert);
    }
    assert_eq!(clients.made.borrow().len(), 1);
}
