//! Where the hierarchies are mounted, and where a process stands in them.

use std::path::PathBuf;

/// One mounted hierarchy and where a process stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    mount: PathBuf,
    /// The process's group, relative to the mount.
    path: String,
    /// Its controllers; a version 2 hierarchy has an empty list here.
    pub controllers: Vec<String>,
}

impl Hierarchy {
    /// The process's group.
    pub fn dir(&self) -> PathBuf {
        self.mount.join(self.path.trim_start_matches('/'))
    }

    /// Version 2, whether or not it has controllers.
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// Marries `/proc/self/mountinfo` with `/proc/PID/cgroup`.
pub fn parse_hierarchies(mountinfo: &str, cgroup: &str) -> Vec<Hierarchy> {
    let mounts: Vec<_> = mountinfo.lines().filter_map(parse_mount).collect();
    let own = cgroup.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some((controllers, path))
    });
    own.filter_map(|(controllers, path)| {
        let list: Vec<String> = controllers
            .split(',')
            .filter(|c| !c.is_empty())
            .map(String::from)
            .collect();
        let found = mounts.iter().find(|m| {
            if list.is_empty() {
                m.v2
            } else {
                !m.v2 && list.iter().all(|c| m.has(c))
            }
        })?;
        let path = path
            .strip_prefix(found.root.trim_end_matches('/'))
            .unwrap_or(path);
        Some(Hierarchy {
            mount: found.point.clone(),
            path: path.into(),
            controllers: list,
        })
    })
    .collect()
}

/// A cgroup mount: root within the hierarchy, mount point, options.
struct Mount<'a> {
    root: &'a str,
    point: PathBuf,
    v2: bool,
    options: &'a str,
}

impl Mount<'_> {
    fn has(&self, controller: &str) -> bool {
        self.options.split(',').any(|option| option == controller)
    }
}

fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let v2 = match right.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let options = right.nth(1)?;
    let mut left = left.split(' ').skip(3);
    Some(Mount {
        root: left.next()?,
        point: left.next()?.into(),
        v2,
        options,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{CgroupLayout, cgroup_layout, missing_controllers, node_groups, proc_files};
    use super::*;

    const HYBRID_MOUNTS: &str = "\
30 23 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";
    const HYBRID_OWN: &str = "4:memory:/box/1\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n";

    #[test]
    fn hybrid_hierarchies_are_found() {
        let found = parse_hierarchies(HYBRID_MOUNTS, HYBRID_OWN);
        assert_eq!(cgroup_layout(&found), CgroupLayout::V1);
        let dirs = node_groups(&found, "demo", "node1");
        assert_eq!(dirs[0], Path::new("/sys/fs/cgroup/memory/box/1/ha-demo"));
        assert_eq!(
            dirs[1],
            Path::new("/sys/fs/cgroup/memory/box/1/ha-demo/node1")
        );
        assert_eq!(
            dirs[3],
            Path::new("/sys/fs/cgroup/cpu,cpuacct/ha-demo/node1")
        );
        assert_eq!(dirs[7], Path::new("/sys/fs/cgroup/unified/ha-demo/node1"));
        assert_eq!(
            proc_files(&dirs)[3],
            Path::new("/sys/fs/cgroup/unified/ha-demo/node1/cgroup.procs")
        );
        assert_eq!(missing_controllers(&found), ["cpuset", "pids", "devices"]);
    }

    #[test]
    fn version_2_and_a_mount_that_shows_a_part_only() {
        let mounts =
            "42 30 0:26 /docker/abc /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate";
        let found = parse_hierarchies(mounts, "0::/docker/abc/x\n");
        assert_eq!(cgroup_layout(&found), CgroupLayout::V2);
        assert_eq!(found[0].dir(), Path::new("/sys/fs/cgroup/x"));
    }
}
