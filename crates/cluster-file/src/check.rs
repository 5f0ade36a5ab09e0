//! From text to [`Cluster`]: every fault at once, each with its place, what is wrong and what would be right.

use std::path::Path;

use crate::cluster::Cluster;
use crate::diagnostic::{Fault, Place, Severity};
use crate::file::ClusterFile;

mod build;
mod cidrs;
mod files;
mod kubeadm;
mod kubernetes;
mod machines;
mod names;
mod network;
mod nodes;
mod ports;
mod provider;
mod show;
mod syntax;
mod sysexts;

pub use show::show;

/// One concern's look at the file.
type Rule = fn(&ClusterFile, &mut Vec<Fault>);

/// Every rule, one function a concern.
const RULES: [Rule; 11] = [
    names::rules,
    network::rules,
    cidrs::rules,
    nodes::rules,
    ports::rules,
    kubernetes::rules,
    kubeadm::rules,
    provider::rules,
    provider::nodes,
    sysexts::rules,
    files::rules,
];

/// A cluster with its warnings, or all that is wrong, ordered by place. `base` is the absolute directory that relative
/// paths in the file start from; nothing is read from disk.
pub fn check(text: &str, base: &Path) -> Result<(Cluster, Vec<Fault>), Vec<Fault>> {
    let (file, mut faults) = ClusterFile::read(text);
    for rule in RULES {
        rule(&file, &mut faults);
    }
    faults.sort_by_key(|f| (f.place.line, f.place.column));
    if faults.iter().any(|f| f.severity == Severity::Error) {
        return Err(faults);
    }
    match build::cluster(file, base) {
        Some(cluster) => Ok((cluster, faults)),
        None => {
            let message = "this file passed every check and is still incomplete: a bug in ha-host";
            faults.push(Fault::error(
                Place::START,
                "",
                message,
                "please report it with the file",
            ));
            Err(faults)
        }
    }
}
