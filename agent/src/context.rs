//! What every phase is handed: the node's own description, the machine behind small traits, a voice, and clients.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use ha_wire::node::NodeFile;

use crate::clients::Clients;
use crate::report::Reporter;
use crate::sys::Sys;

/// Everything a phase may use. Cheap to clone; nothing in it changes but what [`Reporter`] records,
/// [`Clients`] keeps and a founder has seen.
#[derive(Debug, Clone)]
pub struct Context {
    /// What this node is.
    pub node: Arc<NodeFile>,
    /// The machine: units, commands, files, clock.
    pub sys: Sys,
    /// Journal, sd_notify, state file and events, all from one place.
    pub report: Reporter,
    /// Clients of the API and of etcd, each made once.
    pub clients: Rc<Clients>,
    /// Who answered under this cluster's CA while this node decided whether it founds the cluster.
    pub cluster_seen_at: Rc<OnceCell<String>>,
}
