//! What nodes are made from: local files, and where they lie at a host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_cluster_file::cluster::Image;

use super::Libvirt;
use super::content::content_id;
use super::host::Host;
use super::image::{self, Base};
use super::names::Names;
use super::xml::domain::Boot;
use crate::vm;

/// What all nodes of a host are made from, as paths there.
#[derive(Debug, Clone)]
pub struct Shared {
    pub base: String,
    pub format: &'static str,
    pub boot: Option<Boot>,
    pub assets: Option<String>,
}

impl Shared {
    /// Whether all of it is among these paths.
    pub fn is_among(&self, paths: &BTreeSet<&str>) -> bool {
        let boot = self
            .boot
            .iter()
            .flat_map(|boot| [&boot.kernel, &boot.initrd]);
        let mut all = boot.chain(&self.assets).chain([&self.base]);
        all.all(|path| paths.contains(path.as_str()))
    }
}

/// Local files that the hosts need.
#[derive(Debug)]
pub struct Sources {
    pub base: Base,
    /// Kernel, initramfs and command line outside it.
    pub kernel: Option<ha_cluster_file::cluster::Kernel>,
    pub assets: Option<PathBuf>,
}

impl Sources {
    /// Looks for them; an error names the one that is missing.
    pub fn find(provider: &Libvirt) -> Result<Self> {
        let options = &provider.options.vm;
        let base = Base::look(&vm::image::base_image(options)?)?;
        if base.size > options.disk {
            return Err(vm::disk_too_small(options.disk, &base.path, base.size).into());
        }
        let kernel = match &options.image {
            Image::File { kernel, .. } => kernel.clone(),
            Image::Flatcar { .. } => None,
        };
        Ok(Self {
            base,
            kernel,
            assets: vm::assets::current_disk(&provider.dir)?,
        })
    }

    /// Files that clusters share, by what they are.
    pub fn shared(&self) -> Vec<(&'static str, &Path)> {
        let kernel = self
            .kernel
            .iter()
            .flat_map(|k| [("kernel", k.path.as_path()), ("initrd", k.initrd.as_path())]);
        [("image", self.base.path.as_path())]
            .into_iter()
            .chain(kernel)
            .collect()
    }

    /// Bytes of all files that clusters share.
    pub fn shared_size(&self) -> Result<u64> {
        let sizes = self
            .shared()
            .into_iter()
            .map(|(_, file)| image::file_size(file));
        sizes.sum()
    }

    /// Bytes of shared files that the host does not have yet.
    pub fn bytes_to_send(&self, host: &Host, machines: &Path) -> Result<u64> {
        let there = host.pool.volumes()?;
        let mut bytes = 0;
        for (what, file) in self.shared() {
            let begin = Names::shared_by_all(what, &content_id(machines, file)?);
            if !there.iter().any(|(name, _)| name.starts_with(&begin)) {
                bytes += image::file_size(file)?;
            }
        }
        Ok(bytes)
    }

    /// Brings them to a host, whatever is not there. `machines` is the provider's directory.
    pub fn send(&self, host: &Host, machines: &Path) -> Result<Shared> {
        let boot = match &self.kernel {
            Some(kernel) => Some(Boot {
                kernel: image::share_file(host, machines, "kernel", &kernel.path)?,
                initrd: image::share_file(host, machines, "initrd", &kernel.initrd)?,
                append: kernel.append.clone(),
            }),
            None => None,
        };
        Ok(Shared {
            base: image::share_file(host, machines, "image", &self.base.path)?,
            format: self.base.format,
            boot,
            assets: self
                .assets
                .as_ref()
                .map(|file| image::share_assets(host, file))
                .transpose()?,
        })
    }
}
