//! A valid cluster as data: what ha-host keeps of an accepted file.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use ha_cluster_file::check::{check_cluster_file, read_accepted_file};
use ha_cluster_file::cluster::Cluster;

const EVERY_KEY: &str = include_str!("good/every-key.yaml");

/// Files that hold, among them, every kind of everything.
fn accepted_texts() -> Vec<String> {
    let begin = "name: a\nkubernetes: {version: 1.36.3, cni: {manifests: [mine.yaml, \"https://example.com/x.yaml\"]}}\n\
        endpoint: {vip: \"10.9.0.30\"}\nnetwork: {prefix: 24}\nnodes:\n";
    let node = |more: &str| {
        format!("  - {{name: n1, role: control-plane, address: \"10.9.0.11\"{more}}}\n")
    };
    let mut all = vec![EVERY_KEY.to_owned()];
    for provider in [
        "provider: none\n",
        "provider: {nspawn: {image: img, sysexts: directory}}\nsysexts: none\n",
        "provider: {nspawn: {image: img, disks: image}}\nsysexts: none\n",
        "provider: {libvirt: {network: own, image: {channel: beta, version: 4230.1.0}}}\nassets: download\n",
        "provider: {libvirt: {network: lan, firmware: uefi, accel: kvm}}\n",
        "provider: {libvirt: {network: {bridge: br0}, autostart: true}}\n",
    ] {
        all.push(format!("{begin}{}{provider}", node("")));
    }
    let elsewhere = node(", uri: \"qemu+ssh://other/system\"");
    all.push(format!(
        "{begin}{elsewhere}provider: {{libvirt: {{network: {{bridge: br0}}}}}}\n"
    ));
    all
}

fn check_valid(text: &str) -> Cluster {
    check_cluster_file(text, Path::new("/base"))
        .unwrap_or_else(|faults| panic!("{text}{faults:#?}"))
        .0
}

#[test]
fn it_comes_back_as_it_went() {
    for text in accepted_texts() {
        let cluster = check_valid(&text);
        let json = serde_json::to_string(&cluster).unwrap();
        assert_eq!(
            serde_json::from_str::<Cluster>(&json).unwrap(),
            cluster,
            "{json}"
        );
    }
}

#[test]
fn an_accepted_file_means_what_it_meant_when_it_was_judged() {
    for text in accepted_texts() {
        assert_eq!(
            read_accepted_file(&text, Path::new("/base")).unwrap(),
            check_valid(&text)
        );
    }
}
