//! What is large, and what is too much.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use ha_cluster_file::check::check_cluster_file;

/// Ten times what people write is still far from the bounds of [`ha_cluster_file`]'s reader.
#[test]
fn the_largest_cluster_with_many_labels_is_within_the_bounds() {
    let labels: Vec<String> = (0..12)
        .map(|n| format!("topology.example.com/a-long-name-{n}: a-value-of-some-length-{n}"))
        .collect();
    let mut text = "name: big\nkubernetes: {version: 1.36.3, podCIDR: 100.64.0.0/11}\nendpoint: {vip: 10.8.0.30}\nnetwork: {prefix: 16, dns: [10.8.255.1]}\nnodes:\n".to_owned();
    for i in 0..5000 {
        let role = if i < 3 { "control-plane" } else { "worker" };
        text += &format!(
            "  - {{name: node{i}, role: {role}, address: 10.8.{}.{}, labels: {{{}}}, taints: [a=b:NoExecute]}}\n",
            1 + i / 250,
            1 + i % 250,
            labels.join(", ")
        );
    }
    let (cluster, warnings) = check_cluster_file(&text, Path::new("/")).unwrap();
    assert_eq!((cluster.nodes[4999].labels.len(), warnings.len()), (12, 0));
}

#[test]
fn very_many_faults_are_told_as_the_first_of_them() {
    let text: String = (0..3000).map(|n| format!("k{n}: x\n")).collect();
    let faults = check_cluster_file(&text, Path::new("/")).unwrap_err();
    assert_eq!(faults.len(), 1001);
    assert!(faults[..1000].iter().all(|f| f.place.line <= 1000));
    let last = faults.last().unwrap();
    assert!(
        last.message.ends_with(" more faults are not shown"),
        "{last:?}"
    );
}
