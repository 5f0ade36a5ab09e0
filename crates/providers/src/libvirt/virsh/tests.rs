use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn local_and_session() {
    let is = |uri: &str| (Virsh::new(uri).is_local(), Virsh::new(uri).is_session());
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
    let (name, path) = volume_line(line).unwrap();
    assert_eq!(
        (name.as_str(), path.as_str()),
        ("my disk.qcow2", "/var/lib/my images/my disk.qcow2")
    );
    assert_eq!(volume_line("------"), None);
}

#[test]
fn a_daemon_that_does_not_answer_is_told_by_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let (dead, none) = (dir.path().join("dead"), dir.path().join("none"));
    drop(UnixListener::bind(&dead).unwrap());
    assert_eq!(door(&[&dead, &none]), Door::NoDaemon);
    let live = dir.path().join("live");
    let _listener = UnixListener::bind(&live).unwrap();
    assert_eq!(door(&[&dead, &live]), Door::NotPermitted);
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
