use std::process::Command;

use super::*;
use crate::render::testing::{golden, nodes};
use crate::testing;

#[test]
fn golden_files() {
    for (name, node) in nodes() {
        golden(
            &format!("{name}.haproxy.cfg"),
            &config(&node, &node.control_planes),
        );
    }
}

#[test]
fn the_servers_are_read_back() {
    for (name, node) in nodes() {
        assert_eq!(
            servers(&config(&node, &node.control_planes)),
            node.control_planes,
            "{name}"
        );
    }
    assert!(
        servers("# the sysext's seed\nbackend web\n    server a 1.2.3.4:80 check\n").is_empty()
    );
}

/// The real haproxy's judgement; skipped where there is none.
#[test]
fn haproxy_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.crt");
    std::fs::write(&ca, testing::ca_pem()).unwrap();
    for (name, node) in nodes() {
        let text = config(&node, &node.control_planes);
        let text = text
            .replace(CA, ca.to_str().unwrap())
            .replace("/run/haproxy", dir.path().to_str().unwrap());
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let Some(haproxy) = testing::program("haproxy") else {
            return;
        };
        let out = Command::new(haproxy)
            .args(["-c", "-f"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{name}: {said}");
        assert!(!said.contains("WARNING"), "{name}: {said}");
    }
}
