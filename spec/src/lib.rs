//! What `ha-host` and `ha-agent` must agree on. No I/O, no async.
//!
//! Three types for configuration: as written ([`file::ClusterFile`]), as valid ([`cluster::Cluster`]), as one node needs
//! it ([`node::NodeFile`]). What a node says about itself: [`event::Event`] while it works, [`status::Status`] at any time.

pub mod bakery;
#[cfg(feature = "cluster-file")]
pub mod check;
pub mod cluster;
pub mod event;
#[cfg(feature = "cluster-file")]
pub mod file;
pub mod format;
pub mod kubernetes;
pub mod node;
pub mod paths;
pub mod phase;
pub mod status;
pub mod template;
#[cfg(feature = "cluster-file")]
mod yaml;
