//! The assets disk: every system extension and every archive of container images, packed once into one read-only disk that all
//! virtual machines share. Nodes download nothing.
//!
//! ```text
//! assets/HASH.img   named by what is in it; a set that did not change is not packed again
//! assets/current    link to the one that new machines get; a machine keeps the one it was made with
//! ```

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_cluster_file::cluster::{Assets, Cluster};
use ha_flatcar_image::Bar;
use ha_providers::vm::assets::{CURRENT, DIR, current_disk};
use ha_wire::paths;
use indicatif::BinaryBytes;
use sha2::{Digest, Sha256};

mod disk;

use crate::bakery::{Artefacts, SysextSource, cache};
use crate::inputs::check_image_archive;
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_host_base::text::{hex_digits, pluralize};

/// The directory of image archives on the disk.
const IMAGES: &str = "images";
/// Cilium's chart on the disk.
pub const CILIUM_CHART: &str = "cilium-chart.tgz";
/// Goes into every disk's name: another number packs all of them anew.
const FORMAT: &str = "ha-assets 1";
/// So many bytes of the content's hash are a disk's name.
const ID_BYTES: usize = 16;
/// The directory of a cluster's machines, beside the disks'.
const MACHINES: &str = "machines";

/// A disk that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedDisk {
    /// Where: the real path.
    pub path: PathBuf,
    pub bytes: u64,
    /// How many system extensions it holds.
    pub sysexts: usize,
    /// How many archives of container images.
    pub images: usize,
    /// Whether it was made now.
    pub new: bool,
}

impl PackedDisk {
    /// What a person wants to know of it, as items of a list.
    pub fn facts(&self) -> Vec<String> {
        let mut facts = vec![
            BinaryBytes(self.bytes).to_string(),
            pluralize(self.sysexts, "sysext"),
        ];
        if self.images > 0 {
            facts.push(pluralize(self.images, "image archive"));
        }
        if !self.new {
            facts.push("kept".to_owned());
        }
        facts
    }
}

/// One file of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DiskItem {
    /// Its place there, without the first `/`; letters, digits and `-_.+~` only.
    name: String,
    /// Where its content is now.
    from: PathBuf,
    bytes: u64,
    sha256: String,
}

/// Whether this cluster's machines get a disk.
pub fn has_disk(cluster: &Cluster, sysexts: &Artefacts) -> bool {
    match &cluster.assets {
        Assets::Disk { images } => {
            !sysexts.is_empty() || !images.is_empty() || cluster.kubernetes.cni.chart().is_some()
        }
        Assets::Download => false,
    }
}

/// Packs the disk into a cluster's state directory unless it is there, and makes it the current one. None: this cluster has no
/// disk. Fetches sysexts that are not on this machine yet.
pub fn pack_disk(
    dir: &Path,
    cluster: &Cluster,
    sysexts: &Artefacts,
    bar: &mut dyn Bar,
) -> Result<Option<PackedDisk>> {
    match &cluster.assets {
        Assets::Disk { images } if has_disk(cluster, sysexts) => {
            let mut items =
                gather_items(sysexts, images, &|| cache::Cache::open(cache::SYSEXTS), bar)?;
            if let Some(path) = cluster.kubernetes.cni.chart().map(Path::new) {
                let sha256 = cache::sha256_of_file(path)?;
                items.push(disk_item(CILIUM_CHART.to_owned(), path.to_owned(), sha256)?);
            }
            pack_items(dir, &items, sysexts.len()).map(Some)
        }
        _ => Ok(None),
    }
}

/// Removes the disks of earlier packings that no machine was made with: of those that read the file itself, a link in the
/// machine's directory says so; libvirt's hosts have copies. Returns what was removed; what is not a disk of ours stays.
pub fn remove_unused_disks(dir: &Path) -> Result<Vec<PathBuf>> {
    let Some(current) = current_disk(dir)? else {
        return Ok(Vec::new());
    };
    let used = linked_files(&dir.join(MACHINES))?;
    let mut removed = Vec::new();
    for path in paths_in(&dir.join(DIR))? {
        let ours = path.file_name().is_some_and(is_disk_name) && !path.is_symlink();
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if ours && real != current && !used.contains(&real) {
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// Whether [`pack_items`] calls a disk so.
fn is_disk_name(name: &OsStr) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_suffix(".img"));
    stem.is_some_and(|stem| {
        stem.len() == 2 * ID_BYTES && stem.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Where the links in the machines' directories lead.
fn linked_files(machines: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut targets = BTreeSet::new();
    for machine in paths_in(machines)?.iter().filter(|path| path.is_dir()) {
        for link in paths_in(machine)?.iter().filter(|path| path.is_symlink()) {
            // One that leads nowhere keeps nothing.
            targets.extend(link.canonicalize().ok());
        }
    }
    Ok(targets)
}

/// What is in a directory; nothing if it is not there.
fn paths_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read {}", dir.display());
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(unreadable)?,
    };
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths
        .collect::<std::io::Result<_>>()
        .with_context(unreadable)
}

/// Where a sysext's image is on a node that has the disk.
pub fn path_on_node(file: &str) -> String {
    format!("{}/{file}", paths::ASSETS_DIR)
}

type Open<'a> = &'a dyn Fn() -> Result<cache::Cache>;

fn gather_items(
    sysexts: &Artefacts,
    images: &[PathBuf],
    cache: Open<'_>,
    bar: &mut dyn Bar,
) -> Result<Vec<DiskItem>> {
    let mut items = Vec::with_capacity(sysexts.len() + images.len());
    for (name, artefact) in sysexts {
        let said = || format!("sysexts.{name}");
        let (from, sha256) = match &artefact.source {
            SysextSource::File(path) => (
                path.clone(),
                cache::sha256_of_file(path).with_context(said)?,
            ),
            SysextSource::Url { url, sha256 } => {
                let path = cache()?
                    .get(url, sha256, &artefact.file, bar)
                    .with_context(said)?;
                (path, sha256.clone())
            }
        };
        items.push(disk_item(artefact.file.clone(), from, sha256)?);
    }
    for (index, path) in images.iter().enumerate() {
        items.push(archive_item(index, path)?);
    }
    Ok(items)
}

/// An archive keeps its name behind a number: two may be called the same, and they are imported in this order.
fn archive_item(index: usize, path: &Path) -> Result<DiskItem> {
    let bad = |e: String| {
        let path = path.display();
        Stop::bad_input(format!("assets.disk.images[{index}]: {path} {e}"))
    };
    check_image_archive(path).map_err(|fault| bad(fault.to_string()))?;
    let path = &path
        .canonicalize()
        .map_err(|e| bad(format!("cannot be read: {e}")))?;
    let base = path.file_stem().unwrap_or_default().to_string_lossy();
    let base = base.strip_suffix(".tar").unwrap_or(&base);
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.+".contains(c) {
            c
        } else {
            '-'
        }
    };
    let base: String = base.chars().map(fine).collect();
    let sha256 = cache::sha256_of_file(path).map_err(|e| bad(format!("cannot be read: {e:#}")))?;
    disk_item(
        format!("{IMAGES}/{index:02}-{base}.tar"),
        path.to_owned(),
        sha256,
    )
}

fn disk_item(name: String, from: PathBuf, sha256: String) -> Result<DiskItem> {
    let meta =
        std::fs::metadata(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let bytes = meta.len();
    Ok(DiskItem {
        name,
        from,
        bytes,
        sha256,
    })
}

fn pack_items(state: &Path, items: &[DiskItem], sysexts: usize) -> Result<PackedDisk> {
    let dir = &state.join(DIR);
    files::make_dir(dir)?;
    files::remove_scratch_files(dir)?;
    let id = content_id(items);
    let path = dir.join(format!("{}.img", hex_digits(&id[..ID_BYTES])));
    let new = !path.is_file();
    if new {
        disk::make_disk(&path, items, &id)?;
    }
    point_current_at(dir, &path)?;
    let path = current_disk(state)?.unwrap_or(path);
    let meta =
        std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let images = items.iter().filter(|item| item.name.starts_with(IMAGES));
    Ok(PackedDisk {
        path,
        bytes: meta.len(),
        sysexts,
        images: images.count(),
        new,
    })
}

/// The hash of all that is on a disk.
fn content_id(items: &[DiskItem]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(FORMAT);
    for item in items {
        hash.update(format!("\n{} {}", item.sha256, item.name));
    }
    hash.finalize().into()
}

/// Turns the link, at once.
fn point_current_at(dir: &Path, disk: &Path) -> Result<()> {
    let link = dir.join(CURRENT);
    let Some(name) = disk.file_name() else {
        return Ok(());
    };
    if std::fs::read_link(&link).is_ok_and(|old| old == Path::new(name)) {
        return Ok(());
    }
    let beside = dir.join(".new-current");
    std::os::unix::fs::symlink(name, &beside)
        .and_then(|()| std::fs::rename(&beside, &link))
        .with_context(|| format!("cannot make the link {}", link.display()))?;
    files::sync_dir(dir)
}

#[cfg(test)]
mod tests;
