//! The files of `examples/`: each says what a follower of a guide gets, and is one that `check` has nothing against.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;

use ha_cluster_file::check::{check_cluster_file, render_faults};

#[test]
fn every_example_is_valid_without_a_word() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let faults = match check_cluster_file(&text, &examples) {
            Ok((_, warnings)) => warnings,
            Err(faults) => faults,
        };
        assert!(
            faults.is_empty(),
            "{}",
            render_faults(&faults, &text, &name)
        );
        names.push(name);
    }
    names.sort();
    let guides: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix("from-"))
        .collect();
    let wanted = [
        "flatcar-butane.yaml",
        "k0s.yaml",
        "kubeadm-external.yaml",
        "kubeadm-stacked.yaml",
    ];
    assert_eq!(guides, wanted);
}
