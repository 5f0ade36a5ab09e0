//! What this cluster's things are called at libvirt, and how they are known for ours.
//!
//! Domains and networks carry a mark in their `<metadata>`: cluster, node and the id of the state directory that made them.
//! Volumes cannot, so that id is part of their names. What lacks it is never changed or removed.

use crate::shared::interface_name::shorten_name;

/// XML namespace of the mark.
pub const NAMESPACE: &str = "https://github.com/flatcar-ha/libvirt/1";
/// Begin of the names of what clusters share.
const SHARED: &str = "ha-host";

/// The names of one cluster's things.
#[derive(Debug, Clone)]
pub struct Names {
    cluster: String,
    state: String,
}

/// What a volume is to its node; the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeRole {
    /// The node's own disk.
    Disk,
    /// Its Ignition config.
    Ignition,
    /// Its events, where the daemon cannot write into our state directory.
    Events,
    /// Its console, likewise.
    Console,
}

impl VolumeRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Disk, Self::Ignition, Self::Events, Self::Console];

    fn suffix(self) -> &'static str {
        match self {
            Self::Disk => "qcow2",
            Self::Ignition => "ign",
            Self::Events => "events",
            Self::Console => "console",
        }
    }
}

impl Names {
    /// `state` is the id of the state directory.
    pub fn new(cluster: &str, state: &str) -> Self {
        Self {
            cluster: cluster.into(),
            state: state.into(),
        }
    }

    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The id of the state directory.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// A node's domain, as people see it in virt-manager.
    pub fn domain(&self, node: &str) -> String {
        format!("{}-{node}", self.cluster)
    }

    /// A node's volume. A cluster's name holds no dot, a node's may.
    pub fn volume(&self, node: &str, part: VolumeRole) -> String {
        format!("{}.{node}.{}.{}", self.cluster, self.state, part.suffix())
    }

    /// The assets disk of this content; `stem` is its file's name without the end.
    pub fn assets(&self, stem: &str) -> String {
        format!("{}.assets.{}.{stem}.img", self.cluster, self.state)
    }

    /// A volume that clusters share: `what` is `image`, `kernel` or `initrd`, `identity` its content.
    pub fn shared(&self, what: &str, identity: &str) -> String {
        format!("{}{}", Self::shared_by_all(what, identity), self.state)
    }

    /// The begin of the same volume's name, whoever uploaded it.
    pub fn shared_by_all(what: &str, identity: &str) -> String {
        format!("{SHARED}.{what}.{identity}.")
    }

    /// Whether a volume is this state directory's, and its cluster's alone.
    pub fn owns(&self, volume: &str) -> bool {
        let mut parts = volume.split('.');
        parts.next() == Some(&self.cluster) && parts.skip(1).any(|part| part == self.state)
    }

    /// Whether a volume is this state directory's for a node.
    pub fn is_of_node(&self, volume: &str, node: &str) -> bool {
        VolumeRole::ALL
            .iter()
            .any(|part| self.volume(node, *part) == volume)
    }

    /// Whether a volume is one that clusters share.
    pub fn is_shared(volume: &str) -> bool {
        volume
            .strip_prefix(SHARED)
            .is_some_and(|rest| rest.starts_with('.'))
    }

    /// Whether this state directory uploaded a shared volume.
    pub fn uploaded(&self, volume: &str) -> bool {
        Self::is_shared(volume) && volume.split('.').nth(3) == Some(&self.state)
    }

    /// The cluster's own network.
    pub fn network(&self) -> String {
        format!("ha-{}", self.cluster)
    }

    /// Its bridge.
    pub fn bridge(&self) -> String {
        shorten_name(&self.network())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_state_is_ours() {
        let (ours, theirs) = (Names::new("demo", "aa11"), Names::new("demo", "bb22"));
        for part in VolumeRole::ALL {
            assert!(ours.owns(&ours.volume("node1", part)));
            assert!(!ours.owns(&theirs.volume("node1", part)));
            assert!(ours.owns(&ours.volume("node1.example.com", part)));
            assert!(!ours.owns(&theirs.volume("node1.example.com", part)));
        }
        assert!(ours.owns(&ours.assets("ff00")));
        assert!(
            !ours.owns("demo.img")
                && !ours.owns("demo.aa11.x.y")
                && !ours.owns("demo-2.n.aa11.qcow2")
        );
        let shared = ours.shared("image", "1234");
        assert!(
            Names::is_shared(&shared)
                && ours.uploaded(&shared)
                && !theirs.uploaded(&shared)
                && !ours.owns(&shared)
        );
        assert!(shared.starts_with(&Names::shared_by_all("image", "1234")));
    }
}
