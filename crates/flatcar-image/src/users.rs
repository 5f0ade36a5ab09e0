//! Who uses a stored image: clusters of this state directory, and of every other one that ever took an image from here.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::files;

use super::{IN_USE, ImageStore};

/// The store's file of the directories that may hold an [`IN_USE`], one absolute path a line.
const REMEMBERED: &str = "clusters";

/// Where one cluster's provider keeps its machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMachines {
    /// The cluster that is told to destroy its machines first.
    pub name: String,
    /// The directory that may hold [`IN_USE`]; need not exist.
    pub dir: PathBuf,
}

/// The clusters whose machines are based on this image: their providers name the images in use in [`IN_USE`]. One whose file
/// cannot be read counts as a user.
pub fn clusters_using(clusters: &[ClusterMachines], image: &Path) -> Vec<String> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let image = real(image);
    let uses = |cluster: &ClusterMachines| match files::read_optional(&cluster.dir.join(IN_USE)) {
        Ok(text) => {
            let text = text.unwrap_or_default();
            let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
            let uses = lines.any(|line| real(Path::new(line)) == image);
            uses.then(|| cluster.name.clone())
        }
        Err(_) => Some(format!("{} (which cannot be read)", cluster.name)),
    };
    clusters.iter().filter_map(uses).collect()
}

impl ImageStore {
    /// Remembers a directory that may hold an [`IN_USE`] with an image of this store, so that `image rm` looks there too,
    /// whatever state directory it is called with.
    pub fn remember_machines(&self, machines: &Path) -> Result<()> {
        let machines = std::path::absolute(machines)?;
        if self.remembered()?.contains(&machines) {
            return Ok(());
        }
        let path = self.dir.join(REMEMBERED);
        // One short write at the end of the file: two ha-hosts may do this at once.
        let add = || {
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            file.write_all(format!("{}\n", machines.display()).as_bytes())?;
            file.sync_all()
        };
        add().with_context(|| format!("cannot write {}", path.display()))
    }

    /// These clusters and the remembered ones, which are called by their directories.
    pub fn with_remembered(&self, known: &[ClusterMachines]) -> Result<Vec<ClusterMachines>> {
        let mut all = known.to_vec();
        for dir in self.remembered()? {
            if all.iter().all(|cluster| cluster.dir != dir) {
                let name = dir.parent().unwrap_or(&dir).display().to_string();
                all.push(ClusterMachines { name, dir });
            }
        }
        Ok(all)
    }

    fn remembered(&self) -> Result<Vec<PathBuf>> {
        let text = files::read_optional(&self.dir.join(REMEMBERED))?.unwrap_or_default();
        Ok(text.lines().map(PathBuf::from).collect())
    }
}
