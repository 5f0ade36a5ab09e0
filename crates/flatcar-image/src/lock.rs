//! The right to write into a directory that several ha-hosts share.

use std::fs::{OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_host_base::files::LockedFile;

/// Whoever waits for the lock looks again after this time.
const LOCK_AGAIN: Duration = Duration::from_millis(200);

/// Takes the lock of this file, made if it is not there, after whoever has it; the lock ends with what is returned. `waiting` is called
/// before each wait, and its error ends the waiting.
pub fn wait_for_lock(path: &Path, mut waiting: impl FnMut() -> Result<()>) -> Result<LockedFile> {
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = open.with_context(|| format!("cannot open {}", path.display()))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(LockedFile::new(file)),
            Err(TryLockError::WouldBlock) => waiting()?,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        std::thread::sleep(LOCK_AGAIN);
    }
}
