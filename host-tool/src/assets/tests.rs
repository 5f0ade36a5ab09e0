use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ha_host_base::command::{find_program, run_for_stdout};

use super::*;
use crate::bakery::Artefact;
use crate::progress::pull::SilentBar;

fn e2fs_tool(name: &str) -> Command {
    Command::new(find_program(name).unwrap_or_else(|| panic!("{name}: install e2fsprogs")))
}

fn no_cache() -> Result<cache::Cache> {
    panic!("nothing is to be fetched")
}

/// Two sysexts and two archives that are called the same.
fn write_sources(dir: &Path) -> (Artefacts, Vec<PathBuf>) {
    let mut sysexts: Artefacts = BTreeMap::new();
    for (name, file, content) in [
        (
            "kubernetes",
            "kubernetes-v1.36.3-x86-64.raw",
            vec![7; 300_000],
        ),
        ("ha-agent", "ha-agent.raw", b"agent".to_vec()),
    ] {
        let path = dir.join(file);
        std::fs::write(&path, content).unwrap();
        let (file, source) = (file.to_owned(), SysextSource::File(path));
        sysexts.insert(name.to_owned(), Artefact { file, source });
    }
    let images: Vec<PathBuf> = ["one", "two"]
        .map(|sub| dir.join(sub).join("my images.tar.gz"))
        .to_vec();
    for (index, path) in images.iter().enumerate() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, image_archive(index)).unwrap();
    }
    (sysexts, images)
}

/// A tar archive with a list of images.
fn image_archive(index: usize) -> Vec<u8> {
    let mut all = b"manifest.json".to_vec();
    all.resize(124, 0);
    all.extend(b"00000000011");
    all.resize(257, 0);
    all.extend(b"ustar");
    all.resize(512, 0);
    all.extend(format!("archive {index}").into_bytes());
    all.resize(1024, 0);
    all
}

fn packed_disk(dir: &Path, sysexts: &Artefacts, images: &[PathBuf]) -> PackedDisk {
    let items = gather_items(sysexts, images, &no_cache, &mut SilentBar).unwrap();
    pack_items(dir, &items, sysexts.len()).unwrap()
}

fn ask_debugfs(disk: &Path, question: &str) -> String {
    run_for_stdout(e2fs_tool("debugfs").args(["-R", question]).arg(disk)).unwrap()
}

#[test]
fn a_disk_holds_what_it_was_given_and_nobodys_name() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sysexts, images) = write_sources(from.path());
    let disk = packed_disk(&to.path().join("assets"), &sysexts, &images);
    assert_eq!((disk.sysexts, disk.images, disk.new), (2, 2, true));
    let mode = std::fs::metadata(&disk.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    run_for_stdout(e2fs_tool("e2fsck").args(["-f", "-n"]).arg(&disk.path)).unwrap();
    let label = ask_debugfs(&disk.path, "show_super_stats -h");
    assert!(label.contains("ha-assets"), "{label}");
    let list = ask_debugfs(&disk.path, "ls -p /") + &ask_debugfs(&disk.path, "ls -p /images");
    for line in [
        "/100644/0/0/kubernetes-v1.36.3-x86-64.raw/300000/",
        "/100644/0/0/ha-agent.raw/5/",
        "/100644/0/0/00-my-images.tar/1024/",
        "/100644/0/0/01-my-images.tar/1024/",
        "/040755/0/0/images/",
    ] {
        assert!(list.contains(line), "{line} is not in\n{list}");
    }
    let content = ask_debugfs(&disk.path, "cat /images/01-my-images.tar");
    assert!(content.contains("archive 1"), "{content}");
}

#[test]
fn ciliums_chart_is_on_the_disk_and_counts_as_no_image() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(from.path().join("cilium-1.20.2.tgz"), "chart").unwrap();
    let text =
        ha_test_support::DEMO.replace("cni: none", "cni: {cilium: {chart: cilium-1.20.2.tgz}}");
    let text = text + "provider: {qemu: {arch: x86-64}}\nsysexts: none\n";
    let cluster = ha_test_support::parse_cluster(&text, from.path());
    let disk = pack_disk(to.path(), &cluster, &Artefacts::new(), &mut SilentBar)
        .unwrap()
        .unwrap();
    assert_eq!((disk.sysexts, disk.images), (0, 0));
    let list = ask_debugfs(&disk.path, "ls -p /");
    assert!(list.contains("/cilium-chart.tgz/5/"), "{list}");
}

#[test]
fn the_same_content_gives_the_same_bytes_whoever_packs_it_and_when() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sysexts, images) = write_sources(from.path());
    let one = packed_disk(&to.path().join("one"), &sysexts, &images);
    for path in [&from.path().join("ha-agent.raw"), &images[0]] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let times = std::fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_times(times).unwrap();
    }
    let two = packed_disk(&to.path().join("two"), &sysexts, &images);
    assert_eq!(one.path.file_name(), two.path.file_name());
    let read = |disk: &PackedDisk| cache::sha256_of_file(&disk.path).unwrap();
    assert_eq!(read(&one), read(&two));
}

#[test]
fn a_set_that_did_not_change_is_not_packed_again() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = to.path();
    let (sysexts, images) = write_sources(from.path());
    let one = packed_disk(dir, &sysexts, &images);
    assert_eq!(current_disk(dir).unwrap(), Some(one.path.clone()));
    let again = packed_disk(dir, &sysexts, &images);
    assert_eq!((again.new, &again.path), (false, &one.path));
    // Another content is another disk; the old one stays for the machines that have it.
    std::fs::write(from.path().join("ha-agent.raw"), "newer").unwrap();
    let other = packed_disk(dir, &sysexts, &images);
    assert!(other.new && other.path != one.path && one.path.is_file());
    assert_eq!(current_disk(dir).unwrap(), Some(other.path));
    let back = packed_disk(dir, &sysexts, &images[..1]);
    assert_eq!((back.new, back.images), (true, 1));
}

#[test]
fn disks_that_no_machine_was_made_with_are_removed() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = to.path();
    assert!(remove_unused_disks(dir).unwrap().is_empty());
    let (sysexts, images) = write_sources(from.path());
    let [linked, unused, current] = ["1", "2", "3"].map(|agent| {
        std::fs::write(from.path().join("ha-agent.raw"), agent).unwrap();
        packed_disk(dir, &sysexts, &images).path
    });
    let node = dir.join("machines/node1");
    std::fs::create_dir_all(&node).unwrap();
    std::os::unix::fs::symlink(&linked, node.join("assets.img")).unwrap();
    let strangers = dir.join("assets/backup.img");
    std::fs::write(&strangers, "of the operator").unwrap();
    assert_eq!(
        remove_unused_disks(dir).unwrap(),
        std::slice::from_ref(&unused)
    );
    assert!(linked.is_file() && current.is_file() && strangers.is_file() && !unused.exists());
    assert_eq!(current_disk(dir).unwrap(), Some(current));
    // The machine has gone.
    std::fs::remove_dir_all(&node).unwrap();
    assert_eq!(remove_unused_disks(dir).unwrap(), [linked]);
}

#[test]
fn a_cut_off_packing_leaves_nothing_that_counts() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = to.path().join("assets");
    let (sysexts, images) = write_sources(from.path());
    let items = gather_items(&sysexts, &images, &no_cache, &mut SilentBar).unwrap();
    // The source is gone when it is packed.
    std::fs::remove_file(from.path().join("ha-agent.raw")).unwrap();
    let error = pack_items(to.path(), &items, 2).unwrap_err();
    assert!(
        format!("{error:#}").contains("cannot gather the assets"),
        "{error:#}"
    );
    assert_eq!(current_disk(to.path()).unwrap(), None);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    // What a killed ha-host left is swept by the next.
    std::fs::create_dir(dir.join(".new-left")).unwrap();
    std::fs::write(dir.join(".new-current"), "").unwrap();
    write_sources(from.path());
    packed_disk(to.path(), &sysexts, &images);
    let mut left: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert!(
        left.len() == 2 && left.iter().any(|name| name == CURRENT),
        "{left:?}"
    );
}

#[test]
fn archives_that_cannot_be_read_are_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("gone.tar"), dir.path().to_owned()] {
        let error =
            gather_items(&Artefacts::new(), &[path], &no_cache, &mut SilentBar).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Stop::BadInput(_))));
        assert!(
            error.to_string().starts_with("assets.disk.images[0]: "),
            "{error}"
        );
    }
}

#[test]
fn a_disk_is_told_in_a_line() {
    let disk = PackedDisk {
        path: PathBuf::from("/x.img"),
        bytes: 222 << 20,
        sysexts: 5,
        images: 0,
        new: true,
    };
    assert_eq!(disk.facts(), ["222.00 MiB", "5 sysexts"]);
    let kept = PackedDisk {
        images: 1,
        new: false,
        ..disk
    };
    assert_eq!(
        kept.facts(),
        ["222.00 MiB", "5 sysexts", "1 image archive", "kept"]
    );
}
