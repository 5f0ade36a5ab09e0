//! One ha-host at a time at a machine: `power on` beside `launch` would start a second one on the same disk.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use ha_host_base::files::LockedFile;
use nix::fcntl::OFlag;

use super::machines_dir::MachinesDir;
use crate::finding::Unfit;

/// The right to start, stop and remove one machine; ends with the process at the latest.
#[derive(Debug)]
pub struct MachineLock {
    _file: LockedFile,
}

impl MachineLock {
    /// Locks a node, or says that another ha-host is at it. None: of this cluster nothing is made, there is nothing to lock.
    pub fn of_node(machines: &MachinesDir, node: &str) -> Result<Option<Self>> {
        Self::take(machines, node, File::try_lock)
    }

    /// Locks what all machines of a cluster share, when whoever has it is done: that takes a minute at most. None: as above.
    pub fn of_shared(machines: &MachinesDir, name: &str) -> Result<Option<Self>> {
        let wait = |file: &File| file.lock().map_err(TryLockError::Error);
        Self::take(machines, name, wait)
    }

    fn take(
        machines: &MachinesDir,
        name: &str,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Option<Self>> {
        let path = machines.join(&format!("_lock.{name}"));
        loop {
            let file = match open_lock_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                file => file.with_context(|| format!("cannot open {}", path.display()))?,
            };
            match lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(lock_is_taken(name, &path).into()),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            // `destroy` removes the file with all others: a lock of one that is gone keeps nobody out.
            let there = std::fs::metadata(&path).map(|meta| meta.ino()).ok();
            if there.is_some() && there == file.metadata().map(|meta| meta.ino()).ok() {
                return Ok(Some(Self {
                    _file: LockedFile::new(file),
                }));
            }
        }
    }
}

fn open_lock_file(path: &Path) -> std::io::Result<File> {
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

fn lock_is_taken(name: &str, path: &Path) -> Unfit {
    Unfit::new(
        format!("another ha-host is at work on {name} ({})", path.display()),
        "wait for it to end, or stop it, and try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_locked_for_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let machines = MachinesDir::new("demo", dir.path());
        assert!(MachineLock::of_node(&machines, "one").unwrap().is_none());
        std::fs::create_dir(machines.path()).unwrap();
        let first = MachineLock::of_node(&machines, "one").unwrap();
        assert!(first.is_some());
        let second = MachineLock::of_node(&machines, "one").unwrap_err();
        assert!(second.downcast_ref::<Unfit>().is_some(), "{second:#}");
        assert!(MachineLock::of_node(&machines, "two").unwrap().is_some());
        drop(first);
        assert!(MachineLock::of_node(&machines, "one").unwrap().is_some());
        assert_eq!(machines.nodes().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_lock_that_was_removed_keeps_nobody_out_and_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let machines = MachinesDir::new("demo", dir.path());
        std::fs::create_dir(machines.path()).unwrap();
        let path = machines.join("_lock.one");
        // The file is exchanged between opening and locking it.
        let exchanged = std::cell::Cell::new(false);
        let lock = MachineLock::take(&machines, "one", |file| {
            if !exchanged.replace(true) {
                std::fs::remove_file(&path).unwrap();
            }
            file.try_lock()
        });
        assert!(lock.as_ref().unwrap().is_some());
        assert!(
            MachineLock::of_node(&machines, "one").is_err(),
            "it is the new file that is locked"
        );
    }
}
