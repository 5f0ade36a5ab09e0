//! What a cluster leaves on the operator's machine: compared before its launch and after its end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::operator::Operator;
use crate::process::run_to_end;

/// `ip` answers at once.
const SHORT: Duration = Duration::from_secs(10);
/// Where cgroup hierarchies are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Everything that could be left, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at the operator's machine for things of this cluster.
    pub fn take(operator: &Operator, cluster: &str) -> Result<Self> {
        let state = operator.state_of(cluster);
        let mut seen = BTreeSet::new();
        for (kind, args) in [
            ("namespace", ["netns", "list"]),
            ("link", ["-o", "link"]),
            ("route", ["route", "show"]),
        ] {
            let mut command = operator.command("ip");
            command.args(args);
            let text = run_to_end(command, SHORT)?.ok()?.stdout;
            seen.extend(
                text.lines()
                    .map(|l| format!("{kind} {}", stable_name(kind, l))),
            );
        }
        seen.extend(mount_points(operator)?);
        collect_cgroups(Path::new(CGROUPS), cluster, &mut seen);
        seen.extend(processes_of(operator, cluster, &state)?);
        if state.exists() {
            seen.insert(format!("state {}", state.display()));
        }
        Ok(Self(seen))
    }

    /// An error that names what is here and was not there before, or what is gone that was not the cluster's.
    pub fn nothing_since(&self, before: &Self) -> Result<()> {
        let left: Vec<&String> = self.0.difference(&before.0).collect();
        ensure!(
            left.is_empty(),
            "{} things are left:\n  {}",
            left.len(),
            one_per_line(&left)
        );
        let gone = before.0.difference(&self.0);
        let gone: Vec<&String> = gone.filter(|line| !is_of_the_cluster(line)).collect();
        ensure!(
            gone.is_empty(),
            "{} things that were there before are gone:\n  {}",
            gone.len(),
            one_per_line(&gone)
        );
        Ok(())
    }
}

/// Whether it was looked for by the cluster's name: an earlier run that was killed may have left it.
fn is_of_the_cluster(line: &str) -> bool {
    let kinds = ["cgroup ", "process ", "state "];
    kinds.iter().any(|kind| line.starts_with(kind))
}

fn one_per_line(items: &[&String]) -> String {
    items
        .iter()
        .map(|s| s.as_str())
        .collect::<Vec<_>>()
        .join("\n  ")
}

/// The part of a line of `ip` that does not change by itself.
fn stable_name(kind: &str, line: &str) -> String {
    match kind {
        "link" => line.split(": ").nth(1).unwrap_or(line).to_owned(),
        "namespace" => line.split(' ').next().unwrap_or(line).to_owned(),
        _ => line.trim().to_owned(),
    }
}

fn mount_points(operator: &Operator) -> Result<Vec<String>> {
    let path = format!("/proc/{}/mountinfo", operator.pid());
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(text
        .lines()
        .filter_map(|l| l.split(' ').nth(4))
        .map(|p| format!("mount {p}"))
        .collect())
}

/// Directories whose name holds the cluster's; what lies below them goes with them.
fn collect_cgroups(dir: &Path, cluster: &str, seen: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        let path = entry.path();
        if entry.file_name().to_string_lossy().contains(cluster) {
            seen.insert(format!("cgroup {}", path.display()));
        } else {
            collect_cgroups(&path, cluster, seen);
        }
    }
}

/// Processes that live in the operator's mount namespace, in a cgroup of the cluster, or name its state directory.
fn processes_of(operator: &Operator, cluster: &str, state: &Path) -> Result<Vec<String>> {
    let home = operator
        .is_apart()
        .then(|| fs::read_link(format!("/proc/{}/ns/mnt", operator.pid())))
        .transpose()?;
    let state = state.display().to_string();
    let mut seen = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        if pid == operator.pid() || pid == std::process::id() {
            continue;
        }
        let dir = entry.path();
        let words = read_lossy(dir.join("cmdline")).replace('\0', " ");
        let lives_here = home.is_some() && fs::read_link(dir.join("ns/mnt")).ok() == home;
        let is_of_it = read_lossy(dir.join("cgroup")).contains(cluster) || words.contains(&state);
        if lives_here || is_of_it {
            seen.push(format!("process {pid} {}", words.trim()));
        }
    }
    Ok(seen)
}

fn read_lossy(path: PathBuf) -> String {
    fs::read(path)
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
