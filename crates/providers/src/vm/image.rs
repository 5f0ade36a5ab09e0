//! The image below the nodes' disks.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_cluster_file::cluster::{Image, Vm};
use ha_flatcar_image::{IN_USE, ImageStore};

use crate::finding::Unfit;

/// The image that new nodes are made from.
pub fn base_image(vm: &Vm) -> Result<PathBuf> {
    match &vm.image {
        Image::File { path, .. } => Ok(path.canonicalize().map_err(|error| {
            Unfit::new(
                format!("cannot find the image {}: {error}", path.display()),
                "fix `image: {path: }` in the cluster file",
            )
        })?),
        Image::Flatcar { channel, version } => {
            let stored = ImageStore::open(None)?.find(channel, version.as_deref(), vm.arch)?;
            Ok(stored.ok_or_else(|| {
                let version = version.as_ref().map(|v| format!(" --version {v}"));
                Unfit::new(
                    format!(
                        "no Flatcar image of channel {channel} for {} is stored",
                        vm.arch
                    ),
                    format!(
                        "`ha-host image pull --channel {channel}{}` fetches it",
                        version.unwrap_or_default()
                    ),
                )
            })?)
        }
    }
}

/// Notes in the provider's directory that disks lie over this image.
pub fn record_use(machines: &Path, image: &Path) -> Result<()> {
    // Without a home there is no store; then the image is a file of the operator's.
    if let Ok(store) = ImageStore::open(None)
        && image.starts_with(store.dir())
    {
        store.remember_machines(machines)?;
    }
    let file = machines.join(IN_USE);
    let line = format!("{}\n", image.display());
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    if known.lines().any(|l| l == line.trim_end()) {
        return Ok(());
    }
    ha_host_base::files::write_atomic(&file, format!("{known}{line}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_recorded_once() {
        let dir = tempfile::tempdir().unwrap();
        for image in ["/a.img", "/b.img", "/a.img"] {
            record_use(dir.path(), Path::new(image)).unwrap();
        }
        let text = std::fs::read_to_string(dir.path().join(IN_USE)).unwrap();
        assert_eq!(text, "/a.img\n/b.img\n");
    }
}
