use std::path::PathBuf;

use ha_test_support::{DEMO, demo_cluster};

use super::*;

/// Never changes: what was accepted by released versions looks like this.
const V1: &str = include_str!("v1.json");

fn demo_record() -> ClusterRecord {
    ClusterRecord::new("demo", PathBuf::from("/"), PathBuf::from("demo.yaml"))
}

fn dir_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn reads_the_frozen_v1() {
    let cluster = parse_accepted(V1).unwrap();
    assert_eq!(accepted_text(&cluster).unwrap(), V1);
    let names: Vec<&str> = cluster.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["node1", "node2", "node3", "node4"]);
    assert_eq!(cluster.endpoint.authority(), "192.168.122.30:7443");
    assert_eq!(cluster.provider.name(), "qemu");
    assert_eq!(
        cluster.nodes[3].mac.unwrap().to_string(),
        "52:54:00:00:00:34"
    );
}

#[test]
fn another_version_is_refused_and_guessed_at_by_nobody() {
    let newer = V1.replacen("\"version\": 1", "\"version\": 2", 1);
    let dir = dir_with(&[(FILE, &newer), (TEXT, DEMO)]);
    for read in [read_accepted, read_for_removal] {
        let error = format!("{:#}", read(dir.path(), &demo_record()).unwrap_err());
        assert!(
            error.contains("version 2 is not known") && error.contains(FILE),
            "{error}"
        );
    }
}

#[test]
fn a_directory_without_data_is_read_by_its_text_and_judged_by_no_rule() {
    let old = DEMO.replace("1.36.3", "1.32.9");
    let cluster = read_accepted(dir_with(&[(TEXT, &old)]).path(), &demo_record())
        .unwrap()
        .unwrap();
    assert_eq!(
        cluster.nodes,
        ha_test_support::parse_cluster(DEMO, Path::new("/")).nodes
    );
    assert_eq!(
        read_accepted(dir_with(&[]).path(), &demo_record()).unwrap(),
        None
    );
}

#[test]
fn the_data_is_believed_before_the_text() {
    let data = accepted_text(&demo_cluster()).unwrap();
    let dir = dir_with(&[(FILE, &data), (TEXT, "name: other\n")]);
    assert_eq!(
        read_accepted(dir.path(), &demo_record()).unwrap(),
        Some(demo_cluster())
    );
}

#[test]
fn removal_needs_no_more_than_the_provider() {
    let text = "name: demo\nnodes: {a: b}\nprovider: {qemu: {disks: 3}}\n";
    let dir = dir_with(&[(TEXT, text)]);
    let error = format!(
        "{:#}",
        read_accepted(dir.path(), &demo_record()).unwrap_err()
    );
    assert!(error.contains("ha-host destroy demo"), "{error}");
    let cluster = read_for_removal(dir.path(), &demo_record())
        .unwrap()
        .unwrap();
    assert_eq!(
        (cluster.name.as_str(), cluster.provider.name()),
        ("demo", "qemu")
    );
}

#[test]
fn machines_that_nobody_knows_the_maker_of_are_not_forgotten() {
    let dir = dir_with(&[]);
    assert_eq!(
        read_for_removal(dir.path(), &demo_record()).unwrap(),
        None,
        "no machine was made"
    );
    std::fs::create_dir(dir.path().join("machines")).unwrap();
    for text in [None, Some("provider: vmware\n")] {
        if let Some(text) = text {
            std::fs::write(dir.path().join(TEXT), text).unwrap();
        }
        let error = format!(
            "{:#}",
            read_for_removal(dir.path(), &demo_record()).unwrap_err()
        );
        assert!(
            error.contains("write `provider: PROVIDER` into it"),
            "{error}"
        );
    }
}
