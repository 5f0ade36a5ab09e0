//! Names and places of one cluster's things.
//!
//! ```text
//! machines/ports.json      which port of this machine leads where          machines/NODE/   one node, see [`NodeDir`]
//! machines/_gateway/       the process that is hub and gateway             machines/_new.NODE, _old.NODE   half made, half removed
//! machines/_filter/        the process that keeps them apart               machines/_images                images below the disks
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The places of a cluster. Node names are DNS labels, so names that start with `_` or hold a dot are free for other uses.
#[derive(Debug, Clone)]
pub struct Layout {
    cluster: String,
    machines: PathBuf,
}

impl Layout {
    /// `dir` is the cluster's state directory.
    pub fn new(cluster: &str, dir: &Path) -> Self {
        Self {
            cluster: cluster.into(),
            machines: dir.join("machines"),
        }
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The directory that holds everything of the provider.
    pub fn machines(&self) -> &Path {
        &self.machines
    }

    /// The table of forwarded ports.
    pub fn ports(&self) -> PathBuf {
        self.machines.join("ports.json")
    }

    /// The gateway's directory.
    pub fn gateway(&self) -> PathBuf {
        self.machines.join("_gateway")
    }

    /// The directory of the process between the nodes and the gateway's user network.
    pub fn filter(&self) -> PathBuf {
        self.machines.join("_filter")
    }

    /// A node's places.
    pub fn node(&self, node: &str) -> NodeDir {
        NodeDir(self.machines.join(node))
    }

    /// Where a node is made, beside its place.
    pub fn new_node(&self, node: &str) -> NodeDir {
        NodeDir(self.machines.join(format!("_new.{node}")))
    }

    /// Where a node is on its way out.
    pub fn old_node(&self, node: &str) -> PathBuf {
        self.machines.join(format!("_old.{node}"))
    }

    /// Names of all nodes that have a directory, whatever the cluster file says today.
    pub fn nodes(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.machines) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => {
                entries.with_context(|| format!("cannot read {}", self.machines.display()))?
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry =
                entry.with_context(|| format!("cannot read {}", self.machines.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('_') && entry.path().is_dir() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
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
/// QEMU's monitor.
pub const QMP: &str = "qmp";
/// What QEMU itself says.
pub const LOG: &str = "qemu.log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_node_directories_are_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new("demo", dir.path());
        assert_eq!(layout.nodes().unwrap(), Vec::<String>::new());
        for name in ["node2", "node1", "_gateway", "_new.node3"] {
            std::fs::create_dir_all(layout.machines().join(name)).unwrap();
        }
        std::fs::write(layout.ports(), "").unwrap();
        assert_eq!(layout.nodes().unwrap(), ["node1", "node2"]);
    }
}
