use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ha_host_base::exit::Stop;
use ha_test_support::{DEMO, demo_cluster, parse_cluster, real};
use ignition_config::Config;
use serde_json::Value;

use super::*;

mod balancer_machines;
mod chart;
mod etcd;
mod exhaustive;
mod network;
mod nodes;
mod proxy;
mod registries;
mod sizes;
mod stats;
mod sysexts;
mod updates;

/// A node's files as Ignition writes them: path to mode and text.
type Files = BTreeMap<String, (u64, String)>;

fn render_all_nodes(
    cluster: &Cluster,
    files: &OperatorFiles,
    founder: Option<Founder>,
) -> Vec<Value> {
    let pki = Pki::create().unwrap();
    let configs = ConfigRenderer {
        cluster,
        pki: &pki,
        files,
        founder,
    }
    .render_all()
    .unwrap();
    configs
        .iter()
        .map(|c| validated_config(c.text.expose()))
        .collect()
}

/// A cluster whose machines are made by people.
fn cluster_of_people(text: &str) -> Cluster {
    parse_cluster(&format!("{text}provider: none\n"), Path::new("/"))
}

/// The operator's files, for a cluster that never asked the bakery.
fn read_operator_files(cluster: &Cluster) -> Result<OperatorFiles> {
    let dir = tempfile::tempdir().unwrap();
    OperatorFiles::read(cluster, dir.path())
}

/// Parsed back with zero warnings, and accepted by the real `ignition-validate`.
fn validated_config(text: &str) -> Value {
    assert_valid(text);
    parsed_config(text)
}

fn parsed_config(text: &str) -> Value {
    let (config, warnings) = Config::parse_str(text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(matches!(config, Config::V3_3(_)));
    assert!(!text.replace("/dev/null", "").contains("null"));
    serde_json::from_str(text).unwrap()
}

/// Without a word: it has warnings too.
fn assert_valid(text: &str) {
    let Some(mut validate) = real::require_command("ignition-validate", "ignition") else {
        return;
    };
    validate.arg("-");
    let output = real::output_for_stdin(validate, text);
    let silent = output.stdout.is_empty() && output.stderr.is_empty();
    assert!(output.status.success() && silent, "{output:?}\n{text}");
}

fn written_files(config: &Value) -> Files {
    let list = config["storage"]["files"].as_array().unwrap();
    list.iter()
        .map(|f| {
            let source = f["contents"]["source"].as_str().unwrap();
            let text = source.strip_prefix("data:;base64,").map_or_else(
                || source.to_owned(),
                |data| {
                    let bytes = STANDARD.decode(data).unwrap();
                    match f["contents"]["compression"].as_str() {
                        Some("gzip") => {
                            let mut text = String::new();
                            flate2::read::GzDecoder::new(&bytes[..])
                                .read_to_string(&mut text)
                                .unwrap();
                            text
                        }
                        _ => String::from_utf8(bytes).unwrap(),
                    }
                },
            );
            assert_eq!(f["overwrite"], true);
            (
                f["path"].as_str().unwrap().to_owned(),
                (f["mode"].as_u64().unwrap(), text),
            )
        })
        .collect()
}

fn node_file(files: &Files) -> NodeFile {
    NodeFile::parse(&files[paths::NODE_FILE].1).unwrap()
}

/// The newest version that a Flatcar's Ignition reads; all older ones of 3 it reads, too. 3185 is the first that reads any, and LTS
/// 4081 has 2.18 or newer (2.18 came with 3913). What 3.4 brought (LUKS options, special mode bits, S3 ARNs) is used nowhere here.
const READ: [(&str, &str); 2] = [
    ("3185, Ignition 2.13", "3.3.0"),
    ("LTS 4081, Ignition 2.18", "3.4.0"),
];

#[test]
fn what_is_written_every_flatcar_reads_that_knows_ignition_3() {
    for config in render_all_nodes(&demo_cluster(), &OperatorFiles::default(), None) {
        let version = config["ignition"]["version"].as_str().unwrap();
        for (flatcar, newest) in READ {
            assert!(version <= newest, "{flatcar} reads no {version}");
        }
    }
}

#[test]
fn a_worker_holds_no_key_but_its_own() {
    let configs = render_all_nodes(&demo_cluster(), &OperatorFiles::default(), None);
    let files = written_files(&configs[3]);
    let keys: Vec<&String> = files
        .iter()
        .filter(|(_, (_, text))| text.contains("PRIVATE KEY"))
        .map(|(p, _)| p)
        .collect();
    assert_eq!(keys, [paths::IDENTITY_KEY]);
    let pki: Vec<&String> = files
        .keys()
        .filter(|p| p.starts_with(paths::PKI_DIR))
        .collect();
    assert_eq!(pki, ["/etc/kubernetes/pki/ca.crt"]);
}

#[test]
fn secrets_are_for_root_only() {
    for config in render_all_nodes(&demo_cluster(), &OperatorFiles::default(), None) {
        for (path, (mode, text)) in written_files(&config) {
            let secret = text.contains("PRIVATE KEY") || path == paths::NODE_FILE;
            assert!(!secret || mode == 0o600, "{path} {mode:o}");
        }
        for dir in config["storage"]["directories"].as_array().unwrap() {
            assert_eq!(dir["mode"], 0o700, "{dir}");
        }
    }
}

#[test]
fn no_two_nodes_share_an_identity() {
    let configs = render_all_nodes(&demo_cluster(), &OperatorFiles::default(), None);
    let keys: std::collections::BTreeSet<String> = configs
        .iter()
        .map(|c| written_files(c)[paths::IDENTITY_KEY].1.clone())
        .collect();
    assert_eq!(keys.len(), 5);
}

#[test]
fn exactly_one_node_may_found_and_only_while_there_is_a_permission() {
    let permission = founder_permission(1_000_000);
    let count = |founder| {
        let configs = render_all_nodes(&demo_cluster(), &OperatorFiles::default(), founder);
        configs
            .iter()
            .filter_map(|c| node_file(&written_files(c)).founder.map(|f| f.until))
            .collect::<Vec<_>>()
    };
    assert_eq!(count(Some(permission)), [1000 + FOUNDER_SECONDS]);
    assert_eq!(count(None), [0_u64; 0]);
}

#[test]
fn small_files_are_exactly_these() {
    let configs = render_all_nodes(&cluster_of_people(DEMO), &OperatorFiles::default(), None);
    let files = written_files(&configs[1]);
    assert_eq!(files["/etc/hostname"], (0o644, "node2\n".to_owned()));
    let hosts = "127.0.0.1 localhost\n::1 localhost\n10.77.0.12 node2\n10.77.0.11 node1\n10.77.0.13 node3\n";
    assert_eq!(files["/etc/hosts"].1, hosts);
    let network = "[Match]\nName=eth0\n\n[Network]\nAddress=10.77.0.12/24\nGateway=10.77.0.1\nDNS=10.77.0.1\nDHCP=no\n\
                   IPv6AcceptRA=no\nLinkLocalAddressing=no\nKeepConfiguration=static\n";
    assert_eq!(files["/etc/systemd/network/10-eth0.network"].1, network);
    let node = node_file(&files);
    assert_eq!(
        (node.name.as_str(), node.control_planes.len(), node.vrid),
        ("node2", 3, demo_cluster().vrid())
    );
    assert_eq!(node.report, REPORT);
}

#[test]
fn the_operators_files_come_along() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let manifest = "# a long manifest\n".repeat(1000) + "{apiVersion: v1, kind: Namespace}\n";
    write("net.yaml", &manifest);
    write("own.ign", r#"{"ignition":{"version":"3.2.0"}}"#);
    write("kubernetes-v1.36.3-x86-64.raw", "image");
    std::os::unix::fs::symlink(
        "kubernetes-v1.36.3-x86-64.raw",
        dir.path().join("kubernetes.raw"),
    )
    .unwrap();
    let text = DEMO.replace(
        "cni: none",
        "cni: {manifests: [net.yaml, \"https://example.org/more.yaml\"]}",
    ) + "ssh: {authorizedKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMmC5mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0 me]}\n\
           ignition: {merge: [own.ign]}\nprovider: none\nsysexts:\n  kubernetes: {path: kubernetes.raw}\n  haproxy: {url: \"https://x.org/haproxy-3.raw?a=b\", sha256: "
        + &"ab".repeat(32)
        + "}\n";
    let cluster = parse_cluster(&text, dir.path());
    let files = read_operator_files(&cluster).unwrap();
    let configs = render_all_nodes(&cluster, &files, None);
    let (plane, worker) = (written_files(&configs[0]), written_files(&configs[4]));
    assert_eq!(
        plane["/etc/ha-agent/manifests.d/00-net.yaml"],
        (0o600, manifest)
    );
    assert!(!worker.contains_key("/etc/ha-agent/manifests.d/00-net.yaml"));
    let Cni::Manifests { sources } = node_file(&plane).cni else {
        panic!("another cni")
    };
    assert_eq!(sources, ["00-net.yaml", "https://example.org/more.yaml"]);
    assert_eq!(
        configs[0]["ignition"]["config"]["merge"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(configs[0]["passwd"]["users"][0]["name"], "core");
    let links = links_of(&configs[4]);
    assert_eq!(
        links["/etc/extensions/kubernetes.raw"],
        "/opt/extensions/kubernetes/kubernetes-v1.36.3-x86-64.raw"
    );
    assert_eq!(
        links["/etc/extensions/haproxy.raw"],
        "/opt/extensions/haproxy/haproxy-3.raw"
    );
    let fetched = configs[4]["storage"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["path"] == "/opt/extensions/haproxy/haproxy-3.raw");
    assert_eq!(
        fetched.unwrap()["contents"]["verification"]["hash"],
        format!("sha256-{}", "ab".repeat(32))
    );
}

#[test]
fn bad_files_of_the_operator_are_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("butane.ign"), "variant: flatcar\n").unwrap();
    let reboots = r#"{"ignition":{"version":"3.3.0"},"systemd":{"units":[{"name":"locksmithd.service","enabled":true}]}}"#;
    std::fs::write(dir.path().join("reboots.ign"), reboots).unwrap();
    let table = [
        (
            DEMO.replace("cni: none", "cni: {manifests: [gone.yaml]}"),
            "kubernetes.cni.manifests[0]: ",
        ),
        (
            format!("{DEMO}ignition: {{merge: [butane.ign]}}\n"),
            "is not an Ignition config",
        ),
        (
            format!("{DEMO}sysexts: {{kubernetes: {{path: gone.raw}}}}\n"),
            "sysexts.kubernetes: ",
        ),
        (
            format!("{DEMO}ignition: {{merge: [reboots.ign]}}\n"),
            "uses locksmithd.service, which is masked",
        ),
    ];
    for (text, expected) in table {
        let error = read_operator_files(&parse_cluster(&text, dir.path())).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Stop::BadInput(_))));
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn no_node_reboots_by_itself_and_updates_are_installed_all_the_same() {
    for config in render_all_nodes(&demo_cluster(), &OperatorFiles::default(), None) {
        let units = config["systemd"]["units"].as_array().unwrap();
        let named = |name: &str| units.iter().find(|u| u["name"] == name);
        let masked = serde_json::json!({"name": "locksmithd.service", "mask": true});
        assert_eq!(named("locksmithd.service"), Some(&masked));
        assert_eq!(named("update-engine.service"), None);
    }
}

#[test]
fn without_a_unit_of_haproxy_nothing_waits_for_its_configuration() {
    for (mode, masked) in [(LbMode::Native, false), (LbMode::StaticPod, true)] {
        let mut cluster = demo_cluster();
        cluster.load_balancer.mode = mode;
        for config in render_all_nodes(&cluster, &OperatorFiles::default(), None) {
            let units = config["systemd"]["units"].as_array().unwrap();
            let path = units.iter().find(|u| u["name"] == HAPROXY_PATH);
            assert_eq!(path.is_some_and(|u| u["mask"] == true), masked);
        }
    }
}

fn links_of(config: &Value) -> BTreeMap<&str, &str> {
    let links = config["storage"]["links"].as_array().unwrap().iter();
    links
        .map(|l| (l["path"].as_str().unwrap(), l["target"].as_str().unwrap()))
        .collect()
}

#[test]
fn the_endpoint_s_name_is_in_every_hosts_file() {
    let text = DEMO.replace(
        "endpoint: {vip: 10.77.0.30, port: 6444}",
        "endpoint: {name: k8s-api.example.org, addresses: [192.0.2.10, 192.0.2.11]}\nloadBalancer: {mode: external}",
    );
    assert_ne!(text, DEMO);
    let cluster = cluster_of_people(&text);
    let files = read_operator_files(&cluster).unwrap();
    for config in render_all_nodes(&cluster, &files, None) {
        let written = written_files(&config);
        let name = "k8s-api.example.org";
        let lines = format!("192.0.2.10 {name}\n192.0.2.11 {name}\n");
        assert!(written["/etc/hosts"].1.ends_with(&lines), "{written:?}");
        let node = node_file(&written);
        assert!(!node.runs_balancer());
        assert_eq!(node.endpoint.authority(), format!("{name}:6443"));
    }
}
