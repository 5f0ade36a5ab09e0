//! One ha-host at a time per cluster.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The right to change a cluster's state; ends with the process at the latest.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// How often a lock file that was removed under our hands (`destroy`) is opened anew.
const TRIES: u32 = 10;

impl Lock {
    /// Takes the lock, or says who holds it.
    pub fn take(path: &Path) -> Result<Self> {
        for _ in 0..TRIES {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(lock);
            }
        }
        bail!("cannot lock {}: it keeps changing", path.display())
    }

    /// None: the file that was locked is no longer the one at `path`.
    fn attempt(path: &Path) -> Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(held_by(file, path)),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let same = std::fs::metadata(path)
            .is_ok_and(|m| file.metadata().is_ok_and(|f| f.ino() == m.ino()));
        if !same {
            return Ok(None);
        }
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(Some(Self { _file: file }))
    }
}

fn held_by(mut file: File, path: &Path) -> String {
    let mut pid = String::new();
    let who = match file.read_to_string(&mut pid) {
        Ok(n) if n > 0 => format!(
            "another ha-host (pid {}) is at work on this cluster",
            pid.trim()
        ),
        _ => "another ha-host is at work on this cluster".to_owned(),
    };
    format!(
        "{who}: wait for it to end, or stop it, and try again ({})",
        path.display()
    )
}
