//! The sysext's units and drop-ins beside the neighbours' units, as systemd takes them: of this machine, and of each Debian that the
//! lab has it of.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test may"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use ha_test_support::real;

const UNITS: &str = "usr/lib/systemd/system";
/// All that have a file or a drop-in of ours.
const JUDGED: [&str; 7] = [
    "crio.service",
    "ha-agent.service",
    "haproxy.path",
    "haproxy.service",
    "keepalived.service",
    "kubelet.path",
    "kubelet.service",
];

/// Both directories of units below `dir`, with programs that are there.
fn lay_out(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let script = r#"set -e; mkdir "$1/ours" "$1/theirs"; cp -r "$2/sysext/tree/$3/." "$1/ours"
        for name in haproxy keepalived kubernetes; do cp -r "$2/lab/sysexts/$name/$3/." "$1/theirs"; done
        find "$1" -type f -exec sed -Ei 's,^(Exec[A-Za-z]*=-?)/usr/bin/(ha-agent|haproxy|keepalived|kubelet)\b,\1/bin/true,' {} +"#;
    let mut copy = Command::new("sh");
    copy.args(["-c", script, "sh"])
        .arg(dir)
        .arg(root)
        .arg(UNITS);
    assert!(copy.status().unwrap().success());
    // CRI-O's own, shortened; the lab has no CRI-O.
    let unit = "[Unit]\nAfter=network-online.target\n[Service]\nType=notify\nExecStart=/bin/true\n";
    std::fs::write(dir.join("theirs/crio.service"), unit).unwrap();
}

/// What it says of what is ours.
fn analyze_complaints(analyze: &Path, dir: &Path) -> Vec<String> {
    let judge = Path::new("judge/systemd-analyze");
    let suite = analyze.ends_with(judge).then(|| analyze.ancestors().nth(2));
    let root = suite.flatten().unwrap_or_else(|| Path::new("/"));
    let path: Vec<PathBuf> = vec![dir.join("ours"), dir.join("theirs"), root.join(UNITS)];
    let mut verify = Command::new(analyze);
    verify.env("SYSTEMD_UNIT_PATH", std::env::join_paths(path).unwrap());
    verify.args(["verify", "--man=no"]).args(JUDGED);
    let said = verify.output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    let ours = dir.join("ours").to_str().unwrap().to_owned();
    let is_ours =
        |line: &&str| line.contains(&ours) || JUDGED.iter().any(|unit| line.starts_with(unit));
    said.lines().filter(is_ours).map(str::to_owned).collect()
}

fn reads_drop_in_of_logind(analyze: &Path) -> bool {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sysext/tree");
    let mut cat = Command::new(analyze);
    cat.arg("cat-config")
        .arg("--root")
        .arg(tree.canonicalize().unwrap());
    let said = cat.arg("systemd/logind.conf").output().unwrap().stdout;
    String::from_utf8(said)
        .unwrap()
        .contains("\nInhibitDelayMaxSec=")
}

#[test]
fn every_systemd_takes_the_units_as_they_are() {
    for analyze in real::programs_in_every_suite("systemd-analyze", "systemd") {
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path());
        let shown = analyze.display();
        let none: [String; 0] = [];
        assert_eq!(analyze_complaints(&analyze, dir.path()), none, "{shown}");
        assert!(reads_drop_in_of_logind(&analyze), "{shown}");
        for (file, line) in [
            ("ha-agent.service", "KillMode=nobody"),
            ("keepalived.service.d/20-ha-agent.conf", "NoSuchKey=1"),
            ("haproxy.path", "PathExists=relative"),
            ("crio.service.d/20-ha-agent.conf", "Delegate=perhaps"),
        ] {
            let path = dir.path().join("ours").join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let spoiled = format!("{}\n{line}\n", text.split("[Install]").next().unwrap());
            std::fs::write(&path, spoiled).unwrap();
            let told = analyze_complaints(&analyze, dir.path());
            assert!(
                told.iter().any(|told| told.contains(file)),
                "{shown}, {line}: {told:?}"
            );
        }
    }
}
