//! Files that are right, and what comes of them.
#![cfg(feature = "cluster-file")]

use std::path::Path;

use ha_spec::check::{check, show};
use ha_spec::cluster::{Cluster, Provider};

fn cluster(text: &str) -> Cluster {
    match check(text, Path::new("/base")) {
        Ok((cluster, warnings)) => {
            assert!(warnings.is_empty(), "{}", show(&warnings, text, "file"));
            cluster
        }
        Err(faults) => panic!("{}", show(&faults, text, "file")),
    }
}

#[test]
fn the_demo_is_valid() {
    let cluster = cluster(include_str!("../../examples/demo.yaml"));
    assert_eq!(cluster.name, "demo");
    assert_eq!(cluster.endpoint.authority(), "10.77.0.30:6444");
    assert_eq!(cluster.control_planes().count(), 3);
    assert_eq!(cluster.founder().unwrap().name, "node1");
    assert_eq!(cluster.network.cidr.to_string(), "10.77.0.0/24");
    let Provider::Nspawn(options) = &cluster.provider else {
        panic!("{:?}", cluster.provider)
    };
    assert_eq!(options.image, Path::new("/base/../lab/out/image"));
    assert_eq!(cluster.sysexts.len(), 4);
}
