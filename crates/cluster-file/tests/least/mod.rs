//! The least cluster file that is right.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use ha_cluster_file::check::{check_cluster_file, render_faults};
use ha_cluster_file::cluster::Cluster;

/// The cluster of a file that is right without a warning.
pub fn valid_cluster(text: &str) -> Cluster {
    match check_cluster_file(text, Path::new("/base")) {
        Ok((cluster, warnings)) => {
            assert!(
                warnings.is_empty(),
                "{}",
                render_faults(&warnings, text, "file")
            );
            cluster
        }
        Err(faults) => panic!("{}", render_faults(&faults, text, "file")),
    }
}

/// Six keys.
pub const LEAST: &str = "
name: demo
kubernetes: {version: 1.36.3}
endpoint: {vip: 10.77.0.30}
network: {prefix: 24, dns: [10.77.0.1]}
nodes:
  - {name: node1, role: control-plane, address: 10.77.0.11}
  - {name: node2, role: control-plane, address: 10.77.0.12}
  - {name: node3, role: control-plane, address: 10.77.0.13}
";
