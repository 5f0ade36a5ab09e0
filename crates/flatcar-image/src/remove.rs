//! `image rm`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ha_host_base::exit::Stop as End;

use super::partial_download::{PREFIX, can_be_continued, fine_if_missing};
use super::users::{ClusterMachines, clusters_using};
use super::{ARCHES, Arch, Bar, ImageStore, names_in};

/// What a directory is called that is on its way out.
const GONE: &str = ".gone-";

impl ImageStore {
    /// Removes these versions, of one architecture or of both, and what cut-off pulls left of them; returns what was removed.
    /// `bar` tells whom it waits for. Nothing is removed if one of them is not there or in use.
    pub fn remove(
        &self,
        versions: &[String],
        arch: Option<Arch>,
        clusters: &[ClusterMachines],
        bar: &mut dyn Bar,
    ) -> Result<Vec<PathBuf>> {
        let arches = || ARCHES.into_iter().filter(|a| arch.is_none_or(|b| *a == b));
        let stop = super::Interrupt::of_process();
        let mut dirs = Vec::new();
        for version in versions {
            let places =
                arches().flat_map(|a| [self.version_dir(a, version), self.part_dir(a, version)]);
            let there: Vec<PathBuf> = places.filter(|p| p.is_dir()).collect();
            if there.is_empty() || !super::record::is_version(version) {
                return Err(self.unknown(version));
            }
            dirs.extend(there);
        }
        let _lock = self.lock(bar, stop)?;
        self.sweep()?;
        let clusters = self.with_remembered(clusters)?;
        for dir in &dirs {
            self.unused(dir, &clusters)?;
        }
        for (n, dir) in dirs.iter().enumerate() {
            // First out of sight, then away: cut off in between, no half image is found.
            let out = self.dir.join(format!("{GONE}{n}"));
            std::fs::rename(dir, &out)
                .with_context(|| format!("cannot remove {}", dir.display()))?;
            fine_if_missing(std::fs::remove_dir_all(&out))
                .with_context(|| format!("cannot remove {}", out.display()))?;
        }
        Ok(dirs)
    }

    fn unknown(&self, version: &str) -> anyhow::Error {
        let known: Vec<String> = self
            .list()
            .unwrap_or_default()
            .into_iter()
            .map(|r| format!("{} ({})", r.version, r.arch))
            .collect();
        let known = if known.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        End::bad_input(format!(
            "no image {version} in {}; {known}; nothing was removed",
            self.dir.display()
        ))
    }

    fn unused(&self, dir: &Path, clusters: &[ClusterMachines]) -> Result<()> {
        for name in names_in(dir)?.iter().filter(|n| n.ends_with(".img")) {
            let image = dir.join(name);
            let users = clusters_using(clusters, &image);
            if !users.is_empty() {
                bail!(
                    "{} is in use by {}: its machines' disks are based on it; nothing was removed. Destroy the cluster first",
                    image.display(),
                    users.join(", ")
                );
            }
        }
        Ok(())
    }

    /// Ends what a removal began that was cut off, and removes cut-off pulls that no later one can go on with. Under the lock.
    pub(super) fn sweep(&self) -> Result<()> {
        for name in names_in(&self.dir)? {
            let dir = self.dir.join(&name);
            let useless = name.starts_with(PREFIX) && !can_be_continued(&dir);
            if useless || name.starts_with(GONE) {
                fine_if_missing(std::fs::remove_dir_all(&dir))
                    .with_context(|| format!("cannot remove {}", dir.display()))?;
            }
        }
        Ok(())
    }
}
