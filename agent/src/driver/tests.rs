use std::collections::BTreeMap;

use super::*;
use crate::testing::{self, FakeMachine};

fn phase_ends(machine: &FakeMachine) -> Vec<String> {
    let one = |e: serde_json::Value| match e["event"].as_str() {
        Some(name @ ("done" | "failed")) => {
            Some(format!("{} {name}", e["phase"].as_str().unwrap()))
        }
        _ => None,
    };
    machine.events().into_iter().filter_map(one).collect()
}

/// A worker whose preflight fails (no CA): the driver tries, tells, waits and tries again.
fn machine_without_ca() -> FakeMachine {
    let machine = testing::fake_machine(testing::worker());
    machine
        .commands
        .succeed("modprobe br_netfilter")
        .succeed("modprobe overlay");
    machine.cx.report.started();
    machine
}

#[tokio::test]
async fn a_fault_for_a_person_is_looked_at_again_and_its_mending_is_enough() {
    let machine = machine_without_ca();
    let plan = Plan::of(&machine.cx.node);
    let mut driver = Driver {
        cx: &machine.cx,
        plan: &plan,
        balancer_stands: &watch::Sender::new(false),
        pause: Duration::ZERO,
    };
    let at = |attempt| State::At {
        phase: Phase::Preflight,
        attempt,
    };
    let failed = driver.step(at(1)).await;
    assert_eq!(
        failed,
        State::Failed {
            phase: Phase::Preflight,
            attempt: 1
        }
    );
    let event = machine.events().pop().unwrap();
    assert_eq!(
        (event["event"].as_str(), event["retryMs"].as_u64()),
        (Some("failed"), None)
    );
    assert!(
        event["error"]
            .as_str()
            .unwrap()
            .contains("ca.crt is not there"),
        "{event}"
    );
    let before = machine.clock.0.get();
    assert_eq!(driver.step(failed).await, at(2));
    assert_eq!(machine.clock.0.get() - before, 30_000);
}

#[tokio::test]
async fn the_time_that_is_told_is_the_time_that_is_waited() {
    let machine = testing::fake_machine(testing::control_plane());
    machine.cx.report.started();
    let plan = Plan::of(&machine.cx.node);
    let mut driver = Driver {
        cx: &machine.cx,
        plan: &plan,
        balancer_stands: &watch::Sender::new(false),
        pause: Duration::ZERO,
    };
    // The balancer needs the CA, which is not there.
    let state = driver
        .step(State::At {
            phase: Phase::Balancer,
            attempt: 4,
        })
        .await;
    assert_eq!(
        state,
        State::Retrying {
            phase: Phase::Balancer,
            attempt: 4
        }
    );
    let told = machine.events().pop().unwrap()["retryMs"].as_u64().unwrap();
    let before = machine.clock.0.get();
    driver.step(state).await;
    assert_eq!(machine.clock.0.get() - before, told);
    assert_eq!(phase_ends(&machine), ["balancer failed"]);
}

#[test]
fn the_failing_programs_words_reach_the_event() {
    let failed = CommandFailed {
        command: "kubeadm join".into(),
        outcome: "exit code 1".into(),
        code: Some(1),
        tail: vec!["I".into(), "error: etcd".into()],
    };
    let error = Error::from(failed).context("could not join");
    let told = to_failure(&error, Some(Duration::from_millis(1500)));
    assert_eq!(
        told.error,
        "could not join: kubeadm join: exit code 1: error: etcd"
    );
    assert_eq!((told.tail.len(), told.retry_ms), (2, Some(1500)));
}

#[test]
fn a_person_is_asked_wherever_the_fault_stands_in_the_chain() {
    let fault = || NeedsAPerson("another cluster".into());
    let cases = BTreeMap::from([
        ("bare", Error::from(fault())),
        ("below a context", Error::from(fault()).context("gate")),
        ("as a context", anyhow::anyhow!("tls").context(fault())),
    ]);
    for (name, error) in cases {
        assert!(needs_a_person(&error), "{name}");
    }
    assert!(!needs_a_person(&anyhow::anyhow!("a person must act")));
}

#[test]
fn what_failed_beneath_reaches_the_event_and_is_for_a_person_if_final() {
    for is_final in [true, false] {
        let found = ha_wire::event::Beneath {
            part: "etcd".into(),
            does: "exits".into(),
            word: "bad".into(),
            origin: None,
        };
        let beneath = FailedBeneath {
            found: found.clone(),
            is_final,
        };
        for error in [
            Error::from(beneath.clone()),
            Error::from(beneath.clone()).context("init"),
            anyhow::anyhow!("kubeadm").context(beneath.clone()),
        ] {
            assert_eq!(needs_a_person(&error), is_final, "{error:#}");
            assert_eq!(to_failure(&error, None).beneath.as_ref(), Some(&found));
        }
    }
}
