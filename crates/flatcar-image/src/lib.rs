//! Flatcar's images: fetched, verified, unpacked and kept by version.
//!
//! ```text
//! STORE/x86-64/4230.2.3/flatcar_production_qemu_image.img   a qcow2 image, 0444
//!                       image.json                          what it is, and who signed it
//! STORE/.new-x86-64-4230.2.3/                               a pull that was cut off; the next goes on from it
//! STORE/lock                                                held by the one ha-host that pulls or removes
//! STORE/clusters                                            where machines may be that are based on these images
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

mod age;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
pub mod lock;
mod partial_download;
mod progress;
mod pull;
mod record;
mod remove;
pub mod space;
mod unpack;
mod users;
mod verify;
mod watched;

pub use progress::{Bar, Step};
pub use pull::{PulledImage, WantedImage};
pub use record::{ImageRecord, by_version};
pub use users::{ClusterMachines, clusters_using};

use ha_cluster_file::cluster::{Arch, Image, Vm};

use ha_host_base::exit::Stop as End;
use ha_host_base::files::LockedFile;
use ha_host_base::interrupt::Interrupt;
use keys::TrustedSigner;
use partial_download::PartialDownload;

/// Flatcar's channels.
pub const CHANNELS: [&str; 4] = ["stable", "beta", "alpha", "lts"];
/// The file in a cluster's `machines` in which a provider names the images below its disks, one absolute path a line, so that
/// none of them is removed. No node is called so: node names are hostnames.
pub const IN_USE: &str = "_images";
/// The largest packed image that is fetched. Flatcar's have half a gigabyte.
const MAX_PACKED: u64 = 8 << 30;

/// Both kinds.
pub const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Arm64];

/// The kind that people write so.
pub fn arch_of(name: &str) -> Result<Arch> {
    let known = ARCHES.into_iter().find(|a| a.name() == name);
    known.ok_or_else(|| {
        End::bad_input(format!(
            "no architecture is called {name}; say x86-64 or arm64"
        ))
    })
}

/// The directory on a release server, and the image there without `.bz2`: Flatcar builds arm64 for UEFI only.
fn names_on_server(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => ("amd64-usr", "flatcar_production_qemu_image.img"),
        Arch::Arm64 => ("arm64-usr", "flatcar_production_qemu_uefi_image.img"),
    }
}

/// The stored images.
#[derive(Debug)]
pub struct ImageStore {
    dir: PathBuf,
    trust: TrustedSigner,
    /// The largest packed image that is fetched, in bytes.
    max_packed: u64,
}

impl ImageStore {
    /// The store in this directory, else in `$XDG_DATA_HOME/ha-host/images` or `~/.local/share/ha-host/images`. Makes nothing.
    pub fn open(dir: Option<&Path>) -> Result<Self> {
        Ok(Self {
            dir: store_dir(dir)?,
            trust: TrustedSigner::flatcar()?,
            max_packed: MAX_PACKED,
        })
    }

    /// With another signer: only tests may have one.
    #[cfg(test)]
    fn trusting(dir: &Path, trust: TrustedSigner) -> Self {
        Self {
            dir: dir.to_owned(),
            trust,
            max_packed: MAX_PACKED,
        }
    }

    /// The path of a stored image; without a version the newest of the channel. A version is found whatever channel it was
    /// pulled from: Flatcar gives no number twice.
    pub fn find(
        &self,
        channel: &str,
        version: Option<&str>,
        arch: Arch,
    ) -> Result<Option<PathBuf>> {
        let fits = |record: &ImageRecord| {
            record.arch == arch.name()
                && version.map_or(record.channel == channel, |v| record.version == v)
        };
        let records = self.list()?;
        let newest = records
            .iter()
            .filter(|r| fits(r))
            .max_by(|a, b| by_version(&a.version, &b.version));
        Ok(newest.map(|r| self.image(r)))
    }

    /// Fetches an image unless it is there, and returns its path. Not from within async code; when the program
    /// is to end, it ends with everything said and [`End::Said`] as the error. A step of seconds to minutes: `bar` tells.
    pub fn pull(&self, wanted: &WantedImage, bar: &mut dyn Bar) -> Result<PathBuf> {
        let pulled = self.pull_told(wanted, bar)?;
        Ok(self.image(&pulled.record))
    }

    /// The same, with all there is to say.
    pub fn pull_told(&self, wanted: &WantedImage, bar: &mut dyn Bar) -> Result<PulledImage> {
        pull::pull_image(self, wanted, bar)
    }

    /// Every stored image, oldest version first.
    pub fn list(&self) -> Result<Vec<ImageRecord>> {
        let mut list = Vec::new();
        for arch in ARCHES {
            for name in names_in(&self.dir.join(arch.name()))? {
                list.extend(ImageRecord::read(&self.version_dir(arch, &name))?);
            }
        }
        list.sort_by(|a: &ImageRecord, b: &ImageRecord| {
            by_version(&a.version, &b.version).then_with(|| a.arch.cmp(&b.arch))
        });
        Ok(list)
    }

    /// What cut-off pulls left: `VERSION (ARCH)` and bytes.
    pub fn unfinished(&self) -> Result<Vec<(String, u64)>> {
        let mut list = Vec::new();
        for name in names_in(&self.dir)? {
            for arch in ARCHES {
                let prefix = format!("{}{}-", partial_download::PREFIX, arch.name());
                if let Some(version) = name.strip_prefix(&prefix) {
                    let packed = partial_download::packed_file(&self.part_dir(arch, version));
                    let bytes = std::fs::metadata(packed).map_or(0, |m| m.len());
                    list.push((format!("{version} ({})", arch.name()), bytes));
                }
            }
        }
        list.sort();
        Ok(list)
    }

    /// Where a stored image is.
    pub fn image(&self, record: &ImageRecord) -> PathBuf {
        let dir = self.dir.join(&record.arch).join(&record.version);
        dir.join(&record.file)
    }

    /// Where the images lie: one directory per architecture, in it one per version.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn version_dir(&self, arch: Arch, version: &str) -> PathBuf {
        self.dir.join(arch.name()).join(version)
    }

    fn part_dir(&self, arch: Arch, version: &str) -> PathBuf {
        self.dir.join(format!(
            "{}{}-{version}",
            partial_download::PREFIX,
            arch.name()
        ))
    }

    fn part(&self, arch: Arch, version: &str) -> Result<PartialDownload> {
        PartialDownload::open(self.part_dir(arch, version))
    }

    /// The right to write, after whoever has it; it ends with the file.
    fn lock(&self, bar: &mut dyn Bar, stop: &Interrupt) -> Result<LockedFile> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make the directory {}", self.dir.display()))?;
        let mut said = false;
        lock::wait_for_lock(&self.dir.join("lock"), || {
            if !std::mem::replace(&mut said, true) {
                bar.note("another ha-host is at work on these images: waiting for it to end");
            }
            Ok(stop.check()?)
        })
    }
}

/// Fetches the image that these machines need, if it is a Flatcar image that is not stored yet. With a newer certificate of
/// Flatcar's than the built-in one, if there is one.
pub fn obtain_image(vm: &Vm, signing_key: Option<&Path>, bar: &mut dyn Bar) -> Result<()> {
    let Image::Flatcar { channel, version } = &vm.image else {
        return Ok(());
    };
    let store = ImageStore::open(None)?;
    if store.find(channel, version.as_deref(), vm.arch)?.is_some() {
        return Ok(());
    }
    let wanted = WantedImage {
        channel: channel.clone(),
        version: version.clone(),
        arch: vm.arch,
        mirror: None,
        file: None,
        signing_key: signing_key.map(Path::to_owned),
    };
    store.pull(&wanted, bar).map(drop)
}

fn store_dir(dir: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = dir {
        return Ok(std::path::absolute(dir)?);
    }
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let base = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let base =
        base.ok_or_else(|| End::bad_input("no HOME and no XDG_DATA_HOME: give --store DIR"))?;
    Ok(base.join("ha-host/images"))
}

/// The names in a directory; none if it is not there.
fn names_in(dir: &Path) -> Result<Vec<String>> {
    let list = match std::fs::read_dir(dir) {
        Ok(list) => list,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", dir.display())),
    };
    let mut names = Vec::new();
    for entry in list {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
