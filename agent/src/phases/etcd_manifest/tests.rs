use super::*;

/// As kubeadm 1.34.4 writes it on a founder, shortened.
const FOUNDER: &str = "\
spec:
  containers:
  - command:
    - etcd
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=https://10.77.0.11:2380
    - --initial-cluster=node1=https://10.77.0.11:2380
    - --key-file=/etc/kubernetes/pki/etcd/server.key
";
const JOINED: &str = "\
  - command:
    - --initial-cluster=node2=https://10.77.0.12:2380,node1=https://10.77.0.11:2380
    - --initial-cluster-state=existing
";

#[test]
fn members_are_read_by_name() {
    assert_eq!(initial_members(FOUNDER), ["node1"]);
    assert_eq!(initial_members(JOINED), ["node2", "node1"]);
    for other in [
        "",
        "- --initial-cluster=",
        "kind: Pod",
        "--initial-cluster=a=b",
    ] {
        assert!(initial_members(other).is_empty(), "{other:?}");
    }
}

#[test]
fn one_line_takes_the_power_to_bootstrap() {
    assert!(can_bootstrap(FOUNDER));
    let closed = without_bootstrap(FOUNDER);
    assert!(!can_bootstrap(&closed));
    let added = "    - --initial-cluster-state=existing\n";
    assert_eq!(closed.replace(added, ""), FOUNDER);
    assert_eq!(without_bootstrap(&closed), closed);
    let said_new = FOUNDER.replace(
        "    - --key-file",
        "    - --initial-cluster-state=new\n    - --key-file",
    );
    assert_eq!(without_bootstrap(&said_new), closed);
}

#[test]
fn what_joined_and_what_is_no_manifest_cannot_bootstrap() {
    assert!(!can_bootstrap(JOINED));
    assert!(!can_bootstrap(""));
    assert_eq!(without_bootstrap(JOINED), JOINED);
    assert_eq!(without_bootstrap(""), "");
}

#[test]
fn the_log_is_where_the_manifest_says() {
    let machine = crate::testing::fake_machine(crate::testing::founder());
    let cx = &machine.cx;
    assert_eq!(log_directory(cx, ""), "/var/lib/etcd/member/wal");
    let moved = FOUNDER.replace("/var/lib/etcd", "/data");
    assert_eq!(log_directory(cx, &moved), "/data/member/wal");
    assert_eq!(log_directory(cx, "    - --wal-dir=/wal\n"), "/wal");
    assert!(!has_data(cx, FOUNDER).unwrap());
    machine.file("/var/lib/etcd/member/wal/0.tmp", "");
    assert!(!has_data(cx, FOUNDER).unwrap(), "a log that is being made");
    machine.file("/var/lib/etcd/member/wal/0-0.wal", "");
    assert!(has_data(cx, FOUNDER).unwrap());
}
