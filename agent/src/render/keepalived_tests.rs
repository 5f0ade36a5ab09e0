use std::process::Command;

use super::*;
use crate::render::testing::{golden, nodes};
use crate::testing;

#[test]
fn golden_files() {
    for (name, node) in nodes() {
        golden(&format!("{name}.keepalived.conf"), &config(&node));
    }
}

#[test]
fn no_node_is_told_to_be_its_own_peer() {
    for (name, node) in nodes() {
        let text = config(&node);
        let own = format!("        {}\n", node.address);
        assert!(!text.contains(&own), "{name}");
        assert_eq!(
            text.contains("unicast_peer"),
            node.control_planes.len() > 1,
            "{name}"
        );
    }
}

/// The real keepalived's judgement, in a network namespace that has the interface; skipped where that cannot be had.
#[test]
fn keepalived_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(keepalived) = testing::program("keepalived") else {
        return;
    };
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    for (name, node) in nodes() {
        let file = dir.path().join(name);
        // The script's program must be there and belong to root.
        std::fs::write(&file, config(&node).replace(AGENT, "/bin/true")).unwrap();
        let script = format!(
            "ip link add {i} type veth peer name peer && ip link set {i} up && ip addr add {a}/{p} dev {i} nodad && exec {k} -t -f {f}",
            i = node.interface,
            a = node.address,
            p = if node.address.is_ipv4() { 24 } else { 64 },
            k = keepalived.display(),
            f = file.display(),
        );
        let script = if node.address.is_ipv4() {
            script.replace(" nodad", "")
        } else {
            script
        };
        let out = Command::new("unshare")
            .args(["-n", "sh", "-c", &script])
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(out.status.success(), "{name}: {said}");
    }
}
