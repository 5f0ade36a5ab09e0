//! A node's life: made, switched, made again, gone.

use super::*;

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn a_life() {
    run_alone(|fixture| {
        assert_eq!(fixture.traces(), Vec::<String>::new());
        fixture.provider.prepare().unwrap();
        std::thread::scope(|scope| {
            for at in 0..2 {
                let fixture = &*fixture;
                scope.spawn(move || assert_eq!(fixture.ensure(at), NEW));
            }
        });
        fixture.wait_up(0);
        fixture.wait_up(1);
        assert_eq!(fixture.run(0, &["hostname"]), "one");
        fixture.run(0, &["ping", "-c", "1", "-W", "2", "10.79.0.12"]);
        fixture.run(1, &["ping", "-c", "1", "-W", "2", "10.79.0.1"]);
        assert_eq!(fixture.ensure(0), Made::Running);
        let events = || {
            std::fs::read_to_string(fixture.provider.events(fixture.node(0))).unwrap_or_default()
        };
        fixture.wait("the node's word", || events() == "{}\n");
        // nspawn passes the console on when it gets to run.
        let console =
            || std::fs::read_to_string(fixture.provider.console(fixture.node(0))).unwrap();
        fixture.wait("the end of the boot on the console", || {
            console().contains("multi-user.target")
        });
        switch_off_and_on(fixture);
        make_node_again(fixture);
        fixture.provider.destroy().unwrap();
        assert_eq!(fixture.traces(), Vec::<String>::new());
        assert!(!fixture.provider.layout.machines.path().exists());
        fixture.provider.destroy().unwrap();
    });
}

/// Power-off, power-on, reboot.
fn switch_off_and_on(fixture: &NspawnFixture) {
    let (provider, node) = (&fixture.provider, fixture.node(0));
    let id = fixture.run(0, &["cat", "/etc/machine-id"]);
    provider.power(node, Power::Off).unwrap();
    assert_eq!(fixture.state(0), Machine::Off);
    assert!(
        !provider.wiring(node).path().exists(),
        "a dead node's namespace would go on answering"
    );
    assert!(
        !fixture.traces().iter().any(|trace| trace.contains("/one")),
        "{:?}",
        fixture.traces()
    );
    machine_tests::is_off(provider, node);
    assert_eq!(fixture.ensure(0), Made::PoweredOn);
    fixture.wait_up(0);
    assert_eq!(fixture.run(0, &["cat", "/etc/machine-id"]), id);
    reboot_orderly(fixture, &id);
}

/// An orderly reboot, and a node that switches itself off.
fn reboot_orderly(fixture: &NspawnFixture, id: &str) {
    let (provider, node) = (&fixture.provider, fixture.node(0));
    fixture.run(0, &["touch", "/run/before"]);
    provider.power(node, Power::Reboot).unwrap();
    fixture.wait_up(0);
    assert_eq!(
        fixture.run(
            0,
            &[
                "sh",
                "-c",
                "ls /run/before 2>/dev/null; cat /etc/machine-id"
            ]
        ),
        id
    );
    fixture.run(0, &["ping", "-c", "1", "-W", "2", "10.79.0.12"]);
    fixture.run(0, &["systemctl", "poweroff"]);
    fixture.wait("the node is off", || fixture.state(0) == Machine::Off);
    assert!(!provider.wiring(node).path().exists());
}

/// A node made again is another machine.
fn make_node_again(fixture: &NspawnFixture) {
    let (provider, node) = (&fixture.provider, fixture.node(0));
    let other = fixture.provider_at(fixture.dir.path());
    machine_tests::is_switched_on_by_two(provider, &other, node);
    fixture.wait_up(0);
    let id = fixture.run(0, &["cat", "/etc/machine-id"]);
    provider.remove(node).unwrap();
    assert_eq!(fixture.state(0), Machine::Absent);
    assert_eq!(fixture.ensure(0), NEW);
    fixture.wait_up(0);
    assert_ne!(fixture.run(0, &["cat", "/etc/machine-id"]), id);
    assert_eq!(fixture.state(1), Machine::Running);
}
