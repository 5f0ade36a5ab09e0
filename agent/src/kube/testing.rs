//! A CA and a server that plays the cluster. Tests only.

pub use ha_kube::Authority;
pub use ha_kube::testing::{Script, node_identity, run_local, test_authority};
