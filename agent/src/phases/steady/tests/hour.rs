//! The agent's memory over an hour of steady state, in a process of its own: the others' tests would be measured too.

use std::process::Command;

use super::balancer_follows::BalancerFixture;
use super::*;
use crate::sys::files::Files;
use crate::sys::proc::resident_kib;

/// After so many everything that is kept is there: clients, their connections, 256 TLS sessions of each of the scripts' servers.
const WARM_AFTER: u32 = 300;
/// As many more as an hour has.
const LOOKS: u32 = WARM_AFTER + 720;
/// What that hour may cost: 0.18 KiB a look, below anything that is kept of each. Measured: 12 to 28 KiB, idle and busy.
const GROWTH_KIB: u64 = 128;
/// This test, as the test binary calls it.
const MEASUREMENT: &str = "phases::steady::tests::hour::looks_of_an_hour";

#[test]
fn an_hour_of_steady_looks_takes_no_memory() {
    let mut measurement = Command::new(std::env::current_exe().unwrap());
    measurement.args(["--exact", MEASUREMENT, "--ignored", "--nocapture"]);
    let out = measurement.output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{said}");
    let figure = |name: &str| -> u64 {
        let figures = said
            .split_once(name)
            .unwrap_or_else(|| panic!("{name}: {said}"));
        figures
            .1
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let (warm, end) = (figure("after-warm-up:"), figure("after-an-hour:"));
    assert!(end <= warm + GROWTH_KIB, "{warm} KiB, then {end} KiB");
}

/// For the benchmark too: `cargo test -p ha-agent --bins looks_of_an_hour -- --ignored --nocapture`.
#[test]
#[ignore = "run by the test above, in a process of its own"]
fn looks_of_an_hour() {
    run_local(async {
        let fixture = BalancerFixture::new(162).await;
        fixture
            .api
            .on(
                "GET /api/v1/nodes/node2",
                200,
                r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#,
            )
            .on(
                "GET /api/v1/namespaces/kube-system/pods",
                200,
                r#"{"items":[]}"#,
            )
            .on("GET /api/v1/nodes", 200, r#"{"items":[]}"#);
        let members = r#"{"members":[{"ID":"1","name":"node1"},{"ID":"2","name":"node2"},{"ID":"3","name":"node3"}]}"#;
        fixture
            .etcd
            .on("POST /v3/cluster/member/list", 200, members)
            .on("POST /v3/maintenance/alarm", 200, "{}")
            .on(
                "POST /v3/maintenance/status",
                200,
                r#"{"header":{"member_id":"2"},"leader":"1","dbSize":"20480"}"#,
            );
        let machine = &fixture.machine;
        machine
            .cx
            .report
            .phase_started(ha_wire::phase::Phase::Steady, 1);
        let mut watch = SteadyWatch::begin(&machine.cx);
        for look in 1..=LOOKS {
            watch.observe().await;
            machine.cx.sys.clock.sleep(EVERY).await;
            assert_eq!(
                watch.failed,
                0,
                "look {look}: {}",
                machine.status().last_error
            );
            let asked = fixture.api.asked.borrow().len();
            assert!(asked >= 3, "look {look} asked the API only {asked} times");
            fixture.forget_requests();
            let resident = || resident_kib(&Files::new("/")).unwrap();
            match look {
                WARM_AFTER => println!("after-warm-up: {} KiB", resident()),
                LOOKS => println!("after-an-hour: {} KiB", resident()),
                _ => {}
            }
        }
    });
}
