//! What can run out or fill up, each as an amount of a limit.

use super::check::{Check, Verdict, passing_check};
use crate::sys::file_system::{FileSystem, file_system_of};
use crate::sys::files::Files;

/// Directories that a node stops without, each looked at once for its file system: /run holds sockets and the agent's own
/// words, the others images, etcd, pods and logs.
const DIRECTORIES: [&str; 6] = ["/", "/run", "/var", "/var/lib", "/var/log", "/tmp"];
/// With no more left than this of a file system, KiB, the next writer may get nothing.
const SPACE_FULL_KIB: u64 = 512;

/// An amount that has a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    /// What is counted, e.g. `space of /run`.
    pub name: String,
    /// How much of it is taken.
    pub used: u64,
    /// How much there is.
    pub limit: u64,
    /// With no more left than this it counts as run out.
    pub none_left: u64,
    /// What stops working then.
    pub effect: &'static str,
    /// The command that shows it.
    pub command: String,
    /// What to do.
    pub remedy: String,
}

impl Gauge {
    /// Run out: a fault. More than nine tenths taken: a warning.
    pub fn check(&self) -> Check {
        let check = passing_check(&self.name, &self.command);
        let left = self.limit.saturating_sub(self.used);
        let percent = (self.used.saturating_mul(100))
            .checked_div(self.limit)
            .unwrap_or(0);
        let used = format!("{percent} % taken");
        match () {
            () if self.limit == 0 => check,
            () if left <= self.none_left => {
                let reason = format!("run out, {used}: {}", self.effect);
                check.with(Verdict::Fail, reason, &self.remedy)
            }
            () if percent >= 90 => {
                let reason = format!("{used}; once it runs out, {}", self.effect);
                check.with(Verdict::Warn, reason, &self.remedy)
            }
            () => check.says(used),
        }
    }
}

/// Space and inodes of the file systems that a node writes to. One that is not there or says nothing is left out.
pub fn file_system_gauges(files: &Files) -> Vec<Gauge> {
    let mut seen = Vec::new();
    let mut gauges = Vec::new();
    for directory in DIRECTORIES {
        let Some(space) = file_system_of(files, directory) else {
            continue;
        };
        if !seen.contains(&space.device) && !space.is_read_only {
            seen.push(space.device);
            gauges.extend(gauges_of(directory, &space));
        }
    }
    gauges
}

fn gauges_of(directory: &str, space: &FileSystem) -> [Gauge; 2] {
    let effect = match directory {
        "/run" => "sockets, units and the agent's own words cannot be written",
        _ => "nothing can be written there: pods, images, logs and etcd stop",
    };
    let gauge = |what: &str, limit: u64, left: u64, none_left, command: String| Gauge {
        name: format!("{what} of {directory}"),
        used: limit.saturating_sub(left),
        limit,
        none_left,
        effect,
        command,
        remedy: format!("find what fills it (du -xh {directory} | sort -h | tail) and remove that"),
    };
    let (bytes, inodes) = (format!("df -h {directory}"), format!("df -i {directory}"));
    [
        gauge(
            "space",
            space.size_kib,
            space.free_kib,
            SPACE_FULL_KIB,
            bytes,
        ),
        gauge("inodes", space.inodes, space.free_inodes, 16, inodes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_out_is_told_before_and_then_named_as_a_fault() {
        let gauge = |used, limit| Gauge {
            name: "space of /run".into(),
            used,
            limit,
            none_left: 5,
            effect: "nothing works",
            command: "df -h /run".into(),
            remedy: "remove it".into(),
        };
        for (used, limit, verdict, words) in [
            (0, 100, Verdict::Pass, "0 % taken"),
            (89, 100, Verdict::Pass, "89 % taken"),
            (
                90,
                100,
                Verdict::Warn,
                "90 % taken; once it runs out, nothing works",
            ),
            (95, 100, Verdict::Fail, "run out, 95 % taken: nothing works"),
            // Somebody has lowered the limit below what is taken.
            (
                300,
                100,
                Verdict::Fail,
                "run out, 300 % taken: nothing works",
            ),
            // A file system that counts no inodes (btrfs).
            (0, 0, Verdict::Pass, "ok"),
        ] {
            let check = gauge(used, limit).check();
            assert_eq!((check.verdict, &check.reason[..]), (verdict, words));
            assert_eq!(check.remedy.is_empty(), verdict == Verdict::Pass);
        }
    }

    #[test]
    fn a_file_system_is_looked_at_once() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        files.make_dir("/run").unwrap();
        files.make_dir("/var/lib").unwrap();
        let names: Vec<String> = file_system_gauges(&files)
            .into_iter()
            .map(|g| g.name)
            .collect();
        assert_eq!(names, ["space of /", "inodes of /"]);
    }
}
