//! What ends in the middle: a launch, the space of a pool.

use super::*;

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_launch_that_was_cut_off_goes_on() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = LibvirtFixture::with_tiny_image("");
        let (provider, node) = (&fixture.provider, fixture.node(0));
        provider.prepare().unwrap();
        let host = &provider.hosts["qemu:///system"];
        // An upload of the image and one of a node that ended too early.
        let image = host
            .pool
            .volumes()
            .unwrap()
            .into_iter()
            .find(|(name, _)| Names::is_shared(name))
            .unwrap();
        std::fs::File::options()
            .write(true)
            .open(&image.1)
            .unwrap()
            .set_len(1000)
            .unwrap();
        run_virsh("pool-refresh default");
        define_foreign(
            "vol-create default",
            &format!(
                "<volume><name>{}</name><capacity>7</capacity></volume>",
                host.names.volume("one", names::VolumeRole::Disk)
            ),
        );
        let second = super::tests::libvirt_provider(&fixture.cluster, fixture.dir.path());
        assert_eq!(second.state(node).unwrap(), Machine::Absent);
        second.prepare().unwrap();
        assert_eq!(second.ensure(node, &fixture.ignition()).unwrap(), NEW);
        fixture.wait("the console", || fixture.console(0).contains("up"));
        // The host's network and pool are asleep, as after a reboot of the host.
        second.power(node, Power::Off).unwrap();
        run_virsh("net-destroy ha-t");
        run_virsh("pool-destroy default");
        assert_eq!(
            second.ensure(node, &fixture.ignition()).unwrap(),
            Made::PoweredOn
        );
        // A domain that somebody undefined, perhaps to define it anew: its disk is still the node's.
        let disk = || {
            let path = run_virsh("vol-list default")
                .split_whitespace()
                .find_map(|word| {
                    let path = Path::new(word);
                    (word.starts_with('/') && word.ends_with(".qcow2")).then(|| path.to_owned())
                });
            std::os::unix::fs::MetadataExt::ino(&path.unwrap().metadata().unwrap())
        };
        let before = disk();
        run_virsh("destroy t-one");
        run_virsh("undefine t-one");
        let again = second.ensure(node, &fixture.ignition()).unwrap();
        assert_eq!((again, disk()), (Made::PoweredOn, before));
        second.destroy().unwrap();
        assert_eq!(list_everything(), "default");
    });
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_full_pool_is_one_message() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = LibvirtFixture::with_tiny_image(", pool: small");
        let small = operator_machine::shared_dir().join("small");
        std::fs::create_dir(&small).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(&small)
            .status();
        assert!(mount.unwrap().success());
        run_virsh(&format!(
            "pool-define-as small dir --target {}",
            small.display()
        ));
        let message = format!("{:#}", fixture.provider.prepare().unwrap_err());
        assert!(
            message.contains("pool small at qemu:///system has ") && message.contains("make room"),
            "{message}"
        );
        let finding = bad_findings(&fixture.provider).remove(0);
        assert!(
            finding
                .message
                .starts_with("pool small at qemu:///system has "),
            "{finding:?}"
        );
        fixture.provider.destroy().unwrap();
        assert!(
            run_virsh("pool-list --all").contains("small"),
            "it was there before"
        );
    });
}
