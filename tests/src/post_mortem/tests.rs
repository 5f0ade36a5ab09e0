use super::*;

#[test]
fn a_machines_console_and_its_hypervisors_last_words_are_kept_and_shown() {
    let work = tempfile::tempdir().unwrap();
    let machines = work.path().join("machines");
    for (name, text) in [
        ("node1/console.log", "login:\n"),
        ("node1/qemu.log", "qemu: could not open disk\n"),
        ("_gateway/qemu.log", "port in use\n"),
        ("node1/disk.qcow2", "not a log"),
        ("node1/root/var/log.log", "the node's own"),
    ] {
        let path = machines.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let report = PostMortem::new(work.path().join("post-mortem"));
    report.machines(&machines);
    let mut kept: Vec<_> = fs::read_dir(&report.dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        ["_gateway-qemu.log", "node1-console.log", "node1-qemu.log"]
    );
    assert_eq!(
        read_lossy(&report.dir.join("node1-qemu.log")),
        "qemu: could not open disk\n"
    );
    assert!(provider_logs(&machines).iter().all(|path| is_shown(path)));
}
