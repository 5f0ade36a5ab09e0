//! A permission that is over by a clock that may be wrong.

use super::*;
use crate::phases::init::permission::is_valid_once_clock_is_set;

const UNTIL_MS: u64 = 4_000_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// A founder whose clock is an hour after its permission's end.
fn founder_past_permission(net: u8) -> FakeMachine {
    let machine = founder_machine(net, &test_authority("kubernetes"));
    machine.clock.0.set(UNTIL_MS + HOUR_MS);
    machine
}

fn seconds_past_the_hour(machine: &FakeMachine) -> u64 {
    (machine.clock.0.get() - UNTIL_MS - HOUR_MS) / 1000
}

#[test]
fn a_clock_that_nobody_sets_or_that_is_set_is_judged_at_once() {
    run_local(async {
        let nobody = founder_past_permission(231);
        assert!(!is_valid_once_clock_is_set(&nobody.cx).await);
        assert_eq!(seconds_past_the_hour(&nobody), 0);
        let set = founder_past_permission(232);
        set.systemd.unit("systemd-timesyncd.service", "active");
        set.file("/run/systemd/timesync/synchronized", "");
        assert!(!is_valid_once_clock_is_set(&set.cx).await);
        assert_eq!(seconds_past_the_hour(&set), 0);
    });
}

#[test]
fn a_clock_that_will_be_set_is_waited_for() {
    run_local(async {
        let machine = founder_past_permission(233);
        machine.systemd.unit("systemd-timesyncd.service", "active");
        let is_set = async {
            while seconds_past_the_hour(&machine) < 5 {
                tokio::task::yield_now().await;
            }
            machine.file("/run/systemd/timesync/synchronized", "");
            machine.clock.0.set(UNTIL_MS - HOUR_MS);
        };
        let (given, ()) = tokio::join!(is_valid_once_clock_is_set(&machine.cx), is_set);
        assert!(given, "by the right clock it lasts for an hour");
    });
}

#[test]
fn a_clock_that_nobody_can_set_is_not_waited_for_for_ever() {
    run_local(async {
        let machine = founder_past_permission(234);
        machine.systemd.unit("systemd-timesyncd.service", "active");
        assert!(!is_valid_once_clock_is_set(&machine.cx).await);
        let waited = seconds_past_the_hour(&machine);
        assert!((55..=65).contains(&waited), "{waited} s");
    });
}
