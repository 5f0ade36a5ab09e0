//! Founding beside an external etcd: over nobody else's cluster, and over one's own as often as it takes.

use ha_kube::etcd::answer_before as before;
use ha_wire::paths;

use super::*;
use crate::kube::testing::node_identity;
use crate::phases::NeedsAPerson;

const TXN: &str = "POST /v3/kv/txn";
const APISERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// The founder of a cluster that names this etcd.
async fn founder_beside(net: u8, ca: &Authority, etcd: &Script) -> FakeMachine {
    let theirs = test_authority("their-etcd");
    let at = etcd.serve(&theirs).await;
    let machine = founder_machine_with(net, ca, |node| {
        node.kubernetes.external_etcd = vec![format!("https://{at}")];
    });
    machine
        .cx
        .sys
        .files
        .remove_file(&pki_file("etcd/ca.crt"))
        .unwrap();
    let me = node_identity(&theirs, "client");
    machine.file(paths::EXTERNAL_ETCD_CA, theirs.cert());
    machine.file(paths::EXTERNAL_ETCD_CERT, &me.cert);
    machine.file(paths::EXTERNAL_ETCD_KEY, me.key.expose());
    machine
}

#[test]
fn an_empty_etcd_is_claimed_and_a_cluster_founded_in_it() {
    run_local(async {
        let etcd = Script::default();
        etcd.on(
            TXN,
            200,
            r#"{"succeeded":true,"responses":[{"response_put":{}}]}"#,
        );
        let machine = founder_beside(221, &test_authority("kubernetes"), &etcd).await;
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(ran_kubeadm(&machine));
        assert_eq!(etcd.asked("").len(), 1);
    });
}

#[test]
fn over_another_cluster_nothing_is_founded_and_a_person_is_asked() {
    for (net, owner, keys, says) in [
        (
            222,
            None,
            371,
            "holds another cluster's 371 keys below /registry/",
        ),
        (
            223,
            Some("demo 00ff"),
            2,
            "is another cluster's: demo, with a CA of its own, has 2 keys",
        ),
        (
            224,
            Some("prod 00ff"),
            0,
            "`etcdctl del /flatcar-ha/cluster-of/registry`",
        ),
    ] {
        run_local(async {
            let etcd = Script::default();
            etcd.on(TXN, 200, &before(owner, keys));
            let machine = founder_beside(net, &test_authority("kubernetes"), &etcd).await;
            let error = super::run(&machine.cx).await.unwrap_err();
            assert!(error.is::<NeedsAPerson>(), "{error:#}");
            assert!(error.to_string().contains(says), "{error}");
            assert!(!ran_kubeadm(&machine));
            // An init that was begun here is not gone on with over another's data either.
            machine.file(APISERVER, "");
            assert!(super::run(&machine.cx).await.is_err());
            assert!(!ran_kubeadm(&machine));
        });
    }
}

#[test]
fn an_etcd_that_does_not_answer_is_asked_again_and_nothing_founded() {
    run_local(async {
        let etcd = Script::default();
        etcd.on(TXN, 503, r#"{"error":"etcdserver: no leader"}"#);
        let machine = founder_beside(225, &test_authority("kubernetes"), &etcd).await;
        let error = super::run(&machine.cx).await.unwrap_err();
        assert!(!error.is::<NeedsAPerson>(), "{error:#}");
        assert!(!ran_kubeadm(&machine));
    });
}

#[test]
fn a_founding_of_its_own_is_resumed_whatever_is_in_etcd_by_then() {
    run_local(async {
        let etcd = Script::default();
        let ca = test_authority("kubernetes");
        let machine = founder_beside(226, &ca, &etcd).await;
        let own = crate::phases::init::claim::claim_of(&machine.cx)
            .unwrap()
            .owner;
        assert!(own.starts_with("demo ") && own.len() == 5 + 64, "{own}");
        etcd.on(TXN, 200, &before(Some(&own), 371));
        machine.file(APISERVER, "");
        assert!(has_founded_etcd(&machine.cx).unwrap());
        assert!(needed(&machine.cx).await.unwrap());
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(ran_kubeadm(&machine));
        // Whoever began to join goes on with that.
        machine.file(paths::DISCOVERY, "");
        assert_eq!(
            super::run(&machine.cx).await.unwrap(),
            Outcome::ClusterStands
        );
    });
}
