use super::*;
use crate::kube;
use crate::kube::testing::{Script, run_local, test_authority};
use crate::testing::{self, FakeMachine};

const LEASE: &str = "ha-agent-test";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

/// The second control plane, and the API behind the VIP.
async fn lock_fixture(net: u8) -> (FakeMachine, Script) {
    let mut node = testing::control_plane();
    node.endpoint.vip = [127, net, 0, 30].into();
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(node);
    machine.file(&kube::pki_file("ca.crt"), ca.cert());
    machine.file(&kube::pki_file("ca.key"), ca.key().expose());
    machine.file("/proc/sys/kernel/random/boot_id", "b2\n");
    let api = Script::default();
    api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
    (machine, api)
}

const WORK: LeaseFor = LeaseFor {
    name: LEASE,
    phase: Phase::Join,
    work: "do the work",
};

async fn acquire_now(machine: &FakeMachine) -> HeldLease<'_> {
    acquire_lease(&machine.cx, &WORK).await.unwrap()
}

fn holder_of_lease(api: &Script) -> String {
    let lease = api.lease(LEASE).unwrap();
    lease.spec.holder_identity.unwrap_or_default()
}

#[test]
fn a_lease_that_nobody_made_yet_is_made_held_and_let_go() {
    run_local(async {
        let (machine, api) = lock_fixture(171).await;
        let held = acquire_now(&machine).await;
        assert_eq!(holder_of_lease(&api), "node2/b2");
        assert_eq!(api.asked(&format!("POST {LEASES}")).len(), 1);
        held.release().await;
        assert_eq!(holder_of_lease(&api), "");
        // Now it is there, and free.
        acquire_now(&machine).await;
        assert_eq!(holder_of_lease(&api), "node2/b2");
        assert_eq!(api.asked(&format!("POST {LEASES}")).len(), 1);
    });
}

#[test]
fn a_holder_that_lives_is_waited_for_by_name_and_a_dead_one_for_twenty_seconds() {
    run_local(async {
        let (machine, api) = lock_fixture(172).await;
        api.held_lease(LEASE, "node1/b1");
        let begin = machine.clock.0.get();
        acquire_now(&machine).await;
        let waited = machine.clock.0.get() - begin;
        assert!((20_000..21_000).contains(&waited), "{waited} ms");
        assert_eq!(holder_of_lease(&api), "node2/b2");
        let told: Vec<_> = machine
            .events()
            .into_iter()
            .map(|e| e["what"].clone())
            .collect();
        assert_eq!(told, ["its turn to do the work: node1 does it now"]);
    });
}

/// Between this node's look and its own word another one was faster: as both saw the lease free, one of them is refused.
#[test]
fn who_was_faster_keeps_it() {
    run_local(async {
        let (machine, api) = lock_fixture(173).await;
        api.held_lease(LEASE, "");
        let client = kube::as_admin(&machine.cx).unwrap();
        let free = client.lease(LEASE).await.unwrap();
        api.held_lease(LEASE, "node3/b3");
        let me = holder_of_this_boot(&machine.cx);
        let error = claim_lease(&client, LEASE, free.as_ref(), &me, 0)
            .await
            .unwrap_err();
        assert!(error.is_conflict(), "{error}");
        let mut candidate = Candidate::new(&machine.cx, LEASE);
        let attempt = candidate.attempt(&client).await.unwrap();
        assert!(matches!(attempt, Attempt::HeldBy(node) if node == "node3"));
        assert_eq!(holder_of_lease(&api), "node3/b3");
    });
}

#[test]
fn work_that_takes_its_time_keeps_the_lease_alive() {
    run_local(async {
        let (machine, api) = lock_fixture(174).await;
        let held = acquire_now(&machine).await;
        let renewals = || api.asked(&format!("PUT {LEASES}")).len();
        let work = async {
            while renewals() < 3 {
                tokio::task::yield_now().await;
            }
            "done"
        };
        assert_eq!(held.while_held(work).await.unwrap(), "done");
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
        let (machine, api) = lock_fixture(175).await;
        let held = acquire_now(&machine).await;
        // The API has a newer version than this agent knows, and it is this agent's own.
        api.held_lease(LEASE, "node2/b2");
        assert!(held.renew().await.unwrap().is_none());
        assert!(held.renew().await.unwrap().is_none());
        // Somebody took it: that is never overwritten, neither by a renewal nor by letting go.
        api.held_lease(LEASE, "node3/b3");
        let lost = held.renew().await.unwrap().unwrap();
        assert_eq!((lost.name.as_str(), lost.holder.as_str()), (LEASE, "node3"));
        held.release().await;
        assert_eq!(holder_of_lease(&api), "node3/b3");
    });
}

#[test]
fn letting_go_is_tried_again_while_the_api_pauses() {
    run_local(async {
        let (machine, api) = lock_fixture(176).await;
        let held = acquire_now(&machine).await;
        let get = format!("GET {LEASES}/{LEASE}");
        api.on(&get, 503, "").on(&get, 503, "");
        let text = serde_json::to_string(&api.lease(LEASE).unwrap()).unwrap();
        api.on(&get, 200, &text);
        held.release().await;
        assert_eq!(holder_of_lease(&api), "");
        assert_eq!(api.asked(&get).len(), 1 + 3);
    });
}

/// Somebody sets the clock of the day half a minute ahead while a node waits; time itself passes as ever, or faster.
#[derive(Debug)]
struct SetClock {
    passed: std::cell::Cell<Duration>,
    times: u32,
}

impl SetClock {
    fn faster(times: u32) -> std::rc::Rc<Self> {
        let passed = std::cell::Cell::default();
        std::rc::Rc::new(Self { passed, times })
    }
}

impl crate::sys::Clock for SetClock {
    fn now_ms(&self) -> u64 {
        let ahead = if self.passed.get().is_zero() {
            0
        } else {
            30_000
        };
        1_700_000_000_000 + ahead + u64::try_from(self.passed.get().as_millis()).unwrap()
    }
    fn monotonic(&self) -> Duration {
        self.passed.get()
    }
    fn sleep(&self, time: Duration) -> crate::sys::Boxed<'_, ()> {
        self.passed.set(self.passed.get() + time * self.times);
        Box::pin(tokio::task::yield_now())
    }
}

#[test]
fn a_clock_that_is_set_takes_no_lease_from_a_living_holder() {
    run_local(async {
        let (mut machine, api) = lock_fixture(177).await;
        let clock = SetClock::faster(1);
        machine.cx.sys.clock = clock.clone();
        api.held_lease(LEASE, "node1/b1");
        acquire_now(&machine).await;
        let waited = clock.passed.get();
        assert!(waited >= Duration::from_secs(20), "{waited:?}");
    });
}

/// What never ends is a failure, not a hang.
async fn within_an_hour<T>(machine: &FakeMachine, work: impl Future<Output = T>) -> T {
    let begin = machine.clock.0.get();
    let hour = async {
        while machine.clock.0.get() < begin + 3_600_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = work => done,
        () = hour => panic!("it still waits after an hour"),
    }
}

async fn acquire_error(machine: &FakeMachine) -> String {
    let wait = acquire_lease(&machine.cx, &WORK);
    let error = within_an_hour(machine, wait).await.unwrap_err();
    format!("{error:#}")
}

#[test]
fn a_wait_ends_as_a_failed_attempt_after_ten_minutes() {
    run_local(async {
        let (mut machine, api) = lock_fixture(205).await;
        let clock = SetClock::faster(100);
        machine.cx.sys.clock = clock.clone();
        api.on(&format!("GET {LEASES}/{LEASE}"), 503, "away");
        let error = acquire_lease(&machine.cx, &WORK).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("10 min") && error.contains("away"),
            "{error}"
        );
        let minutes = clock.passed.get().as_secs() / 60;
        assert_eq!(minutes, 10);
    });
}

#[test]
fn a_wait_ends_as_a_failed_attempt_when_nobody_lets_this_node_ask() {
    run_local(async {
        let (machine, api) = lock_fixture(178).await;
        api.on(
            &format!("GET {LEASES}/{LEASE}"),
            401,
            r#"{"message":"Unauthorized"}"#,
        );
        let error = acquire_error(&machine).await;
        assert!(
            error.contains(LEASE) && error.contains("Unauthorized"),
            "{error}"
        );
        let looks = api.asked(&format!("GET {LEASES}/{LEASE}")).len();
        assert_eq!(looks, 2, "once more with a certificate of its own");
    });
}

#[test]
fn work_ends_when_another_node_has_the_lease() {
    run_local(async {
        let (machine, api) = lock_fixture(179).await;
        let held = acquire_now(&machine).await;
        api.held_lease(LEASE, "node3/b3");
        let work = held.release_after(std::future::pending::<Result<()>>());
        let error = within_an_hour(&machine, work).await.unwrap_err();
        assert!(error.is::<LeaseLost>(), "{error:#}");
        assert_eq!(holder_of_lease(&api), "node3/b3");
    });
}

/// Nobody could read the lease meanwhile: nobody could take it.
#[test]
fn an_api_that_is_away_takes_no_lease() {
    run_local(async {
        let (machine, api) = lock_fixture(180).await;
        let held = acquire_now(&machine).await;
        let put = format!("PUT {LEASES}/{LEASE}");
        api.on(&put, 503, "");
        let work = async {
            while api.asked(&put).len() < 10 {
                tokio::task::yield_now().await;
            }
        };
        let done = within_an_hour(&machine, held.while_held(work)).await;
        assert!(done.is_ok(), "{done:?}");
    });
}
