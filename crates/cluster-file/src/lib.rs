//! The language of `cluster.yaml`: as written ([`file::ClusterFile`]), judged with all faults at once
//! ([`check::check_cluster_file`]), as valid ([`cluster::Cluster`]). Reads text, never the disk or the network.

pub mod bakery;
pub mod check;
pub mod cluster;
pub mod diagnostic;
pub mod file;
#[doc(hidden)]
pub mod fuzzing;
pub mod manifest;
pub mod minors;
mod passwords;
mod suggest;
pub mod template;
mod unseen;
mod version;
mod yaml;
