//! A child with all that it started.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::process_stat::fields_after_name;

/// Kills a child, its process group, and what it started in other groups. The child was not waited for yet, so that its number is
/// its own.
pub fn kill_all(child: u32) {
    let child = child.cast_signed();
    let started = descendants_of(child, &parents_by_pid());
    // They may have ended by themselves meanwhile: as good.
    let _ = killpg(Pid::from_raw(child), Signal::SIGKILL);
    let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
    for process in started {
        let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
    }
}

/// Every process of this machine with its parent.
fn parents_by_pid() -> BTreeMap<i32, i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    let pid = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let pids = entries.flatten().filter_map(pid);
    pids.filter_map(|pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parent_in(&stat)?))
    })
    .collect()
}

/// The parent in `/proc/PID/stat`, which follows the state.
fn parent_in(stat: &str) -> Option<i32> {
    fields_after_name(stat)?.nth(1)?.parse().ok()
}

fn descendants_of(of: i32, parents: &BTreeMap<i32, i32>) -> Vec<i32> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, p)| **p == parent);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_a_process_is_found_and_nothing_else() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 2), (6, 1)]);
        assert_eq!(descendants_of(2, &parents), [3, 5, 4]);
        assert!(descendants_of(6, &parents).is_empty());
        assert_eq!(parent_in("7 (a) b (c) S 41 7 7 0 -1"), Some(41));
        assert_eq!(parent_in("7 (sh"), None);
    }
}
