use std::net::IpAddr;

use ha_wire::node::NodeFile;

use super::*;
use crate::kube::ETCD_DATA;
use crate::kube::testing::run_local;
use crate::testing::{self, FakeMachine, fake_machine};

const KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nthe control planes' own\n-----END PRIVATE KEY-----\n";

/// Beside a balancer at 6443: what peers ask is the apiservers' port.
fn machine_at(mut node: NodeFile, last: u8) -> FakeMachine {
    (node.endpoint.port, node.endpoint.apiserver_port) = (6443, 6444);
    node.address = IpAddr::from([127, 31, 0, last]);
    let machine = fake_machine(node);
    machine.file(&pki_file("ca.key"), KEY);
    machine
}

fn peer_of(machine: &FakeMachine) -> Peer {
    Peer {
        name: machine.cx.node.name.clone(),
        address: machine.cx.node.address,
    }
}

/// What the asker hears of a peer that answers meanwhile.
async fn hears_no_cluster(asker: &FakeMachine, peer: &FakeMachine) -> bool {
    let named = peer_of(peer);
    let asking = async {
        // The listener is there once it accepts.
        let address = peer.cx.node.endpoint.apiserver(named.address);
        for _ in 0..1000 {
            if TcpStream::connect(address).await.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
        peer_says_so(&asker.cx, &named).await
    };
    tokio::select! {
        said = asking => said,
        never = answer_peers(&peer.cx) => match never {},
    }
}

#[test]
fn a_new_machine_says_that_it_is_in_no_cluster() {
    run_local(async {
        let founder = machine_at(testing::founder(), 1);
        assert!(hears_no_cluster(&founder, &machine_at(testing::control_plane(), 2)).await);
    });
}

#[test]
fn a_machine_with_anything_of_a_cluster_says_nothing() {
    run_local(async {
        let founder = machine_at(testing::founder(), 1);
        for (last, trace) in [
            (11, format!("{ETCD_DATA}/member/snap/db")),
            (12, pod_manifest("etcd")),
            (13, KUBELET_PEM.to_owned()),
        ] {
            let peer = machine_at(testing::control_plane(), last);
            peer.file(&trace, "");
            assert!(!hears_no_cluster(&founder, &peer).await, "{trace}");
        }
    });
}

#[test]
fn nobody_else_can_say_it() {
    run_local(async {
        let founder = machine_at(testing::founder(), 1);
        let stranger = machine_at(testing::control_plane(), 21);
        stranger.file(&pki_file("ca.key"), "another key");
        assert!(!hears_no_cluster(&founder, &stranger).await, "another CA");
        let mut other = testing::control_plane();
        other.cluster = "other".into();
        assert!(
            !hears_no_cluster(&founder, &machine_at(other, 22)).await,
            "another cluster"
        );
        let third = machine_at(testing::control_plane(), 23);
        let named = Peer {
            name: "node3".into(),
            ..peer_of(&third)
        };
        let said = tokio::select! {
            said = peer_says_so(&founder.cx, &named) => said,
            never = answer_peers(&third.cx) => match never {},
        };
        assert!(!said, "another node");
    });
}

/// A real apiserver closes a connection that does not speak TLS, or answers in plain HTTP.
#[test]
fn what_is_no_answer_is_a_no() {
    run_local(async {
        let founder = machine_at(testing::founder(), 1);
        for (last, words) in [
            (31, ""),
            (32, "HTTP/1.0 400 Bad Request\r\n\r\n"),
            (33, "ab\n"),
            (34, "abc\n"),
        ] {
            let peer = machine_at(testing::control_plane(), last);
            let named = peer_of(&peer);
            let listener = TcpListener::bind(founder.cx.node.endpoint.apiserver(named.address))
                .await
                .unwrap();
            let answer = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(words.as_bytes()).await.unwrap();
            };
            let (said, ()) = tokio::join!(peer_says_so(&founder.cx, &named), answer);
            assert!(!said, "{words:?}");
        }
    });
}

/// haproxy's checks and kubectl speak TLS to this port: they are sent away, and others go on being answered.
#[test]
fn who_speaks_tls_is_sent_away_at_once() {
    run_local(async {
        let founder = machine_at(testing::founder(), 1);
        let peer = machine_at(testing::control_plane(), 41);
        let hello: Vec<u8> = [&[0x16, 3, 1, 2, 0][..], &[b'x'; 512]].concat();
        let address = peer.cx.node.endpoint.apiserver(peer.cx.node.address);
        let asking = async {
            let mut stream = loop {
                match TcpStream::connect(address).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            stream.write_all(&hello).await.unwrap();
            let mut rest = Vec::new();
            // An end or a reset, but no answer.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "{rest:?}");
            peer_says_so(&founder.cx, &peer_of(&peer)).await
        };
        let said = tokio::select! {
            said = asking => said,
            never = answer_peers(&peer.cx) => match never {},
        };
        assert!(said);
    });
}
