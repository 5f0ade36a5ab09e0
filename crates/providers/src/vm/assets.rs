//! The disk with system extensions and image archives that all of a cluster's virtual machines share.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory of such disks below the cluster's state directory.
pub const DIR: &str = "assets";
/// The link there to the one that new machines get.
pub const CURRENT: &str = "current";

/// The disk for new machines, links resolved; none: this cluster has none. `dir` is the cluster's state directory.
pub fn current_disk(dir: &Path) -> Result<Option<PathBuf>> {
    let link = dir.join(DIR).join(CURRENT);
    match link.canonicalize() {
        Ok(path) => Ok(Some(path)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", link.display())),
    }
}
