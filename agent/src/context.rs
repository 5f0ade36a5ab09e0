//! What every phase is handed: the node's own description, the machine behind small traits, and a voice.

use std::sync::Arc;

use ha_wire::node::NodeFile;

use crate::sys::Sys;
use crate::tell::Tell;

/// Everything a phase may use. Cheap to clone; nothing in it changes but what [`Tell`] records.
#[derive(Debug, Clone)]
pub struct Context {
    /// What this node is.
    pub node: Arc<NodeFile>,
    /// The machine: units, commands, files, clock.
    pub sys: Sys,
    /// Journal, sd_notify, state file and events, all from one place.
    pub tell: Tell,
}
