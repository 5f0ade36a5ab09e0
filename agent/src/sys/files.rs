//! Files below a root that tests replace. Writes are atomic and carry an explicit mode.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Files relative to a root; absolute names are taken below it.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// `/` on a node, a temporary directory in tests.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a name lies in the real file system.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        let name = name.as_ref();
        self.root.join(name.strip_prefix("/").unwrap_or(name))
    }

    /// The text of a file; none if it is not there.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        let _ = name;
        anyhow::bail!("filled in by the owner of sys/")
    }

    /// Writes a file by way of a temporary one in the same directory (made if missing, 0755), with this mode, synced.
    /// Says whether the content differed from what was there.
    pub fn write(&self, name: &str, mode: u32, content: &[u8]) -> Result<bool> {
        let _ = (name, mode, content);
        anyhow::bail!("filled in by the owner of sys/")
    }

    /// Overwrites a secret, then removes it; fine if it is not there.
    pub fn wipe(&self, name: &str) -> Result<()> {
        let _ = name;
        anyhow::bail!("filled in by the owner of sys/")
    }

    /// Removes a file or a whole directory's content; fine if it is not there.
    pub fn clear(&self, name: &str) -> Result<()> {
        let _ = name;
        anyhow::bail!("filled in by the owner of sys/")
    }

    /// True if something has this name.
    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }
}
