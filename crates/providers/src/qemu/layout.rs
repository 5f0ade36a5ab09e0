//! Names and places of one cluster's things.
//!
//! ```text
//! machines/ports.json      which port of this machine leads where          machines/NODE/   one node, see [`NodeDir`]
//! machines/_gateway/       the process that is hub and gateway             machines/_new.NODE, _old.NODE   half made, half removed
//! machines/_filter/        the process that keeps them apart               machines/_images                images below the disks
//! ```

use std::path::{Path, PathBuf};

use crate::shared::machines_dir::MachinesDir;

/// The places of a cluster. Node names are hostnames, so names that start with `_` or end in `.json` are free for other uses.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The directory of its machines.
    pub machines: MachinesDir,
}

impl Layout {
    /// `dir` is the cluster's state directory.
    pub fn new(cluster: &str, dir: &Path) -> Self {
        Self {
            machines: MachinesDir::new(cluster, dir),
        }
    }

    /// The table of forwarded ports.
    pub fn ports(&self) -> PathBuf {
        self.machines.join("ports.json")
    }

    pub fn gateway(&self) -> PathBuf {
        self.machines.join("_gateway")
    }

    /// The directory of the process between the nodes and the gateway's user network.
    pub fn filter(&self) -> PathBuf {
        self.machines.join("_filter")
    }

    pub fn node(&self, node: &str) -> NodeDir {
        NodeDir(self.machines.join(node))
    }

    /// Where a node is made, beside its place.
    pub fn new_node(&self, node: &str) -> NodeDir {
        NodeDir(self.machines.join(&format!("_new.{node}")))
    }

    /// Where a node is on its way out.
    pub fn old_node(&self, node: &str) -> PathBuf {
        self.machines.join(&format!("_old.{node}"))
    }
}

/// A node's directory (0700), whole from the moment it is there. QEMU runs in it and names its files without a path: socket
/// names are limited to 107 bytes, state directories are not.
#[derive(Debug, Clone)]
pub struct NodeDir(pub PathBuf);

impl NodeDir {
    /// Its disk, over the image.
    pub const DISK: &str = "disk.qcow2";
    /// Its Ignition config, 0600.
    pub const CONFIG: &str = "config.ign";
    /// Its UEFI variables; there if it boots by UEFI.
    pub const VARS: &str = "vars.fd";
    /// A link to the assets disk that it was made with, if any.
    pub const ASSETS: &str = "assets.img";
    /// What its agent says.
    pub const EVENTS: &str = "events.jsonl";
    /// What its console says, over all boots.
    pub const CONSOLE: &str = "console.log";
    /// The guest agent's socket.
    pub const GUEST: &str = "guest";

    /// The socket of its interface number `nic`: the gateway plugs in there.
    pub fn cable(nic: usize) -> String {
        format!("net{nic}")
    }

    /// A file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// The process, as a QEMU's directory remembers it.
pub const PID: &str = "pid";
pub const QMP: &str = "qmp";
/// What QEMU itself says.
pub const LOG: &str = "qemu.log";
