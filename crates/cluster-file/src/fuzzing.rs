//! What the fuzz target `cluster_file`, the replay of its corpus and the property tests hold true of every text. Not for programs.

use std::path::Path;

use crate::check::{check_cluster_file, render_faults};
use crate::cluster::Cluster;
use crate::diagnostic::{Fault, Severity};
use crate::manifest;

/// Whatever the bytes are, they are a valid cluster or faults that can be shown.
///
/// # Panics
/// If that does not hold.
pub fn cluster_file(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Any text is a manifest, or is told why not with a line of its own.
        if let Err(fault) = manifest::count_objects(text) {
            assert!(fault.line > 0 && fault.line <= text.lines().count() + 1);
        }
        cluster_text(text);
    }
}

/// The same of a text.
///
/// # Panics
/// If that does not hold.
pub fn cluster_text(text: &str) {
    let faults = match check_cluster_file(text, Path::new("/base")) {
        Ok((cluster, warnings)) => {
            assert!(warnings.iter().all(|f| f.severity == Severity::Warning));
            assert_valid(&cluster);
            warnings
        }
        Err(faults) => {
            assert!(faults.iter().any(|f| f.severity == Severity::Error));
            faults
        }
    };
    let in_order = |pair: &[Fault]| pair[0].place.line <= pair[1].place.line;
    assert!(faults.windows(2).all(in_order));
    let has_place = |f: &Fault| f.place.line > 0 && f.place.column > 0 && f.place.width > 0;
    assert!(faults.iter().all(has_place));
    assert!(!render_faults(&faults, text, "file.yaml").contains('\x1b'));
}

fn assert_valid(cluster: &Cluster) {
    let (network, vip) = (cluster.network.cidr, cluster.endpoint.vip);
    assert!(network.contains(&vip), "{network} {vip}");
    for node in &cluster.nodes {
        assert!(network.contains(&node.address) && node.address != vip);
    }
    assert!(cluster.founder().is_some());
    assert!(cluster.vrid() > 0);
}
