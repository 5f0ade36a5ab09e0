//! Cluster files of clusters of another shape than the usual one: both families, an etcd or a balancer elsewhere.

use std::path::Path;

use ha_cluster_file::check::check_cluster_file;
use ha_wire::settings::LbMode;

mod least;

use least::{LEAST, valid_cluster};

#[test]
fn containers_run_the_balancer_by_digest_and_without_its_sysexts() {
    let digest = "0123456789abcdef".repeat(4);
    let image = |name| format!("registry.example.org/{name}@sha256:{digest}");
    let images = format!(
        "images: {{keepalived: {}, haproxy: {}}}",
        image("keepalived"),
        image("haproxy")
    );
    for (mode, word, more) in [
        (LbMode::StaticPod, "staticPod", ""),
        (LbMode::Quadlet, "quadlet", "flatcarExtensions: [podman]\n"),
    ] {
        let text = format!("{LEAST}loadBalancer: {{mode: {word}, {images}}}\n{more}");
        let (cluster, warnings) = check_cluster_file(&text, Path::new("/base")).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(cluster.load_balancer.mode, mode);
        let images = cluster.load_balancer.images.unwrap();
        assert_eq!(images.haproxy, image("haproxy"));
        let brought: Vec<_> = cluster.sysexts.keys().map(String::as_str).collect();
        assert_eq!(brought, ["cilium", "ha-agent", "kubernetes"]);
    }
}

#[test]
fn an_external_etcd_goes_with_any_number_of_control_planes() {
    let endpoints =
        r#"["https://10.0.0.41:2379/", "https://10.0.0.42:2379", "https://[fd00::43]:2379"]"#;
    let etcd = format!(
        "etcd: {{external: {{endpoints: {endpoints}, caFile: ca.crt, certFile: /c.crt, keyFile: c.key}}}}"
    );
    let second = "nodes:\n  - {name: node0, role: control-plane, address: 10.77.0.10}\n";
    let text = LEAST
        .replace("{version: 1.36.3}", &format!("{{version: 1.36.3, {etcd}}}"))
        .replace("nodes:\n", second);
    let (cluster, faults) = check_cluster_file(&text, Path::new("/base")).unwrap();
    assert_eq!(faults, []);
    let etcd = cluster.kubernetes.external_etcd().unwrap();
    assert_eq!(etcd.endpoints[0], "https://10.0.0.41:2379");
    assert_eq!(etcd.ca_file, Path::new("/base/ca.crt"));
    assert_eq!(etcd.cert_file, Path::new("/c.crt"));
    assert_eq!(valid_cluster(LEAST).kubernetes.external_etcd(), None);
}

#[test]
fn pairs_of_nodes_and_prefix_are_enough_for_both_families() {
    let second = |n: usize| {
        (
            format!("10.77.0.{n}}}"),
            format!("[10.77.0.{n}, \"fd00:77::{n}\"]}}"),
        )
    };
    let text = LEAST.replace("prefix: 24", "prefix: [24, 64]");
    let text = (11..20)
        .map(second)
        .fold(text, |text, (one, two)| text.replace(&one, &two));
    let cluster = valid_cluster(&text);
    let second = cluster.secondary.as_ref().unwrap();
    let seen = [second.cidr, second.pod_cidr, second.service_cidr].map(|net| net.to_string());
    assert_eq!(
        seen,
        ["fd00:77::/64", "fd00:10:244::/56", "fd00:10:96::/112"]
    );
    assert_eq!(second.gateway.to_string(), "fd00:77::1");
    assert_eq!(cluster.kubernetes.pod_cidr.to_string(), "10.244.0.0/16");
    for node in &cluster.nodes {
        let all: Vec<String> = node.addresses().map(|at| at.to_string()).collect();
        assert_eq!(all[1], all[0].replace("10.77.0.", "fd00:77::"));
    }
    // With IPv6 first, and all that may be said.
    let cluster = valid_cluster(include_str!("good/dual-stack.yaml"));
    let second = cluster.secondary.as_ref().unwrap();
    assert_eq!((second.prefix, second.gateway), (24, [10, 77, 0, 9].into()));
    assert_eq!(cluster.kubernetes.service_cidr.to_string(), "fd02::/112");
    assert_eq!(second.pod_cidr.to_string(), "10.1.0.0/16");
}

/// They are machines like the others, and no nodes of Kubernetes: a port that these have is free there.
#[test]
fn the_load_balancer_may_have_machines_of_its_own() {
    let text = format!(
        "{LEAST}loadBalancer:
  mode:
    machines:
      - {{name: lb1, address: 10.77.0.21}}
      - {{name: lb2, address: 10.77.0.22, mac: \"52:54:00:00:00:22\"}}\n"
    );
    let text = text.replace("vip: 10.77.0.30", "vip: 10.77.0.30, port: 6443");
    let cluster = valid_cluster(&text);
    let machines: Vec<_> = cluster.balancer_machines().collect();
    assert_eq!(cluster.nodes.last(), machines.last().copied());
    for (machine, address) in machines.iter().zip(["10.77.0.21", "10.77.0.22"]) {
        assert_eq!(machine.address.to_string(), address);
        assert!(machine.mac.is_some(), "a virtual machine has one");
        assert!(cluster.runs_balancer(machine));
    }
    assert_eq!((machines.len(), cluster.control_planes().count()), (2, 3));
    assert!(!cluster.control_planes().any(|n| cluster.runs_balancer(n)));
}

/// The nodes' network is told by the first node: the balancer may be anywhere.
#[test]
fn somebody_elses_balancer_is_somewhere_else() {
    let text = include_str!("bad/base.yaml");
    let old = "endpoint: {vip: 10.77.0.30}";
    let new = "endpoint: {name: k8s-api.example.org, addresses: [192.0.2.10, 192.0.2.11]}\n\
               loadBalancer: {mode: external}";
    let (cluster, warnings) = check_cluster_file(&text.replace(old, new), Path::new("/")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let endpoint = &cluster.endpoint;
    assert_eq!(endpoint.authority(), "k8s-api.example.org:6443");
    assert_eq!(endpoint.socket().to_string(), "192.0.2.10:6443");
    assert_eq!(endpoint.further_addresses.len(), 1);
    let network = &cluster.network;
    assert_eq!(
        (network.cidr.to_string(), network.gateway.to_string()),
        ("10.77.0.0/24".to_owned(), "10.77.0.1".to_owned())
    );
    assert!(cluster.has_external_balancer() && cluster.own_vip().is_none());
    assert!(!cluster.nodes.iter().any(|node| cluster.runs_balancer(node)));
    let names: Vec<&String> = cluster.sysexts.keys().collect();
    assert!(
        names.iter().all(|n| *n != "keepalived" && *n != "haproxy"),
        "{names:?}"
    );
}

/// The nodes' network, and its router, are told by the first node.
#[test]
fn a_vip_may_be_in_another_network_than_the_nodes() {
    let elsewhere = LEAST.replace("vip: 10.77.0.30", "vip: 192.0.2.30, interface: eth1");
    let cluster = valid_cluster(&elsewhere);
    assert_eq!(cluster.network, valid_cluster(LEAST).network);
    assert_eq!(cluster.endpoint.interface.as_deref(), Some("eth1"));
    assert_eq!(cluster.own_vip(), Some([192, 0, 2, 30].into()));
}
