//! What this machine has left, and whether that is enough.

use std::path::Path;

use anyhow::{Context, Result};
use indicatif::BinaryBytes;

use crate::Finding;
use crate::finding::{bad_finding, good_finding};

/// Bytes of memory that programs can have: what is free, and what only caches files.
pub fn available_memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    mem_available(&text).context("/proc/meminfo has no MemAvailable")
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Whether `free` bytes of memory carry so many new nodes of `each`, and leave `spare` to the host. `place` is how messages
/// go on: empty for this machine.
pub fn memory_finding(free: u64, place: &str, nodes: u64, each: u64, spare: u64) -> Finding {
    let needed = if nodes == 0 { 0 } else { nodes * each + spare };
    let seen = format!("{} memory free", BinaryBytes(free));
    if free >= needed {
        return good_finding(seen);
    }
    bad_finding(
        format!(
            "{seen}{place}, {nodes} nodes of {} need {}",
            BinaryBytes(each),
            BinaryBytes(needed)
        ),
        "stop other programs or machines there, or take fewer nodes or less `memory` in the cluster file",
    )
}

/// Whether the file system that holds (or will hold) a directory has room for `needed` bytes.
pub fn disk_finding(dir: &Path, needed: u64) -> Result<Finding> {
    let dir = deepest_existing(dir);
    let stat = nix::sys::statvfs::statvfs(dir)
        .with_context(|| format!("cannot look at {}", dir.display()))?;
    let free = stat.blocks_available() * stat.fragment_size();
    let seen = format!("{} disk free", BinaryBytes(free));
    if free >= needed {
        return Ok(good_finding(seen));
    }
    Ok(bad_finding(
        format!(
            "{seen} on the file system of {}, the nodes need {} soon",
            dir.display(),
            BinaryBytes(needed)
        ),
        "make room there, or set XDG_STATE_HOME to a directory on a larger file system",
    ))
}

/// A path's deepest part that exists.
pub fn deepest_existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or_else(|| Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal: 9 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(mem_available(text), Some(2 << 20));
        assert_eq!(mem_available("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn memory_and_disk_are_enough_or_not() {
        let gib = 1 << 30;
        assert!(
            memory_finding(0, "", 0, gib, gib).ok,
            "nothing is to be made"
        );
        assert!(memory_finding(4 * gib, "", 3, gib, gib).ok);
        let short = memory_finding(4 * gib - 1, " at kvm1", 3, gib, gib);
        assert!(
            !short.ok
                && short
                    .message
                    .ends_with("at kvm1, 3 nodes of 1.00 GiB need 4.00 GiB"),
            "{short:?}"
        );
        assert!(disk_finding(Path::new("/no/such"), 0).unwrap().ok);
        let full = disk_finding(Path::new("/no/such"), u64::MAX).unwrap();
        assert!(full.message.contains("file system of /,"), "{full:?}");
    }

    #[test]
    fn the_deepest_existing_part() {
        assert_eq!(
            deepest_existing(Path::new("/usr/no/such")),
            Path::new("/usr")
        );
    }
}
