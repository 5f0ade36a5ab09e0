//! When it is not plain whether a cluster stands.

use std::net::IpAddr;

use super::*;
use crate::phases::no_cluster;

/// Nobody routes a connection there: a machine that does not answer, without the time that a real one takes to say nothing.
const NOWHERE: [u8; 4] = [224, 0, 0, 12];

/// With these other control planes in place of node2 and node3.
fn founder_with_peers(net: u8, ca: &Authority, peers: [IpAddr; 2]) -> FakeMachine {
    founder_machine_with(net, ca, |node| {
        for (known, address) in node.control_planes[1..].iter_mut().zip(peers) {
            known.address = address;
        }
    })
}

fn seconds_waited(machine: &FakeMachine, begin: u64) -> u64 {
    (machine.clock.0.get() - begin) / 1000
}

#[test]
fn a_peer_that_does_not_answer_is_looked_for_before_anything_is_founded() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let peers = [NOWHERE.into(), [127, 211, 0, 13].into()];
        let machine = founder_with_peers(211, &ca, peers);
        let begin = machine.clock.0.get();
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        let waited = seconds_waited(&machine, begin);
        assert!((60..=90).contains(&waited), "{waited} s");
        assert!(ran_kubeadm(&machine));
        let told = machine.status().waiting_for;
        assert!(told.contains("node2 (224.0.0.12:6443)"), "{told}");
    });
}

#[test]
fn an_etcd_that_answers_is_a_cluster_that_stands() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(212, &ca);
        let etcd = test_authority("etcd-ca");
        machine.file(&pki_file("etcd/ca.crt"), etcd.cert());
        serve_api(&Script::default(), &etcd, "127.212.0.12:2379").await;
        let outcome = super::run(&machine.cx).await.unwrap();
        assert_eq!(outcome, Outcome::ClusterStands);
        assert!(!ran_kubeadm(&machine));
    });
}

#[test]
fn a_peers_load_balancer_that_leads_to_an_apiserver_is_a_cluster_that_stands() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(213, &ca);
        serve_api(&Script::default(), &ca, "127.213.0.13:6444").await;
        let outcome = super::run(&machine.cx).await.unwrap();
        assert_eq!(outcome, Outcome::ClusterStands);
    });
}

#[test]
fn an_expired_certificate_is_a_cluster_that_stands() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(214, &ca);
        let script = Script::default();
        script.serve_expired_at(&ca, "127.214.0.12:6443").await;
        let outcome = super::run(&machine.cx).await.unwrap();
        assert_eq!(outcome, Outcome::ClusterStands);
        assert!(!ran_kubeadm(&machine));
    });
}

#[test]
fn peers_that_refuse_may_be_rebooting() {
    run_local(async {
        let machine = founder_machine(215, &test_authority("kubernetes"));
        let begin = machine.clock.0.get();
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        let waited = seconds_waited(&machine, begin);
        assert!((60..=90).contains(&waited), "{waited} s");
    });
}

/// The other control planes at their gates, which say that they are in no cluster.
#[test]
fn peers_that_say_that_they_are_in_no_cluster_are_believed_at_once() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(218, &ca);
        let peers = machine.cx.node.control_planes[1..].iter().map(|peer| {
            let mut node = testing::control_plane();
            (node.name, node.address) = (peer.name.clone(), peer.address);
            let waiting = testing::fake_machine(node);
            waiting.file(&pki_file("ca.key"), ca.key().expose());
            waiting
        });
        let peers: Vec<FakeMachine> = peers.collect();
        let begin = machine.clock.0.get();
        let outcome = tokio::select! {
            outcome = super::run(&machine.cx) => outcome.unwrap(),
            never = no_cluster::answer_peers(&peers[0].cx) => match never {},
            never = no_cluster::answer_peers(&peers[1].cx) => match never {},
        };
        assert_eq!(outcome, Outcome::Done);
        assert!(seconds_waited(&machine, begin) < 5);
        assert!(ran_kubeadm(&machine));
    });
}

#[test]
fn a_cluster_that_comes_back_while_the_founder_looks_is_joined() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(216, &ca);
        let begin = machine.clock.0.get();
        let back = async {
            while machine.clock.0.get() < begin + 60_000 {
                tokio::task::yield_now().await;
            }
            serve_api(&Script::default(), &ca, "127.216.0.12:6443").await;
        };
        let (outcome, ()) = tokio::join!(super::run(&machine.cx), back);
        assert_eq!(outcome.unwrap(), Outcome::ClusterStands);
        assert!(!ran_kubeadm(&machine));
    });
}

#[test]
fn a_cluster_that_came_up_during_the_hooks_is_joined() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine_with(217, &ca, |node| {
            node.hooks.before_join = vec!["slow".into()];
        });
        let end = machine.commands.lasts("systemd-run");
        machine.commands.succeed("systemd-run");
        machine.commands.succeed("systemctl stop");
        let came_up = async {
            while machine.log.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
            serve_api(&Script::default(), &ca, "127.217.0.12:6443").await;
            end.notify_one();
        };
        let (outcome, ()) = tokio::join!(super::run(&machine.cx), came_up);
        assert_eq!(outcome.unwrap(), Outcome::ClusterStands);
        assert!(!ran_kubeadm(&machine));
    });
}

/// It keeps whoever connects waiting for a server, as balancers without a health check do.
#[test]
fn an_outside_balancer_that_says_nothing_is_no_doubt() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine_with(226, &ca, |node| {
            node.control_planes.truncate(1);
            let vip = node.endpoint.vip;
            *node = testing::behind_external(node.clone());
            node.endpoint.vip = vip;
        });
        let listener = tokio::net::TcpListener::bind("127.226.0.30:6443").await;
        let outcome = super::run(&machine.cx).await.unwrap();
        assert_eq!(outcome, Outcome::Done);
        assert!(ran_kubeadm(&machine));
        drop(listener);
    });
}

#[test]
fn an_outside_balancer_that_leads_to_an_apiserver_is_a_cluster_that_stands() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine_with(227, &ca, |node| {
            let vip = node.endpoint.vip;
            *node = testing::behind_external(node.clone());
            node.endpoint.vip = vip;
        });
        serve_api(&Script::default(), &ca, "127.227.0.30:6443").await;
        let outcome = super::run(&machine.cx).await.unwrap();
        assert_eq!(outcome, Outcome::ClusterStands);
    });
}
