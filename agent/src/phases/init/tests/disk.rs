//! What this node's disk says about its past.

use ha_kube::Secret;

use super::*;
use crate::kube::kubeconfig;
use crate::kube::testing::node_identity;
use crate::phases::init::disk::remove_unwritten_log;

/// As kubeadm leaves it at its end, when an apiserver has signed.
fn signed_kubelet_conf() -> Secret {
    let ca = test_authority("kubernetes");
    kubeconfig::render_with_file("https://127.230.0.11:6443", ca.cert(), KUBELET_PEM)
}

/// Whose permission is over.
fn late_founder(net: u8, ca: &Authority) -> FakeMachine {
    let machine = founder_machine(net, ca);
    machine.clock.0.set(4_000_000_001_000);
    machine
}

#[test]
fn what_is_no_proof_of_an_init_needs_the_permission() {
    for (net, manifest, wal) in [
        (221, "", true),
        (222, "", false),
        (223, "apiVersion: v1\nkind: Pod\n", true),
        (224, OWN_ETCD, false),
        (
            225,
            "- --initial-cluster=node2=https://10.77.0.12:2380\n",
            true,
        ),
    ] {
        run_local(async {
            let machine = late_founder(net, &test_authority("kubernetes"));
            machine.file(&pod_manifest("etcd"), manifest);
            if wal {
                machine.file(WAL, "x");
            }
            let outcome = super::run(&machine.cx).await.unwrap();
            assert_eq!(outcome, Outcome::ClusterStands, "{manifest:?} {wal}");
            assert!(!ran_kubeadm(&machine), "{manifest:?} {wal}");
        });
    }
}

#[test]
fn an_init_that_was_killed_before_etcd_wrote_anything_begins_anew() {
    run_local(async {
        let machine = founder_machine(226, &test_authority("kubernetes"));
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(ran_kubeadm(&machine));
    });
}

/// The first bytes of logs of a real etcd 3.6: killed before its first entry, and after a second.
const UNWRITTEN: &[u8] = include_bytes!("../../../../tests/captured/etcd-without-entry.wal");
const WRITTEN: &[u8] = include_bytes!("../../../../tests/captured/etcd-first-entries.wal");

/// An etcd with such a log waits for ever for a leader: its log has no members.
#[test]
fn an_etcd_that_ended_between_its_log_and_its_first_entry_begins_anew() {
    run_local(async {
        let machine = founder_machine(247, &test_authority("kubernetes"));
        let files = &machine.cx.sys.files;
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        files.write(WAL, 0o600, UNWRITTEN).unwrap();
        machine.file("/var/lib/etcd/member/snap/db", "made beside it");
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(!files.exists("/var/lib/etcd/member"));
        assert!(!files.exists(&pod_manifest("etcd")), "kubeadm makes it");
        assert!(ran_kubeadm(&machine));
    });
}

#[test]
fn a_log_that_somebody_has_open_or_wrote_to_stays() {
    run_local(async {
        let machine = founder_machine(248, &test_authority("kubernetes"));
        let files = &machine.cx.sys.files;
        files.write(WAL, 0o600, UNWRITTEN).unwrap();
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        let etcd = tokio::net::TcpListener::bind("127.248.0.11:2379");
        let etcd = etcd.await.unwrap();
        let serve = async {
            while let Ok(connection) = etcd.accept().await {
                drop(connection);
            }
        };
        tokio::select! {
            removed = remove_unwritten_log(&machine.cx) => removed.unwrap(),
            () = serve => unreachable!(),
        }
        let manifest = pod_manifest("etcd");
        assert!(!files.exists(&manifest), "or the kubelet starts it again");
        assert!(files.exists(WAL));
        drop(etcd);
        files.write(WAL, 0o600, WRITTEN).unwrap();
        remove_unwritten_log(&machine.cx).await.unwrap();
        assert!(files.exists(WAL));
    });
}

/// The kubelet starts before etcd, and files the certificate that kubeadm made for it under the name of its own.
#[test]
fn an_init_that_was_killed_between_kubelet_and_etcd_begins_anew() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(231, &ca);
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        let me = node_identity(&ca, "node1");
        machine.file(KUBELET_PEM, &me.cert);
        let conf = kubeconfig::render_embedded("https://127.231.0.11:6443", ca.cert(), &me);
        machine.file(KUBELET_CONF, conf.expose());
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(ran_kubeadm(&machine));
    });
}

#[test]
fn its_own_apiserver_behind_the_vip_is_no_other_cluster() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(227, &ca);
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        let script = Script::default();
        let own = script.serve_showing(&ca, "127.227.0.30:6444").await;
        machine.file(&pki_file("apiserver.crt"), &own);
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(ran_kubeadm(&machine));
    });
}

#[test]
fn a_join_that_began_on_this_disk_is_never_an_init_again() {
    let signed_for = signed_kubelet_conf();
    let traces: [(u8, &[(&str, &str)]); 3] = [
        (228, &[(ha_wire::paths::DISCOVERY, "x")]),
        (
            229,
            &[(
                "/etc/kubernetes/manifests/etcd.yaml",
                "- --initial-cluster=node1=https://10.77.0.11:2380,node2=https://10.77.0.12:2380\n",
            )],
        ),
        // An apiserver has signed for this kubelet, and etcd's data are gone.
        (
            230,
            &[
                (KUBELET_PEM, "x"),
                (KUBELET_CONF, signed_for.expose()),
                ("/etc/kubernetes/manifests/etcd.yaml", OWN_ETCD),
            ],
        ),
    ];
    for (net, files) in traces {
        run_local(async {
            let machine = founder_machine(net, &test_authority("kubernetes"));
            for (name, text) in files {
                machine.file(name, text);
            }
            let outcome = super::run(&machine.cx).await.unwrap();
            assert_eq!(outcome, Outcome::ClusterStands, "{files:?}");
            assert!(!ran_kubeadm(&machine));
        });
    }
}
