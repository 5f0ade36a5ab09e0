//! `sysext/lint.sh`, shown images that are not as a node and the bakery's tools expect.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test may"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use ha_test_support::real;

fn sysext_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../sysext")
        .join(name)
}

fn expect_success(command: &mut Command) {
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
}

/// The tree as build.sh makes it, with a program that is not the agent's: that is the one fault of a tree nobody spoiled.
fn built_tree(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    expect_success(
        Command::new("cp")
            .arg("-r")
            .arg(sysext_path("tree"))
            .arg(&tree),
    );
    edit_file(
        &tree,
        "usr/lib/extension-release.d/extension-release.ha-agent",
        |text| text.replace("@ARCHITECTURE@", "x86-64"),
    );
    std::fs::create_dir_all(tree.join("usr/bin")).unwrap();
    std::fs::copy("/bin/true", tree.join("usr/bin/ha-agent")).unwrap();
    tree
}

fn edit_file(tree: &Path, name: &str, change: impl FnOnce(String) -> String) {
    let path = tree.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
}

/// What lint.sh says of a tree that was spoiled so.
fn lint_faults(spoil: impl FnOnce(&Path)) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let tree = built_tree(dir.path());
    spoil(&tree);
    let image = dir.path().join("ha-agent-0.1.0-x86-64.raw");
    expect_success(Command::new(sysext_path("pack.sh")).arg(&tree).arg(&image));
    let sums = "cd \"$1\"; sha256sum *.raw > SHA256SUMS; sed 's|@URL@|https://example.org/ha-agent/|' \"$2\" > ha-agent.conf";
    expect_success(
        Command::new("sh")
            .args(["-c", sums, "sh"])
            .args([dir.path(), &sysext_path("ha-agent.sysupdate.conf")]),
    );
    let out = Command::new(sysext_path("lint.sh"))
        .arg(&image)
        .output()
        .unwrap();
    assert!(!out.status.success(), "a tree without the agent is refused");
    let said = String::from_utf8(out.stderr).unwrap();
    let faults = said.lines().filter_map(|l| l.split_once(".raw: "));
    faults.map(|(_, fault)| fault.to_owned()).collect()
}

/// Spoils a tree in one way.
type Fault = fn(&Path);

#[test]
fn each_fault_of_an_image_is_named() {
    let needed = [
        real::require_program("mksquashfs", "squashfs-tools"),
        real::require_program("systemd-analyze", "systemd"),
        real::require_program("file", "file"),
    ];
    if needed.contains(&None) {
        return;
    }
    const UNITS: &str = "usr/lib/systemd/system";
    const UPHOLDS: &str = "usr/lib/systemd/system/multi-user.target.d/10-ha-agent.conf";
    const HIDDEN: &str = "usr/local/lib/systemd/system/multi-user.target.d/10-kubelet-service.conf";
    const RELEASE: &str = "usr/lib/extension-release.d/extension-release.ha-agent";
    let cases: [(&str, Fault); 12] = [
        ("usr/sbin would hide", |t| {
            std::fs::create_dir(t.join("usr/sbin")).unwrap()
        }),
        ("only usr/ is merged", |t| {
            std::fs::create_dir(t.join("etc")).unwrap()
        }),
        ("lacks EXTENSION_RELOAD_MANAGER=1", |t| {
            edit_file(t, RELEASE, |text| text.replace("MANAGER=1", "MANAGER=0"));
        }),
        ("does not uphold ha-agent.service", |t| {
            edit_file(t, UPHOLDS, |text| {
                text.replace("ha-agent.service", "x.service")
            });
        }),
        ("does not uphold kubelet.path", |t| {
            edit_file(t, UPHOLDS, |text| {
                text.replace("Upholds=kubelet", "Wants=kubelet")
            });
        }),
        ("does not uphold haproxy.path", |t| {
            edit_file(t, UPHOLDS, |text| {
                text.replace("Upholds=haproxy", "Wants=haproxy")
            });
        }),
        ("ha-agent.service has no watchdog", |t| {
            edit_file(t, &format!("{UNITS}/ha-agent.service"), |text| {
                text.replace("WatchdogSec=180\n", "")
            });
        }),
        ("10-kubelet-service.conf is not hidden", |t| {
            edit_file(t, HIDDEN, |text| text + "[Unit]\nUpholds=kubelet.service\n");
        }),
        ("is ignored: a drop-in ends in .conf", |t| {
            let dir = t.join(UNITS).join("kubelet.service.d");
            std::fs::write(dir.join("30-x"), "").unwrap();
        }),
        ("a placeholder is left", |t| {
            edit_file(t, RELEASE, |text| text + "X=@VERSION@\n")
        }),
        ("tmpfiles.d does not make /etc/ha-agent 0700", |t| {
            edit_file(t, "usr/lib/tmpfiles.d/ha-agent.conf", |text| {
                text.replace("0700", "0755")
            });
        }),
        ("systemd-analyze: ", |t| {
            edit_file(t, &format!("{UNITS}/ha-agent.service"), |text| {
                text.replace("KillMode=control-group", "KillMode=nobody")
            });
        }),
    ];
    let unspoiled = lint_faults(|_| ());
    assert_eq!(unspoiled.len(), 1, "{unspoiled:?}");
    assert!(unspoiled[0].contains("is not static-pie"), "{unspoiled:?}");
    for (words, spoil) in cases {
        let faults = lint_faults(spoil);
        assert!(
            faults.iter().any(|f| f.contains(words)),
            "{words:?}: {faults:?}"
        );
    }
}
