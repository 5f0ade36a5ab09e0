//! The program aborted in the middle of each write: what was there is there, and the next run goes on. No power cut: what the kernel
//! had not written back is not lost here.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

const DEMO: &str = include_str!("data/demo.yaml");

fn render_cut_off(dir: &Path, out: &str, cut: &str) -> bool {
    let mut command = Command::cargo_bin("ha-host").unwrap();
    command
        .current_dir(dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("HA_HOST_FAILPOINT", cut);
    command.args(["render", "demo.yaml", "--force", "--out", out]);
    command.output().unwrap().status.success()
}

fn count_leftovers(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().flatten();
    entries
        .filter(|e| e.file_name().to_string_lossy().starts_with(".new-"))
        .count()
}

#[test]
fn a_first_render_cut_anywhere_is_finished_by_the_next() {
    for cut in ["write:1", "write:2", "new-dir:1", "write:3"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("demo.yaml"), DEMO).unwrap();
        assert!(
            !render_cut_off(dir.path(), "out", cut),
            "{cut} was not reached"
        );
        let state = dir.path().join("state/ha-host/demo");
        let pki = state.join("pki");
        assert!(
            !pki.exists() || pki.join("sa.key").exists(),
            "{cut}: half a PKI"
        );
        assert!(render_cut_off(dir.path(), "out", ""), "{cut}: the next run");
        assert_eq!(count_leftovers(&state), 0, "{cut}");
        assert!(dir.path().join("out/node5.ign").exists());
    }
}

#[test]
fn a_cut_replacement_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("demo.yaml");
    fs::write(&file, DEMO).unwrap();
    assert!(render_cut_off(dir.path(), "out", ""));
    let copy = dir.path().join("state/ha-host/demo/cluster.yaml");
    let ca = fs::read(dir.path().join("state/ha-host/demo/pki/ca.key")).unwrap();
    fs::write(&file, format!("{DEMO}# changed\n")).unwrap();
    assert!(!render_cut_off(dir.path(), "out", "write:1"));
    assert_eq!(fs::read_to_string(&copy).unwrap(), DEMO);
    assert!(render_cut_off(dir.path(), "out", ""));
    assert!(fs::read_to_string(&copy).unwrap().ends_with("# changed\n"));
    assert_eq!(
        fs::read(dir.path().join("state/ha-host/demo/pki/ca.key")).unwrap(),
        ca
    );
}
