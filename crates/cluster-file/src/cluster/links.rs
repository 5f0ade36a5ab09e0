//! What a node's interface is made of, where it is not a device itself.

use serde::{Deserialize, Serialize};

/// Several interfaces as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Bond {
    /// What it is called.
    pub name: String,
    /// What it is made of.
    pub members: Vec<String>,
    /// As the kernel and networkd call it.
    pub mode: String,
}

/// A VLAN of another interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Vlan {
    /// 1 to 4094.
    pub id: u16,
    /// The interface that its packets come by.
    pub link: String,
}
