use super::*;
use crate::testing::{self, FakeMachine};

const LOG: &str = "/var/lib/etcd/member/wal";
/// The first 512 and 1,024 bytes of logs of a real etcd 3.6: killed before its first entry, and after a second.
const UNWRITTEN: &[u8] = include_bytes!("../../../tests/captured/etcd-without-entry.wal");
const WRITTEN: &[u8] = include_bytes!("../../../tests/captured/etcd-first-entries.wal");
/// The same of etcd 3.7.0, which writes its records by another protobuf library.
const UNWRITTEN_BY_3_7: &[u8] =
    include_bytes!("../../../tests/captured/etcd-3.7-without-entry.wal");
const WRITTEN_BY_3_7: &[u8] = include_bytes!("../../../tests/captured/etcd-3.7-first-entries.wal");

fn machine_with(name: &str, content: &[u8]) -> FakeMachine {
    let machine = testing::fake_machine(testing::founder());
    write_etcd_log(&machine, name, content);
    machine
}

fn write_etcd_log(machine: &FakeMachine, name: &str, content: &[u8]) {
    let files = &machine.cx.sys.files;
    files
        .write(&format!("{LOG}/{name}"), 0o600, content)
        .unwrap();
}

#[test]
fn a_log_without_an_entry_is_unwritten_and_no_other() {
    let torn = [&UNWRITTEN[..0x50], &[1]].concat();
    let cut = &UNWRITTEN[..0x40];
    for (content, expected) in [
        (UNWRITTEN, true),
        (UNWRITTEN_BY_3_7, true),
        (WRITTEN, false),
        (WRITTEN_BY_3_7, false),
        (&torn, false),
        (cut, false),
        (&UNWRITTEN[..0x28], false),
        (&[0; 512], false),
        (b"", false),
        (&[0xff; 64], false),
    ] {
        let machine = machine_with(FIRST, content);
        let unwritten = is_unwritten(&machine.cx.sys.files, LOG).unwrap();
        assert_eq!(unwritten, expected, "{} bytes", content.len());
    }
}

#[test]
fn a_log_with_more_than_its_first_segment_was_written_to() {
    let machine = machine_with("0000000000000001-0000000000002710.wal", UNWRITTEN);
    assert!(!is_unwritten(&machine.cx.sys.files, LOG).unwrap());
    write_etcd_log(&machine, FIRST, UNWRITTEN);
    assert!(!is_unwritten(&machine.cx.sys.files, LOG).unwrap());
    let empty = testing::fake_machine(testing::founder());
    assert!(!is_unwritten(&empty.cx.sys.files, LOG).unwrap());
}
