//! Which configs were given out: a file beside what else is known of a machine, so that another server of the same cluster knows
//! it, and a node whose machine is to be made anew begins anew.

use std::fs::{OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use ha_host_base::files::{self, LockedFile};

use crate::state::ClusterDir;

const FILE: &str = "config-given-out";
/// Locked by the server that runs; no node is called so.
const SERVING: &str = ".serving";

/// The notes of one cluster.
#[derive(Debug)]
pub struct GivenOut {
    machines: PathBuf,
}

impl GivenOut {
    pub fn of(dir: &ClusterDir) -> Self {
        Self {
            machines: dir.path().join("machines"),
        }
    }

    fn file(&self, node: &str) -> PathBuf {
        self.machines.join(node).join(FILE)
    }

    pub fn is_given(&self, node: &str) -> bool {
        self.file(node).exists()
    }

    /// Durably: after a crash it is not given out once more.
    pub fn note(&self, node: &str) -> Result<()> {
        files::make_dir(&self.machines)?;
        files::make_dir(&self.machines.join(node))?;
        files::write_atomic(&self.file(node), b"")
    }

    /// It may be given out once more.
    pub fn forget(&self, node: &str) -> Result<()> {
        match std::fs::remove_file(self.file(node)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The right to be the cluster's server; none: another one runs.
    pub fn lock(&self) -> Result<Option<LockedFile>> {
        files::make_dir(&self.machines)?;
        let path = self.machines.join(SERVING);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).mode(0o600).open(&path);
        let file = opened.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(LockedFile::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}
