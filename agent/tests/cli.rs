//! The program as a person or systemd meets it: help, exit codes, messages.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test may"
)]

use std::path::Path;
use std::process::{Command, Output};

fn agent(args: &[&str], root: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ha-agent"))
        .args(args)
        .arg("--root")
        .arg(root)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn node_file(root: &Path, content: &str) -> String {
    let path = root.join("node.json");
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

const NODE: &str = r#"{"version": 1, "cluster": "demo", "name": "node1", "role": "control-plane",
  "address": "10.77.0.11", "prefix": 24, "interface": "eth0", "founder": {"until": 4000000000},
  "controlPlanes": [{"name": "node1", "address": "10.77.0.11"}], "endpoint": {"vip": "10.77.0.30", "port": 6444},
  "loadBalancer": {"mode": "native", "stats": null, "extraPorts": [], "advertIntervalMs": 100}, "vrid": 77,
  "kubernetes": {"version": "1.34.4", "podCIDR": "10.244.0.0/16", "serviceCIDR": "10.96.0.0/12",
    "cri": "containerd", "proxy": "none"}, "cni": {"kind": "none"}}"#;

#[test]
fn the_help_names_every_verb_and_no_inner_one() {
    let root = tempfile::tempdir().unwrap();
    let out = agent(&["--help"], root.path());
    let help = text(&out.stdout);
    for verb in ["run", "status", "doctor", "render"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
    }
    assert!(!help.contains("probe"), "{help}");
    assert_eq!(out.status.code(), Some(0));
}

#[test]
fn a_bad_node_file_is_one_message_with_place_and_cause_and_exit_code_2() {
    let root = tempfile::tempdir().unwrap();
    let cases = [
        (r#"{"version": 1, "cluster": 7}"#, "invalid type"),
        (
            r#"{"version": 9}"#,
            "version 9 of a node file is not supported",
        ),
        ("not json", "not a node file"),
        (
            &NODE.replace("\"vrid\"", "\"vird\""),
            "unknown field `vird`",
        ),
    ];
    for (content, cause) in cases {
        let node = node_file(root.path(), content);
        for verb in ["run", "doctor", "render"] {
            let out = agent(&[verb, "--node", &node], root.path());
            let said = text(&out.stderr);
            assert_eq!(out.status.code(), Some(2), "{verb}: {said}");
            assert!(
                said.starts_with(&format!("error: {node}: ")) && said.contains(cause),
                "{verb}: {said}"
            );
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
    assert_eq!(
        std::fs::read_dir(root.path()).unwrap().count(),
        1,
        "nothing was written"
    );
}

#[test]
fn a_missing_node_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let out = agent(&["run", "--node", "/no/such/node.json"], root.path());
    assert_eq!(out.status.code(), Some(2));
    assert!(
        text(&out.stderr)
            .starts_with("error: cannot read the node file /no/such/node.json: No such file")
    );
}

#[test]
fn status_before_the_first_run_is_still_working() {
    let root = tempfile::tempdir().unwrap();
    let out = agent(&["status"], root.path());
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stdout).starts_with("the agent has not run since this machine was started"));
}

#[test]
fn render_shows_every_file_and_writes_them_only_where_told() {
    let root = tempfile::tempdir().unwrap();
    let node = node_file(root.path(), NODE);
    let out = agent(&["render", "--node", &node], root.path());
    let shown = text(&out.stdout);
    for name in [
        "show-join-command",
        "/etc/keepalived/keepalived.conf",
        "/etc/haproxy/haproxy.cfg",
        "/run/ha-agent/kubeadm.yaml.init",
        "/run/ha-agent/kubeadm.yaml.join-prepare",
        "/run/ha-agent/kubeadm.yaml.join",
        "/run/ha-agent/kubeadm.yaml.images",
    ] {
        assert!(shown.contains(name), "{name} is missing in {shown}");
    }
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    let into = root.path().join("out");
    agent(
        &["render", "--node", &node, "--out", into.to_str().unwrap()],
        root.path(),
    );
    let config = std::fs::read_to_string(into.join("etc/haproxy/haproxy.cfg")).unwrap();
    assert!(config.contains("server node1 10.77.0.11:6443 check"));
}

#[test]
fn a_wrong_command_line_is_bad_input_too() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(agent(&["stauts"], root.path()).status.code(), Some(2));
}

#[test]
fn the_probe_without_a_balancer_says_no() {
    let root = tempfile::tempdir().unwrap();
    let out = agent(&["probe"], root.path());
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("haproxy"));
}
