//! A node's life: made, switched, made again, gone.

use super::*;

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn a_life() {
    run_alone(|world| {
        assert_eq!(world.traces(), Vec::<String>::new());
        world.provider.prepare().unwrap();
        std::thread::scope(|scope| {
            for at in 0..2 {
                let world = &*world;
                scope.spawn(move || assert_eq!(world.ensure(at), NEW));
            }
        });
        world.wait_up(0);
        world.wait_up(1);
        assert_eq!(world.run(0, &["hostname"]), "one");
        world.run(0, &["ping", "-c", "1", "-W", "2", "10.79.0.12"]);
        world.run(1, &["ping", "-c", "1", "-W", "2", "10.79.0.1"]);
        assert_eq!(world.ensure(0), Made::Running);
        let events =
            || std::fs::read_to_string(world.provider.events(world.node(0))).unwrap_or_default();
        world.wait("the node's word", || events() == "{}\n");
        // nspawn passes the console on when it gets to run.
        let console = || std::fs::read_to_string(world.provider.console(world.node(0))).unwrap();
        world.wait("the end of the boot on the console", || {
            console().contains("multi-user.target")
        });
        switch_off_and_on(world);
        make_node_again(world);
        world.provider.destroy().unwrap();
        assert_eq!(world.traces(), Vec::<String>::new());
        assert!(!world.provider.layout.machines.path().exists());
        world.provider.destroy().unwrap();
    });
}

/// Power-off, power-on, reboot.
fn switch_off_and_on(world: &Fixture) {
    let (provider, node) = (&world.provider, world.node(0));
    let id = world.run(0, &["cat", "/etc/machine-id"]);
    provider.power(node, Power::Off).unwrap();
    assert_eq!(world.state(0), Machine::Off);
    assert!(
        !provider.wiring(node).path().exists(),
        "a dead node's namespace would go on answering"
    );
    assert!(
        !world.traces().iter().any(|trace| trace.contains("/one")),
        "{:?}",
        world.traces()
    );
    machine_tests::is_off(provider, node);
    assert_eq!(world.ensure(0), Made::PoweredOn);
    world.wait_up(0);
    assert_eq!(world.run(0, &["cat", "/etc/machine-id"]), id);
    reboot_orderly(world, &id);
}

/// An orderly reboot, and a node that switches itself off.
fn reboot_orderly(world: &Fixture, id: &str) {
    let (provider, node) = (&world.provider, world.node(0));
    world.run(0, &["touch", "/run/before"]);
    provider.power(node, Power::Reboot).unwrap();
    world.wait_up(0);
    assert_eq!(
        world.run(
            0,
            &[
                "sh",
                "-c",
                "ls /run/before 2>/dev/null; cat /etc/machine-id"
            ]
        ),
        id
    );
    world.run(0, &["ping", "-c", "1", "-W", "2", "10.79.0.12"]);
    world.run(0, &["systemctl", "poweroff"]);
    world.wait("the node is off", || world.state(0) == Machine::Off);
    assert!(!provider.wiring(node).path().exists());
}

/// A node made again is another machine.
fn make_node_again(world: &Fixture) {
    let (provider, node) = (&world.provider, world.node(0));
    let other = world.again(world.dir.path());
    machine_tests::is_switched_on_by_two(provider, &other, node);
    world.wait_up(0);
    let id = world.run(0, &["cat", "/etc/machine-id"]);
    provider.remove(node).unwrap();
    assert_eq!(world.state(0), Machine::Absent);
    assert_eq!(world.ensure(0), NEW);
    world.wait_up(0);
    assert_ne!(world.run(0, &["cat", "/etc/machine-id"]), id);
    assert_eq!(world.state(1), Machine::Running);
}
