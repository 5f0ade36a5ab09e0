use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn local_and_session() {
    let is = |uri: &str| {
        let virsh = Virsh::new(uri, PATIENCE);
        (virsh.is_local(), virsh.is_session())
    };
    assert_eq!(is("qemu:///system"), (true, false));
    assert_eq!(is("qemu:///session"), (true, true));
    assert_eq!(is("qemu+unix:///system?socket=/run/x"), (true, false));
    assert_eq!(is("qemu+ssh://me@kvm1/system"), (false, false));
    assert_eq!(
        is("qemu+ssh:///system"),
        (false, false),
        "ssh to localhost may be another user"
    );
}

#[test]
fn lists_of_volumes() {
    let line = " my disk.qcow2   /var/lib/my images/my disk.qcow2";
    let virsh = Virsh::new("qemu:///system", PATIENCE);
    let (name, path) = virsh.volume_line(line).unwrap();
    assert_eq!(
        (name.as_str(), path.as_str()),
        ("my disk.qcow2", "/var/lib/my images/my disk.qcow2")
    );
    assert!(virsh.volume_line("------").is_err(), "never taken for none");
}

#[test]
fn a_daemon_that_does_not_answer_is_told_by_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let (dead, none) = (dir.path().join("dead"), dir.path().join("none"));
    ha_test_support::stop_listening(UnixListener::bind(&dead).unwrap());
    assert_eq!(probe_door(&[&dead, &none]), Door::NoDaemon);
    let live = dir.path().join("live");
    let _listener = UnixListener::bind(&live).unwrap();
    assert_eq!(probe_door(&[&dead, &live]), Door::NotPermitted);
}

#[test]
fn faults_that_everybody_meets_have_a_remedy() {
    let error = |kind| VirshError {
        uri: "qemu+ssh://kvm1/system".into(),
        command: "list".into(),
        said: "error: no; sorry".into(),
        kind,
    };
    for (kind, remedy) in [
        (
            VirshErrorKind::Unreachable(Door::NoDaemon),
            "systemctl enable --now libvirtd",
        ),
        (
            VirshErrorKind::Unreachable(Door::NotPermitted),
            "usermod -aG libvirt",
        ),
        (VirshErrorKind::Unreachable(Door::Ssh), "put your key there"),
        (
            VirshErrorKind::Unreachable(Door::Unknown),
            "launch again: it goes on",
        ),
        (VirshErrorKind::CutOff, "launch again: it goes on"),
        (VirshErrorKind::TimedOut(PATIENCE), "is the host overloaded"),
    ] {
        let unfit = error(kind).unfit().unwrap();
        assert!(unfit.remedy.contains(remedy), "{unfit}");
        assert!(unfit.message.contains("qemu+ssh://kvm1/system"), "{unfit}");
        assert_eq!(unfit.message.lines().count(), 1, "{unfit}");
    }
    let refused = error(VirshErrorKind::Refused);
    assert_eq!(refused.unfit(), None);
    assert_eq!(
        refused.to_string(),
        "qemu+ssh://kvm1/system: virsh list: error: no; sorry"
    );
}

/// On libvirt's own test driver, which needs no daemon.
#[test]
#[ignore = "needs HA_OPERATOR"]
fn the_real_virsh_finds_what_is_there_and_nothing_else() {
    crate::vm::operator_machine::run_in_operator_machine(false, || {
        let virsh = Virsh::new("test:///default", PATIENCE);
        let domain = |name| virsh.dump(Thing::Domain(name)).unwrap();
        assert!(domain("test").unwrap().contains("<name>test</name>"));
        assert_eq!(domain("nope"), None);
        assert!(virsh.is_active(Thing::Domain("test")).unwrap());
        assert!(virsh.is_active(Thing::Network("default")).unwrap());
        assert!(virsh.is_active(Thing::Pool("default-pool")).unwrap());
        assert!(virsh.volumes("nope").is_err());
        let volume = Thing::Volume("default-pool", "nope");
        assert_eq!(virsh.dump(volume).unwrap(), None);
        let many = [
            Thing::Domain("test"),
            Thing::Domain("nope"),
            Thing::Network("default"),
            Thing::Pool("default-pool"),
        ];
        let names = virsh
            .dump_all_listed(&many)
            .unwrap()
            .into_iter()
            .map(|xml| {
                let xml = xml?;
                let document = roxmltree::Document::parse(&xml).unwrap();
                let name = document.descendants().find(|n| n.has_tag_name("name"));
                Some(name?.text()?.to_owned())
            });
        let known = ["test", "default", "default-pool"].map(|name| Some(name.to_owned()));
        let [domain, network, pool] = known;
        assert_eq!(names.collect::<Vec<_>>(), [domain, None, network, pool]);
        let refused = virsh.query(&["dumpxml", "test", "--no-such"]);
        let refused = refused.unwrap_err().downcast::<VirshError>().unwrap();
        assert_eq!(refused.kind, VirshErrorKind::Refused);
        let gone = Virsh::new("qemu:///system", PATIENCE)
            .run(&["list"])
            .unwrap_err();
        let gone = gone.downcast::<Unfit>().unwrap();
        assert!(gone.remedy.contains("the daemon does not run"), "{gone}");
    });
}
