//! What tests of several crates share: example clusters, and the real programs that judge what is written.
#![allow(
    clippy::unwrap_used,
    missing_debug_implementations,
    reason = "helpers of tests"
)]

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use ha_cluster_file::check::check_cluster_file;
use ha_cluster_file::cluster::Cluster;
use socket2::SockRef;

pub mod corpus;
#[cfg(feature = "images")]
pub mod image_server;
pub mod real;
#[cfg(feature = "images")]
pub mod signing_keys;

/// Far longer than anything in a test takes, on a machine that runs hundreds of them side by side: what never ends is a failure,
/// not a hang.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Three control planes and two workers.
pub const DEMO: &str = "version: 1
name: demo
kubernetes: {version: 1.36.3, proxy: nftables, cni: none}
endpoint: {vip: 10.77.0.30, port: 6444}
network: {prefix: 24, gateway: 10.77.0.1, dns: [10.77.0.1]}
nodes:
  - {name: node1, role: control-plane, address: 10.77.0.11}
  - {name: node2, role: control-plane, address: 10.77.0.12}
  - {name: node3, role: control-plane, address: 10.77.0.13}
  - {name: node4, role: worker, address: 10.77.0.14}
  - {name: node5, role: worker, address: 10.77.0.15}
";

/// Nobody listens here any more. To drop it alone is not enough: a program that another test is just starting may hold a copy.
pub fn stop_listening(listener: impl AsFd) {
    SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
}

/// The demo cluster.
pub fn demo_cluster() -> Cluster {
    parse_cluster(DEMO, Path::new("/"))
}

/// A cluster from a text, with paths relative to `base`.
pub fn parse_cluster(text: &str, base: &Path) -> Cluster {
    check_cluster_file(text, base)
        .unwrap_or_else(|faults| panic!("{faults:#?}"))
        .0
}
