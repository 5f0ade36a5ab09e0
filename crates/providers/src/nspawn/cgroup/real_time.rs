//! A share of real-time scheduling, which keepalived needs to keep its deadlines on a busy machine. A new v1 group has none:
//! the kernel then refuses SCHED_RR to everybody in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Microseconds of each second for one node, best first. keepalived uses less than 5,000; one that has used its share up is
/// not run until the next second, so that a smaller one would do harm.
const NODE_SHARES_US: [u32; 2] = [60_000, 30_000];

/// Gives a node's groups their part of the cluster's, which is enough for `control_planes` such nodes. No error if the host
/// has none left, or knows no such thing (cgroup v2, a kernel without RT_GROUP_SCHED): keepalived then runs with its nice level.
pub fn give_share(groups: &[PathBuf], control_planes: u32) {
    for pair in groups.chunks(2) {
        let [cluster, node] = pair else { continue };
        // The same for all nodes and never read: nodes that start at once cannot take each other's part.
        NODE_SHARES_US.iter().any(|share| {
            set_runtime(cluster, share * control_planes).is_ok()
                && set_runtime(node, *share).is_ok()
        });
    }
}

/// Never creates the file.
fn set_runtime(group: &Path, microseconds: u32) -> std::io::Result<()> {
    let file = group.join("cpu.rt_runtime_us");
    let mut file = std::fs::File::options()
        .write(true)
        .truncate(true)
        .open(file)?;
    file.write_all(microseconds.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hierarchy's groups of a cluster and its node.
    fn make_groups(dir: &Path, hierarchy: &str) -> [PathBuf; 2] {
        let cluster = dir.join(hierarchy).join("ha-demo");
        let node = cluster.join("node1");
        std::fs::create_dir_all(&node).unwrap();
        [cluster, node]
    }

    fn read_runtime(group: &Path) -> String {
        std::fs::read_to_string(group.join("cpu.rt_runtime_us")).unwrap()
    }

    #[test]
    fn the_cluster_gets_enough_for_all_control_planes_and_the_node_its_part() {
        let dir = tempfile::tempdir().unwrap();
        let (cpu, memory) = (
            make_groups(dir.path(), "cpu"),
            make_groups(dir.path(), "memory"),
        );
        for group in &cpu {
            std::fs::write(group.join("cpu.rt_runtime_us"), "0\n").unwrap();
        }
        give_share(&[memory.clone(), cpu.clone()].concat(), 3);
        assert_eq!(cpu.map(|group| read_runtime(&group)), ["180000", "60000"]);
        for group in memory {
            assert!(!group.join("cpu.rt_runtime_us").exists());
        }
    }

    #[test]
    fn a_host_that_has_none_to_give_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let [cluster, node] = make_groups(dir.path(), "cpu");
        // Takes no byte, like a group whose parent has nothing left.
        std::os::unix::fs::symlink("/dev/full", cluster.join("cpu.rt_runtime_us")).unwrap();
        std::fs::write(node.join("cpu.rt_runtime_us"), "0").unwrap();
        give_share(&[cluster, node.clone()], 3);
        assert_eq!(read_runtime(&node), "0");
    }
}
