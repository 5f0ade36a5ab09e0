use super::*;
use crate::kube;
use crate::kube::testing::{Script, run_local, test_authority};
use crate::testing::{self, FakeMachine};

const LEASE: &str = "ha-agent-test";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

/// The second control plane, and the API behind the VIP.
async fn stage(net: u8) -> (FakeMachine, Script) {
    let mut node = testing::control_plane();
    node.endpoint.vip = [127, net, 0, 30].into();
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(node);
    machine.file(&kube::pki_file("ca.crt"), ca.cert());
    machine.file(&kube::pki_file("ca.key"), ca.key().expose());
    machine.file(BOOT_ID, "b2\n");
    let api = Script::default();
    api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
    (machine, api)
}

async fn acquire(machine: &FakeMachine) -> HeldLease<'_> {
    let client = kube::as_admin(&machine.cx).unwrap();
    let held = acquire_lease(&machine.cx, client, LEASE, Phase::Join).await;
    held.unwrap()
}

fn holder(api: &Script) -> String {
    let lease = api.lease(LEASE).unwrap();
    lease.spec.holder_identity.unwrap_or_default()
}

#[test]
fn a_lease_that_nobody_made_yet_is_made_held_and_let_go() {
    run_local(async {
        let (machine, api) = stage(171).await;
        let held = acquire(&machine).await;
        assert_eq!(holder(&api), "node2/b2");
        assert_eq!(api.asked(&format!("POST {LEASES}")).len(), 1);
        held.release().await;
        assert_eq!(holder(&api), "");
        // Now it is there, and free.
        acquire(&machine).await;
        assert_eq!(holder(&api), "node2/b2");
        assert_eq!(api.asked(&format!("POST {LEASES}")).len(), 1);
    });
}

#[test]
fn a_holder_that_lives_is_waited_for_by_name_and_a_dead_one_for_twenty_seconds() {
    run_local(async {
        let (machine, api) = stage(172).await;
        api.held_lease(LEASE, "node1/b1");
        let begin = machine.clock.0.get();
        acquire(&machine).await;
        let waited = machine.clock.0.get() - begin;
        assert!((20_000..21_000).contains(&waited), "{waited} ms");
        assert_eq!(holder(&api), "node2/b2");
        let told: Vec<_> = machine
            .events()
            .into_iter()
            .map(|e| e["what"].clone())
            .collect();
        assert_eq!(told, ["its turn to join etcd: node1 is joining"]);
    });
}

/// Between this node's look and its own word another one was faster: as both saw the lease free, one of them is refused.
#[test]
fn who_was_faster_keeps_it() {
    run_local(async {
        let (machine, api) = stage(173).await;
        api.held_lease(LEASE, "");
        let client = kube::as_admin(&machine.cx).unwrap();
        let free = client.lease(LEASE).await.unwrap();
        api.held_lease(LEASE, "node3/b3");
        let me = this_boot(&machine.cx).unwrap();
        let error = claim_lease(&client, LEASE, free.as_ref(), &me, 0)
            .await
            .unwrap_err();
        assert!(error.is_conflict(), "{error}");
        let mut candidate = Candidate::new(&machine.cx, LEASE).unwrap();
        let attempt = candidate.attempt(&client).await.unwrap();
        assert!(matches!(attempt, Attempt::HeldBy(node) if node == "node3"));
        assert_eq!(holder(&api), "node3/b3");
    });
}

#[test]
fn work_that_takes_its_time_keeps_the_lease_alive() {
    run_local(async {
        let (machine, api) = stage(174).await;
        let held = acquire(&machine).await;
        let renewals = || api.asked(&format!("PUT {LEASES}")).len();
        let work = async {
            while renewals() < 3 {
                tokio::task::yield_now().await;
            }
            "done"
        };
        assert_eq!(held.while_held(work).await, "done");
        let seconds = (machine.clock.0.get() - 1_700_000_000_000) / 1000;
        assert!(seconds >= 3 * RENEW_S, "three in {seconds} s");
        let lease = api.lease(LEASE).unwrap();
        assert_eq!(
            lease.spec.lease_transitions,
            Some(1),
            "renewed, not taken anew"
        );
    });
}

#[test]
fn a_renewal_whose_answer_was_lost_is_made_up_for() {
    run_local(async {
        let (machine, api) = stage(175).await;
        let held = acquire(&machine).await;
        // The API has a newer version than this agent knows, and it is this agent's own.
        api.held_lease(LEASE, "node2/b2");
        held.renew().await.unwrap();
        held.renew().await.unwrap();
        // Somebody took it: that is never overwritten, neither by a renewal nor by letting go.
        api.held_lease(LEASE, "node3/b3");
        assert!(held.renew().await.unwrap_err().is_conflict());
        held.release().await;
        assert_eq!(holder(&api), "node3/b3");
    });
}

#[test]
fn letting_go_is_tried_again_while_the_api_pauses() {
    run_local(async {
        let (machine, api) = stage(176).await;
        let held = acquire(&machine).await;
        let get = format!("GET {LEASES}/{LEASE}");
        api.on(&get, 503, "").on(&get, 503, "");
        let text = serde_json::to_string(&api.lease(LEASE).unwrap()).unwrap();
        api.on(&get, 200, &text);
        held.release().await;
        assert_eq!(holder(&api), "");
        assert_eq!(api.asked(&get).len(), 1 + 3);
    });
}
