//! A cgroup of its own for every node, in every hierarchy. Without it all kubelets of a v1 host share one /kubepods and kill
//! each other's pods, and all nodes' PID 1 share one payload.
//!
//! Version 1 and hybrid hosts were run; version 2 follows the manual pages and the kernel's documentation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use self::mounts::Hierarchy;
use self::mounts::parse_hierarchies;

mod mounts;
pub mod real_time;

/// How long the kernel may take to let go of a dead node's cgroups.
const PATIENCE: Duration = Duration::from_secs(5);
/// Controllers that kubelet and runc need, where the kernel has version 2.
const NEEDED_V2: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// Passed on to the nodes if the host has them.
const WANTED_V2: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];
/// Controllers that kubelet and runc need, where the kernel has version 1.
const NEEDED_V1: [&str; 5] = ["cpu", "cpuset", "memory", "pids", "devices"];

/// How this host's controllers are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupLayout {
    /// Version 1, alone or beside an empty version 2 tree.
    V1,
    V2,
}

/// The hierarchies of a process.
pub fn hierarchies_of(pid: &str) -> Result<Vec<Hierarchy>> {
    let read = |file: String| {
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))
    };
    Ok(parse_hierarchies(
        &read("/proc/self/mountinfo".into())?,
        &read(format!("/proc/{pid}/cgroup"))?,
    ))
}

/// How the controllers are mounted.
pub fn cgroup_layout(hierarchies: &[Hierarchy]) -> CgroupLayout {
    let named = |c: &String| c.starts_with("name=");
    if hierarchies
        .iter()
        .any(|h| h.controllers.iter().any(|c| !named(c)))
    {
        CgroupLayout::V1
    } else {
        CgroupLayout::V2
    }
}

/// Controllers that a node needs and this host does not give.
pub fn missing_controllers(hierarchies: &[Hierarchy]) -> Vec<String> {
    let (have, needed): (BTreeSet<String>, &[&str]) = match cgroup_layout(hierarchies) {
        CgroupLayout::V1 => (
            hierarchies
                .iter()
                .flat_map(|h| h.controllers.clone())
                .collect(),
            &NEEDED_V1,
        ),
        CgroupLayout::V2 => (
            hierarchies
                .first()
                .map(|h| words_of_file(&h.dir().join("cgroup.controllers")))
                .unwrap_or_default(),
            &NEEDED_V2,
        ),
    };
    needed
        .iter()
        .filter(|c| !have.contains(**c))
        .map(ToString::to_string)
        .collect()
}

/// Whether processes stand in the way of handing controllers down: version 2 lets only the root group hold both.
pub fn blocking_group(hierarchies: &[Hierarchy]) -> Option<PathBuf> {
    let own = hierarchies
        .first()
        .filter(|_| cgroup_layout(hierarchies) == CgroupLayout::V2)?
        .dir();
    let handed_down = words_of_file(&own.join("cgroup.subtree_control"));
    let all = NEEDED_V2.iter().all(|c| handed_down.contains(*c));
    // Only the real root has no cgroup.type.
    (!all && own.join("cgroup.type").exists()).then_some(own)
}

/// The directories of a node's own groups below this process's, parents before children.
pub fn node_groups(hierarchies: &[Hierarchy], cluster: &str, node: &str) -> Vec<PathBuf> {
    let parents = hierarchies
        .iter()
        .map(|h| h.dir().join(format!("ha-{cluster}")));
    parents
        .flat_map(|parent| [parent.clone(), parent.join(node)])
        .collect()
}

/// Makes the groups, ready to take processes.
pub fn make_groups(hierarchies: &[Hierarchy], dirs: &[PathBuf]) -> Result<()> {
    if cgroup_layout(hierarchies) == CgroupLayout::V2 {
        for own in hierarchies.iter().filter(|h| h.is_v2()) {
            hand_down(&own.dir())?;
        }
    }
    for dir in dirs {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the cgroup {}", dir.display()))?;
        inherit_cpuset(dir)?;
    }
    if cgroup_layout(hierarchies) == CgroupLayout::V2 {
        // Of each pair the first is the cluster's group, the second a node's: that one is nspawn's to manage.
        dirs.iter()
            .step_by(2)
            .try_for_each(|cluster| hand_down(cluster))?;
    }
    Ok(())
}

/// Removes groups with all below them, and kills whoever is in there still: only the node's own processes ever are. Also
/// the cluster's group with its last node.
pub fn remove_groups(dirs: &[PathBuf]) -> Result<()> {
    for pair in dirs.chunks(2) {
        let [cluster, node] = pair else { continue };
        let end = Instant::now() + PATIENCE;
        while let Err(error) = remove_tree(node) {
            let left = kill_all(node);
            if Instant::now() >= end {
                return Err(error).with_context(|| {
                    format!(
                        "cannot remove the cgroup {}; in it: {left:?}",
                        node.display()
                    )
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Fails while other nodes have theirs in it.
        let _ = std::fs::remove_dir(cluster);
    }
    Ok(())
}

/// The files that take a process into the groups that `pid` is in.
pub fn proc_files_of(pid: &str) -> Result<Vec<PathBuf>> {
    Ok(hierarchies_of(pid)?
        .iter()
        .map(|h| h.dir().join("cgroup.procs"))
        .collect())
}

/// The files that take a process into a node's groups.
pub fn proc_files(dirs: &[PathBuf]) -> Vec<PathBuf> {
    dirs.chunks(2)
        .filter_map(|pair| pair.get(1))
        .map(|node| node.join("cgroup.procs"))
        .collect()
}

/// A command that enters groups and then becomes `argv`. The shell does it, because a child cannot do it before `exec`
/// without unsafe code, and afterwards is too late.
pub fn joining_command(entries: &[PathBuf], strict: bool) -> Command {
    let fail = if strict { "exit 125" } else { ":" };
    let script = format!(
        "while [ \"$1\" != -- ]; do echo $$ > \"$1\" || {fail}; shift; done; shift; exec \"$@\""
    );
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &script, "join-cgroup"])
        .args(entries)
        .arg("--");
    command
}

/// Moves this process out of the group that is to hand its controllers down (a unit of our own, version 2).
pub fn step_aside(hierarchies: &[Hierarchy]) -> Result<()> {
    for own in hierarchies.iter().filter(|h| h.is_v2()) {
        let leaf = own.dir().join("keeper");
        std::fs::create_dir_all(&leaf)
            .and_then(|()| std::fs::write(leaf.join("cgroup.procs"), "0"))
            .with_context(|| format!("cannot enter the cgroup {}", leaf.display()))?;
    }
    Ok(())
}

fn hand_down(dir: &Path) -> Result<()> {
    let (have, given) = (
        words_of_file(&dir.join("cgroup.controllers")),
        words_of_file(&dir.join("cgroup.subtree_control")),
    );
    let file = dir.join("cgroup.subtree_control");
    for controller in WANTED_V2
        .iter()
        .filter(|c| have.contains(**c) && !given.contains(**c))
    {
        let Err(error) = std::fs::write(&file, format!("+{controller}")) else {
            continue;
        };
        if NEEDED_V2.contains(controller) {
            bail!(
                "cannot hand the controller {controller} down in {}: {error}; {}",
                dir.display(),
                remedy_for(dir)
            );
        }
    }
    Ok(())
}

/// What frees a version 2 group of processes.
pub fn remedy_for(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "move the processes out of it: mkdir -p {dir}/init && xargs -rn1 < {dir}/cgroup.procs > {dir}/init/cgroup.procs"
    )
}

/// A new v1 cpuset is empty and takes nobody.
fn inherit_cpuset(dir: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = dir.join(name);
        let (Ok(now), Some(parent)) = (std::fs::read_to_string(&file), dir.parent()) else {
            continue;
        };
        // Version 2 groups have `cpuset.cpus.effective`, and an empty list there means "as the parent".
        if !now.trim().is_empty() || dir.join("cgroup.controllers").exists() {
            continue;
        }
        std::fs::read_to_string(parent.join(name))
            .and_then(|value| std::fs::write(&file, value))
            .with_context(|| format!("cannot set {}", file.display()))?;
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match std::fs::remove_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Kills every process of a group and of those below; returns their numbers.
fn kill_all(dir: &Path) -> Vec<i32> {
    let procs = words_of_file(&dir.join("cgroup.procs"));
    // 0 stands for a process of another pid namespace.
    let mut pids: Vec<i32> = procs
        .iter()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| *pid > 1)
        .collect();
    for pid in &pids {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(kill_all(&entry.path()));
        }
    }
    pids
}

fn words_of_file(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_goes_from_the_leaves_up() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, node) = (dir.path().join("ha-demo"), dir.path().join("ha-demo/node1"));
        std::fs::create_dir_all(node.join("kubepods/burstable/pod1")).unwrap();
        remove_groups(&[cluster.clone(), node]).unwrap();
        assert!(!cluster.exists());
        remove_groups(&[cluster.clone(), cluster.join("node1")]).unwrap();
    }

    #[test]
    fn the_wrapper_writes_its_own_number_and_becomes_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cgroup.procs");
        let output = joining_command(std::slice::from_ref(&file), true)
            .args(["sh", "-c", "echo $$ $0", "a b"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let pid = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("{} a b\n", pid.trim()));
        let refused = joining_command(&[dir.path().join("no/such")], true)
            .arg("true")
            .status()
            .unwrap();
        assert_eq!(refused.code(), Some(125));
    }
}
