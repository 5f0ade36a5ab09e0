//! The program as a person or systemd meets it: help, exit codes, messages.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic as the test may"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn run_agent(args: &[&str], root: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ha-agent"))
        .args(args)
        .arg("--root")
        .arg(root)
        .output()
        .unwrap()
}

fn lossy_text(bytes: &[u8]) -> String {
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
  "kubernetes": {"version": "1.36.3", "podCIDR": "10.244.0.0/16", "serviceCIDR": "10.96.0.0/12",
    "cri": "containerd", "proxy": "none"}, "cni": {"kind": "none"}}"#;

#[test]
fn the_help_names_every_verb_and_no_inner_one() {
    let root = tempfile::tempdir().unwrap();
    let out = run_agent(&["--help"], root.path());
    let help = lossy_text(&out.stdout);
    for verb in ["run", "status", "doctor", "render"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
    }
    assert!(!help.contains("probe"), "{help}");
    assert_eq!(out.status.code(), Some(0));
}

#[test]
fn before_its_kubelet_starts_an_etcd_that_lost_its_data_is_kept_from_beginning_anew() {
    let root = tempfile::tempdir().unwrap();
    let peers = r#"[{"name": "node1", "address": "10.77.0.11"}, {"name": "node2", "address": "10.77.0.12"}]"#;
    let one = r#"[{"name": "node1", "address": "10.77.0.11"}]"#;
    let node = node_file(root.path(), &NODE.replace(one, peers));
    let signed = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.77.0.11:6443", "certificate-authority-data": ""}}],
        "users": [{"name": "u", "user": {"client-certificate": "/x.pem", "client-key": "/x.pem"}}]}"#;
    let files = [
        ("var/lib/kubelet/pki/kubelet-client-current.pem", ""),
        (
            "etc/kubernetes/manifests/etcd.yaml",
            "- --initial-cluster=node1=https://10.77.0.11:2380\n",
        ),
        ("etc/kubernetes/kubelet.conf", signed),
    ];
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let out = run_agent(&["close-bootstrap", "--node", &node], root.path());
    assert_eq!(out.status.code(), Some(0), "{}", lossy_text(&out.stderr));
    assert!(lossy_text(&out.stdout).contains("no longer begins an empty cluster"));
    let manifest = std::fs::read_to_string(root.path().join(files[1].0)).unwrap();
    assert_eq!(
        manifest,
        format!("{}- --initial-cluster-state=existing\n", files[1].1)
    );
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
            let out = run_agent(&[verb, "--node", &node], root.path());
            let said = lossy_text(&out.stderr);
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
    let out = run_agent(&["run", "--node", "/no/such/node.json"], root.path());
    assert_eq!(out.status.code(), Some(2));
    assert!(
        lossy_text(&out.stderr)
            .starts_with("error: cannot read the node file /no/such/node.json: No such file")
    );
}

#[test]
fn status_before_the_first_run_is_still_working() {
    let root = tempfile::tempdir().unwrap();
    let out = run_agent(&["status"], root.path());
    assert_eq!(out.status.code(), Some(3));
    assert!(
        lossy_text(&out.stdout).starts_with("the agent has not run since this machine was started")
    );
}

/// The status of a node at the gate, as the agent writes it.
const STATUS: &str = include_str!("../../crates/wire/tests/fixtures/status-v1.json");

fn write_status(root: &Path, attempt: u32) {
    std::fs::create_dir_all(root.join("run/ha-agent")).unwrap();
    let status = STATUS.replace("\"attempt\": 3", &format!("\"attempt\": {attempt}"));
    std::fs::write(root.join("run/ha-agent/new"), status).unwrap();
    std::fs::rename(
        root.join("run/ha-agent/new"),
        root.join("run/ha-agent/status.json"),
    )
    .unwrap();
}

/// `status --watch`, ended with the test.
struct Watching(Child);

impl Watching {
    fn begin(root: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ha-agent"));
        command.args(["status", "--watch", "--root"]).arg(root);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_watched_status_is_said_again_whenever_it_changes() {
    let root = tempfile::tempdir().unwrap();
    write_status(root.path(), 3);
    let mut watching = Watching::begin(root.path());
    let stdout = BufReader::new(watching.0.stdout.take().unwrap());
    let (said, lines) = mpsc::channel();
    std::thread::spawn(move || {
        stdout
            .lines()
            .map_while(Result::ok)
            .try_for_each(|l| said.send(l))
    });
    for attempt in [3, 4, 5] {
        write_status(root.path(), attempt);
        let words = format!("attempt {attempt} failed");
        loop {
            let line = lines.recv_timeout(Duration::from_secs(20));
            if line
                .unwrap_or_else(|_| panic!("never said {words:?}"))
                .contains(&words)
            {
                break;
            }
        }
    }
}

#[test]
fn nobody_who_reads_any_more_ends_a_watch_without_a_word() {
    let root = tempfile::tempdir().unwrap();
    write_status(root.path(), 3);
    let mut watching = Watching::begin(root.path());
    let mut first = String::new();
    let mut stdout = BufReader::new(watching.0.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let begun = Instant::now();
    let mut attempt = 4;
    let status = loop {
        write_status(root.path(), attempt);
        attempt += 1;
        if let Some(status) = watching.0.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut stderr = BufReader::new(watching.0.stderr.take().unwrap());
    let mut words = String::new();
    stderr.read_line(&mut words).unwrap();
    assert_eq!(
        (words.as_str(), status.code()),
        ("", Some(1)),
        "its agent does not run"
    );
}

#[test]
fn render_shows_every_file_and_writes_them_only_where_told() {
    let root = tempfile::tempdir().unwrap();
    let node = node_file(root.path(), NODE);
    let out = run_agent(&["render", "--node", &node], root.path());
    let shown = lossy_text(&out.stdout);
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
    run_agent(
        &["render", "--node", &node, "--out", into.to_str().unwrap()],
        root.path(),
    );
    let config = std::fs::read_to_string(into.join("etc/haproxy/haproxy.cfg")).unwrap();
    assert!(config.contains("server node1 10.77.0.11:6443 check"));
}

#[test]
fn a_wrong_command_line_is_bad_input_too() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(run_agent(&["stauts"], root.path()).status.code(), Some(2));
}

#[test]
fn the_probe_without_a_balancer_says_no() {
    let root = tempfile::tempdir().unwrap();
    let out = run_agent(&["probe"], root.path());
    assert_eq!(out.status.code(), Some(1));
    assert!(lossy_text(&out.stderr).contains("haproxy"));
}

/// The service as systemd starts it, with a watchdog of 600 ms.
#[test]
fn a_running_service_pings_systemds_watchdog() {
    let root = tempfile::tempdir().unwrap();
    let node = node_file(root.path(), NODE);
    let socket = root.path().join("notify");
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ha-agent"));
    command.args(["run", "--node", &node, "--root"]);
    command.arg(root.path()).env("NOTIFY_SOCKET", &socket);
    command.env("WATCHDOG_USEC", "600000");
    let service = command.stdout(Stdio::null()).stderr(Stdio::null());
    let service = Watching(service.spawn().unwrap());
    let mut pings = 0;
    while pings < 3 {
        let mut word = [0; 4096];
        // With a time-out it is interrupted when another test's children stop or go on.
        let length = match systemd.recv(&mut word) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            length => length.unwrap(),
        };
        pings += usize::from(lossy_text(&word[..length]).trim() == "WATCHDOG=1");
    }
    drop(service);
}
