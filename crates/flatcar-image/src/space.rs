//! Room on the disk: asked for before, and told in one way when it ends.

use std::io;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use indicatif::DecimalBytes;
use nix::sys::statvfs::statvfs;

/// Flatcar's images have been two to two and a half times as large unpacked as packed; it must also hold for the next ones.
pub const UNPACKED: u64 = 3;

/// An error unless `need` more bytes fit.
pub fn check_room(dir: &Path, need: u64) -> Result<()> {
    let free = free_bytes(dir)?;
    if free >= need {
        Ok(())
    } else {
        Err(disk_full(dir, free, need))
    }
}

/// Bytes that we may still write below `dir`.
fn free_bytes(dir: &Path) -> Result<u64> {
    let stat = statvfs(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    Ok(stat.blocks_available() as u64 * stat.fragment_size() as u64)
}

/// What to say of a write that failed: if the disk is full, how much is needed.
pub fn write_failed(error: io::Error, dir: &Path, need: u64) -> anyhow::Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
        disk_full(dir, free_bytes(dir).unwrap_or(0), need)
    } else {
        anyhow!("cannot write into {}: {error}", dir.display())
    }
}

fn disk_full(dir: &Path, free: u64, need: u64) -> anyhow::Error {
    anyhow!(
        "disk full: {} has {} left, and about {} more are needed: nothing was stored; make room there, or give --store DIR on a \
         larger disk",
        dir.display(),
        DecimalBytes(free),
        DecimalBytes(need)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named() {
        let error = check_room(Path::new("/"), u64::MAX)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("disk full: / has "), "{error}");
    }
}
