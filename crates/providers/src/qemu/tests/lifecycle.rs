//! A machine's life: made, heard, switched, found again, gone.

use super::*;

#[test]
#[ignore = "needs HA_OPERATOR"]
fn a_machine_lives() {
    operator_machine::run_in_operator_machine(false, || {
        let fixture = QemuFixture::new("life");
        let (provider, node) = (&fixture.provider, fixture.node());
        assert_eq!(fixture.state(), Machine::Absent);
        provider.remove(node).unwrap();
        remake_half_made_node(&fixture);
        let ignition = write_config(&fixture);
        provider.prepare().unwrap();
        let begun = Instant::now();
        assert_eq!(provider.ensure(node, &ignition).unwrap(), NEW);
        assert_eq!(
            fixture.second_provider().ensure(node, &ignition).unwrap(),
            Made::Running
        );
        dies_in_boot(&fixture, &ignition);
        is_confined(&fixture);
        let events = || std::fs::read_to_string(provider.events(node)).unwrap();
        fixture.wait("the node's word", || events() == "{}\n");
        println!(
            "launch, death and boot to the first event: {:.1} s",
            begun.elapsed().as_secs_f32()
        );
        let dir = provider.dir(node);
        let mode = |name: &str| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::metadata(dir.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(NodeDir::CONFIG), 0o600, "it holds keys");
        let agent = machine::guest_agent(&dir, "one");
        fixture.wait("the guest agent", || agent.ping().is_ok());
        guest::tests::prove_agent(&agent);
        let inside: SocketAddr = "10.77.0.11:6443".parse().unwrap();
        let there = provider.reach(inside);
        fixture.wait("an answer by the forwarded port", || {
            ask_port(there).as_deref() == Some("one")
        });
        // Without a gateway nothing is heard; with a new one the node's cable is in again.
        kill_and_wait(&fixture.gateway().unwrap());
        fixture.second_provider().prepare().unwrap();
        fixture.wait("an answer by a new gateway", || {
            ask_port(there).as_deref() == Some("one")
        });
        keep_disk_through_reboots(&fixture, &agent);
        assert_eq!(ask_port(there).as_deref(), None, "it is off");
    });
}

/// A half-made node is made anew, a bad config is one message.
fn remake_half_made_node(fixture: &QemuFixture) {
    let (provider, node) = (&fixture.provider, fixture.node());
    let half = provider.layout.new_node("one");
    files::make_dir(&half.0).unwrap();
    std::fs::write(half.join(NodeDir::DISK), "half").unwrap();
    let large = fixture.dir.join("large.ign");
    std::fs::write(&large, vec![b' '; 300 << 10]).unwrap();
    let error = format!("{:#}", provider.ensure(node, &large).unwrap_err());
    assert!(
        error.starts_with("cannot make one: ") && error.contains("300 KiB"),
        "{error}"
    );
    assert_eq!(fixture.state(), Machine::Absent);
}

/// QEMU is killed in the middle of the first boot, seconds before Ignition begins: that is seen and said, and the next launch
/// boots the same disk.
fn dies_in_boot(fixture: &QemuFixture, ignition: &Path) {
    let (provider, node) = (&fixture.provider, fixture.node());
    let console = || {
        let bytes = std::fs::read(provider.console(node)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let again = fixture.second_provider();
    send_kill(&spawn::running_process(&provider.dir(node).0).unwrap());
    // While its threads die it is not off, nor does it run.
    assert_eq!(again.ensure(node, ignition).unwrap(), Made::PoweredOn);
    fixture.wait("the epitaph", || {
        console().matches("QEMU has ended (signal: 9").count() == 1
    });
}

/// The kernel filters the system calls of every QEMU.
fn is_confined(fixture: &QemuFixture) {
    let machine = spawn::running_process(&fixture.provider.dir(fixture.node()).0);
    for process in [machine, fixture.gateway()] {
        let file = format!("/proc/{}/status", process.unwrap().pid());
        let status = std::fs::read_to_string(file).unwrap();
        assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
    }
}

/// QEMUs of this node, whoever knows of them.
fn count_of_qemus() -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    lines
        .filter(|line| line.windows(12).any(|part| part == b"guest=t.one\0"))
        .count()
}

/// Reboot, a killed hypervisor, power-off from inside: always the same disk.
fn keep_disk_through_reboots(fixture: &QemuFixture, agent: &guest::Agent) {
    let (provider, node) = (&fixture.provider, fixture.node());
    let dir = provider.dir(node);
    let run = |line: &str| {
        let mut out = Vec::new();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let code = agent.exec(&["sh", "-c", line], &mut out, &mut Vec::new(), &stop);
        (code.unwrap(), String::from_utf8(out).unwrap())
    };
    let id = run("cat /etc/machine-id; sync");
    run("touch /run/before");
    let process = spawn::running_process(&dir.0);
    provider.power(node, Power::Reboot).unwrap();
    fixture.wait("the node after its reboot", || {
        agent.ping().is_ok() && run("ls /run/before").0 != 0
    });
    assert_eq!(run("cat /etc/machine-id"), id);
    assert_eq!(
        spawn::running_process(&dir.0),
        process,
        "QEMU has lived through it"
    );
    send_kill(&process.unwrap());
    provider.power(node, Power::On).unwrap();
    let process = spawn::running_process(&dir.0).unwrap();
    assert!(!process.is_dying(), "switched on, not what died");
    fixture.wait("the epitaph", || {
        let console = std::fs::read_to_string(provider.console(node)).unwrap();
        console.matches("QEMU has ended (signal: 9").count() == 2
    });
    kill_and_wait(&process);
    assert_eq!(fixture.state(), Machine::Off);
    machine_tests::is_off(provider, node);
    let ignition = fixture.dir.join("one.ign");
    assert_eq!(
        fixture.second_provider().ensure(node, &ignition).unwrap(),
        Made::PoweredOn
    );
    fixture.wait("the node after its death", || agent.ping().is_ok());
    assert_eq!(run("cat /etc/machine-id"), id);
    agent.start(&["systemctl", "poweroff"]).unwrap();
    fixture.wait("the node is off", || fixture.state() == Machine::Off);
    machine_tests::is_switched_on_by_two(provider, &fixture.second_provider(), node);
    assert_eq!(count_of_qemus(), 1);
    provider.power(node, Power::Off).unwrap();
    assert_eq!(count_of_qemus(), 0);
    provider.power(node, Power::Off).unwrap();
    assert_eq!(fixture.state(), Machine::Off);
}
