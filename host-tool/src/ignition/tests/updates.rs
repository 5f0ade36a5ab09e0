//! What is handed over to systemd-sysupdate, byte for byte, and what the real one makes of it.

use std::path::Path;

use ha_test_support::real;

use super::sysexts::{assert_unit_valid, cluster_of_the_bakery};
use super::*;

#[test]
fn updates_are_staged_within_the_minor_version_and_only_if_asked_for() {
    let (cluster, files) = cluster_of_the_bakery("provider: qemu\nupdates: sysupdate\n");
    let config = &render_all_nodes(&cluster, &files, None)[4];
    let files = written_files(config);
    for (name, pattern, newer) in [
        ("kubernetes", "kubernetes-v1.36.@v-%a.raw", 4),
        ("crio", "crio-v1.36.@v-%a.raw", 3),
        ("haproxy", "haproxy-3.2.@v-%a.raw", 6),
    ] {
        let golden = format!(
            "[Transfer]\nVerify=false\nMinVersion={newer}\n\n[Source]\nType=url-file\nPath=https://example.org/extensions/{name}/\n\
             MatchPattern={pattern}\n\n[Target]\nInstancesMax=3\nType=regular-file\nPath=/opt/extensions/{name}\n\
             CurrentSymlink=/etc/extensions/{name}.raw\n"
        );
        assert_eq!(
            files[&format!("/etc/sysupdate.{name}.d/{name}.conf")].1,
            golden
        );
    }
    assert!(!files.contains_key("/etc/sysupdate.ha-agent.d/ha-agent.conf"));
    assert!(
        files["/etc/sysupdate.d/noop.conf"]
            .1
            .contains("MatchPattern=invalid@v.raw")
    );
    let units = config["systemd"]["units"].as_array().unwrap();
    let unit = |name| units.iter().find(|u| u["name"] == name).unwrap();
    assert_eq!(unit("systemd-sysupdate.timer")["enabled"], true);
    let service = unit("systemd-sysupdate.service");
    assert!(service.get("enabled").is_none());
    let dropins = service["dropins"].as_array().unwrap();
    assert_eq!(dropins.len(), 3);
    for dropin in dropins {
        let text = dropin["contents"].as_str().unwrap();
        assert!(
            !text.contains("systemctl") && !text.contains("refresh"),
            "it restarts something: {text}"
        );
        let lines = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
        assert_unit_valid(
            "systemd-sysupdate.service",
            &text.replace("[Service]\n", lines),
        );
    }
    let (cluster, files) = cluster_of_the_bakery("provider: qemu\n");
    let config = render_all_nodes(&cluster, &files, None).remove(4);
    assert!(!config.to_string().contains("sysupdate"));

    // What a node has fetched itself is in the directory that systemd-sysupdate looks at.
    let (cluster, files) = cluster_of_the_bakery("provider: none\nupdates: sysupdate\n");
    let config = &render_all_nodes(&cluster, &files, None)[4];
    let text = &self::written_files(config)["/etc/sysupdate.crio.d/crio.conf"].1;
    assert!(!text.contains("MinVersion="), "{text}");
}

/// What the bakery has, and the patch that systemd-sysupdate would fetch.
const BAKERY: [(&str, &[&str], Option<&str>); 3] = [
    (
        "kubernetes",
        &["v1.36.3", "v1.36.9", "v1.36.10", "v1.37.0"],
        Some("10"),
    ),
    ("crio", &["v1.36.2", "v1.36.3", "v1.37.0"], Some("3")),
    ("haproxy", &["3.2.5", "3.3.1"], None),
];

/// A bakery of files below `dir`: each version for this machine, and a newer one for another.
fn write_bakery(dir: &Path, name: &str, versions: &[&str]) {
    let (own, other) = match cfg!(target_arch = "x86_64") {
        true => ("x86-64", "arm64"),
        false => ("arm64", "x86-64"),
    };
    std::fs::create_dir_all(dir).unwrap();
    let newest = versions[0].rsplit_once('.').unwrap().0.to_owned() + ".99";
    let images = versions.iter().map(|v| format!("{name}-{v}-{own}.raw"));
    for image in images.chain([format!("{name}-{newest}-{other}.raw")]) {
        std::fs::write(dir.join(image), "image").unwrap();
    }
    let hash = ["-c", "sha256sum *.raw > SHA256SUMS"];
    let hashed = std::process::Command::new("sh")
        .args(hash)
        .current_dir(dir)
        .status();
    assert!(hashed.unwrap().success());
}

#[test]
#[ignore = "needs root and the lab's operator"]
fn the_real_sysupdate_fetches_the_newest_patch_of_the_minor_and_nothing_else() {
    if !real::is_root("enters the root of the lab's operator") {
        return;
    }
    let (cluster, files) = cluster_of_the_bakery("provider: qemu\nupdates: sysupdate\n");
    let files = written_files(&render_all_nodes(&cluster, &files, None)[4]);
    let dir = tempfile::tempdir().unwrap();
    for (name, versions, newest) in BAKERY {
        write_bakery(&dir.path().join("bakery").join(name), name, versions);
        let path = format!("/etc/sysupdate.{name}.d/{name}.conf");
        let text = &files[&path].1;
        let text = text.replace("https://example.org/extensions", "file:///mnt/bakery");
        let at = dir.path().join(&path[1..]);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, text).unwrap();
        std::fs::create_dir_all(dir.path().join("opt/extensions").join(name)).unwrap();
        let sysupdate = real::in_operators_root("/usr/lib/systemd/systemd-sysupdate", dir.path());
        let Some(mut sysupdate) = sysupdate else {
            return;
        };
        sysupdate.args(["--root=/mnt", "-C", name, "check-new"]);
        let said = sysupdate.output().unwrap();
        let (found, words) = (&said.stdout, String::from_utf8_lossy(&said.stderr));
        let found = String::from_utf8_lossy(found).trim().to_owned();
        let found = Some(found).filter(|found| !found.is_empty());
        assert_eq!(found.as_deref(), newest, "{name}: {words}");
        // Nothing newer: a code of its own in some versions, a failure in others.
        assert_eq!(said.status.success(), newest.is_some(), "{name}: {words}");
    }
}
