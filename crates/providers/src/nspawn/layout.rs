//! Names and places of one cluster's things. Whatever is made is found again from here, by this cluster's names alone.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_wire::hash::fnv1a_64;
use serde::{Deserialize, Serialize};

use crate::shared::interface_name::shorten_name;
use crate::shared::machines_dir::MachinesDir;

/// Where iproute2 keeps named network namespaces.
pub const NETNS_DIR: &str = "/run/netns";

/// Directories of the node that must not lie on an overlay: name below `data/`, place in the node, mode.
pub const DATA: [(&str, &str, u32); 4] = [
    ("containerd", "/var/lib/containerd", 0o711),
    ("containers", "/var/lib/containers", 0o755),
    ("etcd", "/var/lib/etcd", 0o700),
    ("kubelet", "/var/lib/kubelet", 0o755),
];

/// The places of a cluster. Node names are hostnames, so names that start with `_` are free for other uses.
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

    /// Local system extensions, one directory each, bound into every node.
    pub fn extensions(&self) -> PathBuf {
        self.machines.join("_extensions")
    }

    /// What says that the network is this cluster's own: the boot and the inode of its namespace.
    pub fn network_record(&self) -> PathBuf {
        self.machines.join("_network")
    }

    pub fn node(&self, node: &str) -> NodeDir {
        NodeDir(self.machines.join(node))
    }

    /// The namespace that holds the bridge.
    pub fn bridge_namespace(&self) -> String {
        format!("ha-{}", self.machines.cluster())
    }

    /// The host's interface into the cluster.
    pub fn host_link(&self) -> String {
        shorten_name(&self.bridge_namespace())
    }

    /// The machine's name for nspawn, unique on this host among clusters of different names.
    pub fn machine(&self, node: &str) -> String {
        let name = format!("{}.{node}", self.machines.cluster());
        if name.len() <= 64 {
            name
        } else {
            format!("ha-{:016x}", fnv1a_64(&name))
        }
    }

    /// How one node is wired. The first dot parts cluster and node: a cluster's name holds none, so `a` + `b-c` is not `a-b` + `c`.
    pub fn wiring(&self, node: &str, interface: &str) -> Wiring {
        let mac = fnv1a_64(&format!("{}.{node}", self.machines.cluster())).to_be_bytes();
        Wiring {
            record: self.network_record(),
            bridge: self.bridge_namespace(),
            namespace: format!("ha-{}.{node}", self.machines.cluster()),
            port: shorten_name(&format!("p-{node}")),
            interface: interface.into(),
            // 02: locally administered, unicast. Always the same, so that a node comes back to warm neighbour tables.
            mac: format!(
                "02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
                mac[0], mac[1], mac[2], mac[3], mac[4]
            ),
        }
    }
}

/// How one node is wired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wiring {
    /// What says whose the bridge is: [`Layout::network_record`].
    pub record: PathBuf,
    /// Namespace of the bridge.
    pub bridge: String,
    /// The node's own namespace.
    pub namespace: String,
    /// The bridge's end of the node's cable.
    pub port: String,
    pub interface: String,
    pub mac: String,
}

impl Wiring {
    /// The file that names the node's namespace.
    pub fn path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(&self.namespace)
    }
}

/// A node's directory (0700).
#[derive(Debug, Clone)]
pub struct NodeDir(pub PathBuf);

impl NodeDir {
    /// The writable layer of its disk.
    pub const UPPER: &str = "upper";
    /// overlayfs's scratch directory.
    pub const WORK: &str = "work";
    /// Where its keeper mounts the disk, seen by the keeper alone.
    pub const ROOT: &str = "root";
    /// Directories that must not lie on an overlay.
    pub const DATA: &str = "data";
    /// The file that is its disk, if that is an image (`disks: image`).
    pub const DISK: &str = "disk.img";
    /// Where its keeper mounts that, seen by the keeper alone.
    pub const MOUNTED: &str = "disk";
    /// The boot and, of that boot, the loop device that it is mounted by.
    pub const LOOP: &str = "disk.loop";
    /// A copy of it at the instant of a power cut.
    pub const CUT: &str = "disk.cut";
    /// Bound to /run/ha-host in the node.
    pub const REPORT: &str = "report";
    /// The root directory of the image below its disk: a path, written once.
    pub const IMAGE: &str = "image";
    /// Locked by its keeper: there is never a second one.
    pub const KEEPER_LOCK: &str = "keeper.lock";
    /// What its keeper needs to know.
    pub const PLAN: &str = "boot.json";
    /// There once Ignition has finished: from then on this is a disk that nobody touches.
    pub const MADE: &str = "made";
    pub const KEEPER_PID: &str = "keeper.pid";
    /// systemd-nspawn, supervised by the keeper.
    pub const NSPAWN_PID: &str = "nspawn.pid";
    /// The node's PID 1 as the host sees it.
    pub const LEADER_PID: &str = "leader.pid";
    /// The boot and, of that boot, its cgroups: one path a line, parents first.
    pub const CGROUPS: &str = "cgroups";
    /// What the keeper says.
    pub const KEEPER_LOG: &str = "keeper.log";
    /// What the node's console says.
    pub const CONSOLE: &str = "console.log";
    pub const IGNITION_LOG: &str = "ignition.log";

    /// A file or directory in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Makes a directory with its parents, and gives it this mode whatever the umask.
pub fn make_dir(dir: &Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .and_then(|()| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)))
        .with_context(|| format!("cannot make the directory {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_different_things_never_meet() {
        let (a, ab) = (
            Layout::new("a", Path::new("/s")),
            Layout::new("a-b", Path::new("/s")),
        );
        assert_ne!(
            a.wiring("b-c", "eth0").namespace,
            ab.wiring("c", "eth0").namespace
        );
        assert_ne!(a.wiring("b", "eth0").namespace, ab.bridge_namespace());
        assert_ne!(a.wiring("n1", "eth0").mac, a.wiring("n2", "eth0").mac);
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        let long = "a-very-long-name-of-a-node-that-nobody-should-use-but-may";
        let layout = Layout::new(long, Path::new("/s"));
        assert_eq!(layout.host_link().len(), 15);
        assert_eq!(Layout::new("demo", Path::new("/s")).host_link(), "ha-demo");
        assert_eq!(layout.wiring("node1", "eth0").port, "p-node1");
        let (one, two) = (
            layout.wiring(&format!("{long}1"), "eth0"),
            layout.wiring(&format!("{long}2"), "eth0"),
        );
        assert_eq!(one.port.len(), 15);
        assert_ne!(one.port, two.port);
        assert!(layout.machine(long).len() <= 64);
    }
}
