//! A machine's life: made, heard, switched, found again, gone.

use super::*;

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_machine_lives() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = LibvirtFixture::with_tiny_image("");
        let (provider, node) = (&fixture.provider, fixture.node(0));
        let before = list_everything();
        assert_eq!(bad_findings(provider), []);
        assert_eq!(list_everything(), before, "preflight changes nothing");
        provider.prepare().unwrap();
        std::thread::scope(|scope| {
            for at in 0..2 {
                let fixture = &fixture;
                scope.spawn(move || assert_eq!(fixture.ensure(at).unwrap(), NEW));
            }
        });
        fixture.wait("both consoles", || {
            (0..2).all(|at| fixture.console(at).contains("up"))
        });
        assert_eq!(fixture.ensure(0).unwrap(), Made::Running);
        switch_off_and_on(&fixture);
        // Another process finds the same machines.
        let again = super::tests::libvirt_provider(&fixture.cluster, fixture.dir.path());
        assert_eq!(again.state(node).unwrap(), Machine::Running);
        again.prepare().unwrap();
        provider.remove(node).unwrap();
        provider.remove(node).unwrap();
        assert_eq!(
            (
                provider.state(node).unwrap(),
                provider.state(fixture.node(1)).unwrap()
            ),
            (Machine::Absent, Machine::Running)
        );
        assert_eq!(fixture.ensure(0).unwrap(), NEW);
        provider.destroy().unwrap();
        assert_eq!(list_everything(), before);
        assert!(!provider.machines.exists());
        provider.destroy().unwrap();
    });
}

/// Off and on: the disk stays, the console goes on.
fn switch_off_and_on(fixture: &LibvirtFixture) {
    let (provider, node) = (&fixture.provider, fixture.node(0));
    let disk = provider.hosts["qemu:///system"].pool.volumes().unwrap();
    provider.power(node, Power::Off).unwrap();
    provider.power(node, Power::Off).unwrap();
    assert_eq!(provider.state(node).unwrap(), Machine::Off);
    assert!(
        provider
            .exec(node, &["true"])
            .unwrap_err()
            .to_string()
            .contains("does not run")
    );
    assert_eq!(fixture.ensure(0).unwrap(), Made::PoweredOn);
    provider.power(node, Power::On).unwrap();
    fixture.wait("a second word on the console", || {
        fixture.console(0).matches("up").count() >= 2
    });
    assert_eq!(
        provider.hosts["qemu:///system"].pool.volumes().unwrap(),
        disk
    );
}

#[test]
#[ignore = "needs root and HA_OPERATOR; some minutes"]
fn the_stand_in_boots_and_speaks() {
    operator_machine::run_in_operator_machine(true, || {
        let vm = std::env::var("HA_VM").unwrap();
        let append = std::fs::read_to_string(format!("{vm}/append")).unwrap();
        let image = format!(
            "{{path: {vm}/disk.qcow2, kernel: {vm}/vmlinuz, initrd: {vm}/initrd.img, append: \"{}\"}}",
            append.trim()
        );
        let mut fixture = LibvirtFixture::new(&image, "");
        // As if the host were remote: what the node says is brought home.
        fixture.provider.apart = true;
        let (provider, node) = (&fixture.provider, fixture.node(0));
        let unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'until [ -c $P ]; do sleep 0.2; done; echo {} > $P'\nEnvironment=P=/dev/virtio-ports/org.flatcar-ha.events\n\
                    [Install]\nWantedBy=multi-user.target\n";
        let config = serde_json::json!({
            "ignition": {"version": "3.3.0"},
            "storage": {"files": [{"path": "/etc/hostname", "mode": 420, "contents": {"source": "data:,one"}}]},
            "systemd": {"units": [{"name": "say.service", "enabled": true, "contents": unit}]},
        });
        let ignition = fixture.dir.path().join("one.ign");
        std::fs::write(&ignition, config.to_string()).unwrap();
        provider.prepare().unwrap();
        provider.ensure(node, &ignition).unwrap();
        fixture.wait("the node's word", || {
            std::fs::read_to_string(provider.events(node)).is_ok_and(|text| text.trim() == "{}")
        });
        let way = GuestTransport::Libvirt {
            uri: "qemu:///system".into(),
            domain: "t-one".into(),
        };
        let agent = Agent::new("one", way.open());
        fixture.wait("the guest agent", || agent.ping().is_ok());
        crate::vm::guest::tests::prove_agent(&agent);
        let mut before = Vec::new();
        let argv = ["sh", "-c", "hostname; echo seen > /dev/ttyS0"];
        agent
            .exec(&argv, &mut before, &mut Vec::new(), &false.into())
            .unwrap();
        assert_eq!(before, b"one\n");
        fixture.wait("the console", || fixture.console(0).contains("seen"));
        provider.power(node, Power::Reboot).unwrap();
        provider.destroy().unwrap();
        assert_eq!(list_everything(), "default");
    });
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn words_come_home_from_a_daemon_that_cannot_write_here() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = LibvirtFixture::with_tiny_image("");
        // From here on this test sees a state directory that the daemon does not: as good as forbidden.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = Command::new("mount")
            .args(["--make-rprivate", "/"])
            .status();
        assert!(private.unwrap().success());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(fixture.dir.path())
            .status();
        assert!(mounted.unwrap().success());
        fixture.provider.prepare().unwrap();
        assert_eq!(fixture.ensure(0).unwrap(), NEW);
        fixture.wait("the console", || fixture.console(0).contains("up"));
        let events = fixture
            .provider
            .names
            .volume("one", names::VolumeRole::Events);
        assert!(run_virsh("vol-list default").contains(&events));
        // Another process, which relays nothing: what was said up to now comes home all the same.
        let elsewhere = fixture.dir.path().join("elsewhere");
        let record = fixture.provider.remember().unwrap();
        record.save(&elsewhere.join("machines")).unwrap();
        let other = libvirt_provider(&fixture.cluster, &elsewhere);
        other.fetch_output(fixture.node(0)).unwrap();
        let console = || std::fs::read_to_string(other.console(fixture.node(0))).unwrap();
        assert!(console().contains("up"));
        // And once more, when there is nothing new.
        fixture.provider.power(fixture.node(0), Power::Off).unwrap();
        other.fetch_output(fixture.node(0)).unwrap();
        let all = console();
        other.fetch_output(fixture.node(0)).unwrap();
        assert_eq!(console(), all);
        fixture.provider.destroy().unwrap();
        assert_eq!(list_everything(), "default");
    });
}
