//! What is not ours stays.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::shared::this_boot::boot_id;

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn what_is_not_ours_stays() {
    run_alone(|fixture| {
        let provider = &fixture.provider;
        let bad = || -> Vec<Finding> {
            provider
                .preflight()
                .unwrap()
                .into_iter()
                .filter(|f| !f.ok && !f.message.contains("inotify"))
                .collect()
        };
        assert_eq!(bad(), []);
        let ip = |line: &str| {
            assert!(
                Command::new("ip")
                    .args(line.split(' '))
                    .status()
                    .unwrap()
                    .success(),
                "ip {line}"
            )
        };
        ip("link add other type veth peer name other2");
        ip("link set other up");
        ip("addr add 10.79.0.77/25 dev other");
        assert!(
            bad()[0]
                .message
                .contains("10.79.0.0/24 overlaps with this machine's"),
            "{:?}",
            bad()
        );
        ip("link del other");
        provider.prepare().unwrap();
        assert_eq!(bad(), [], "its own routes do not overlap");
        same_name(fixture);
    });
}

/// A second state directory with a cluster of the same name, as one is left behind when the machine starts anew.
fn same_name(fixture: &NspawnFixture) {
    let provider = &fixture.provider;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = fixture.provider_at(elsewhere.path());
    let error = other.prepare().unwrap_err().to_string();
    assert!(error.contains("did not make it"), "{error}");
    let space = Path::new(layout::NETNS_DIR).join(provider.layout.bridge_namespace());
    let inode = std::fs::metadata(&space).unwrap().ino();
    let groups = made_node_groups(fixture);
    let mut process = cgroup::joining_command(&cgroup::proc_files(&groups), true)
        .args(["sleep", "600"])
        .spawn()
        .unwrap();
    let list: String = groups
        .iter()
        .map(|group| format!("{}\n", group.display()))
        .collect();
    let boot = "00000000-0000-4000-8000-000000000000\n";
    let this_boot = format!("{}\n", boot_id().unwrap());
    for (network, list) in [
        (format!("{inode}"), list.clone()),
        ("pending".into(), list.clone()),
        (format!("{boot}{inode}"), format!("{boot}{list}")),
        // Of this boot, but the name is another's by now.
        (
            format!("{this_boot}{}", inode + 1),
            format!("{this_boot}{list}"),
        ),
    ] {
        let node = other.dir(fixture.node(0));
        layout::make_dir(&node.0, 0o700).unwrap();
        write_before_this_boot(&other.layout.network_record(), &network);
        write_before_this_boot(&node.join(NodeDir::CGROUPS), &list);
        other.destroy().unwrap();
        assert!(space.exists(), "{network}");
        assert_eq!(process.try_wait().unwrap(), None, "{list}");
        assert!(!other.layout.machines.path().exists());
    }
    cgroup::remove_groups(&groups).unwrap();
    process.wait().unwrap();
}

/// Where no boot is named the file's time counts.
fn write_before_this_boot(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
}

/// The first node's, of this boot.
fn made_node_groups(fixture: &NspawnFixture) -> Vec<PathBuf> {
    let hierarchies = cgroup::hierarchies_of("self").unwrap();
    let groups = cgroup::node_groups(&hierarchies, &fixture.cluster.name, &fixture.node(0).name);
    cgroup::make_groups(&hierarchies, &groups).unwrap();
    groups
}
