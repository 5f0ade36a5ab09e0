//! What nodes share at a host: the base image, a kernel outside it, the assets disk. Each is uploaded once.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;

use super::Libvirt;
use super::content::content_id;
use super::host::Host;
use super::names::Names;
use super::xml::volume::NewVolume;
use crate::finding::Unfit;

/// Begin of every qcow2 file.
const QCOW2: &[u8; 4] = b"QFI\xfb";
/// Enough of qcow2's header: magic, version, backing file, virtual size.
const HEADER: usize = 32;

/// A local disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The file.
    pub path: PathBuf,
    /// `qcow2` or `raw`.
    pub format: &'static str,
    /// The disk's size in bytes.
    pub size: u64,
}

impl Base {
    /// Looks at an image; no QEMU is needed here for that.
    pub fn look(path: &Path) -> Result<Self> {
        let shown = path.display();
        let mut file =
            File::open(path).with_context(|| format!("cannot open the image {shown}"))?;
        let length = file
            .metadata()
            .with_context(|| format!("cannot look at {shown}"))?
            .len();
        let mut header = [0; HEADER];
        match file.read_exact(&mut header) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                bail!("{shown} is not a disk image: it has {length} bytes")
            }
            read => read.with_context(|| format!("cannot read {shown}"))?,
        }
        let number = |at: usize| {
            header[at..at + 8]
                .iter()
                .fold(0_u64, |n, b| n << 8 | u64::from(*b))
        };
        if header[..4] != *QCOW2 {
            return Ok(Self {
                path: path.into(),
                format: "raw",
                size: length,
            });
        }
        if number(8) != 0 {
            return Err(Unfit::new(
                format!("{shown} lies over another image, which would have to go with it"),
                format!("make it whole: qemu-img convert -O qcow2 {shown} WHOLE.qcow2"),
            )
            .into());
        }
        Ok(Self {
            path: path.into(),
            format: "qcow2",
            size: number(24),
        })
    }
}

/// Between who makes machines from shared images and who removes those that nobody uses: clusters of one user of this machine.
const LOCK: &str = ".libvirt-images.lock";

/// While this is held, no other cluster's destroy takes away an image that is to be used.
pub fn lock_shared(provider: &Libvirt) -> Result<File> {
    lock_images(provider, File::lock_shared)
}

/// While this is held, no other cluster begins to use an image.
pub fn lock_exclusive(provider: &Libvirt) -> Result<File> {
    lock_images(provider, File::lock)
}

/// The lock ends with the file.
fn lock_images(provider: &Libvirt, lock: fn(&File) -> std::io::Result<()>) -> Result<File> {
    // Beside all clusters' state directories.
    let path = provider.dir.parent().unwrap_or(&provider.dir).join(LOCK);
    let open = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&path);
    let file = open.with_context(|| format!("cannot open {}", path.display()))?;
    lock(&file).with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Where a file that clusters share lies at the host; uploads it unless somebody did. `machines` is the provider's directory.
pub fn share_file(host: &Host, machines: &Path, what: &str, file: &Path) -> Result<String> {
    let size = file_size(file)?;
    let id = content_id(machines, file)?;
    let (mine, begin) = (
        host.names.shared(what, &id),
        Names::shared_by_all(what, &id),
    );
    for (name, path) in host.pool.volumes()? {
        if !name.starts_with(&begin) {
            continue;
        }
        if host.pool.volume(&name)?.is_some_and(|v| v.physical == size) {
            return Ok(path);
        }
        if name == mine {
            // An upload of ours that was cut short. Somebody else's may still be going on.
            host.pool.delete(&name)?;
        }
    }
    upload_file(host, &mine, file)
}

/// Where this cluster's assets disk lies at the host.
pub fn share_assets(host: &Host, file: &Path) -> Result<String> {
    let size = file_size(file)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = host.names.assets(&stem);
    match host.pool.volume(&name)? {
        Some(volume) if volume.physical == size => return Ok(volume.path),
        Some(_) => host.pool.delete(&name)?,
        None => {}
    }
    upload_file(host, &name, file)
}

pub fn file_size(file: &Path) -> Result<u64> {
    let meta = file.metadata();
    Ok(meta
        .with_context(|| format!("cannot read {}", file.display()))?
        .len())
}

/// Readable by all: nothing secret is in images and sysexts, and every hypervisor process must.
fn upload_file(host: &Host, name: &str, file: &Path) -> Result<String> {
    let new = NewVolume {
        name,
        capacity: 0,
        format: "raw",
        mode: 0o644,
        owner: host.owner()?,
        backing: None,
    };
    Ok(host.pool.upload(&new, file)?.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_qcow2(dir: &Path, backing: u64) -> PathBuf {
        let mut bytes = vec![0; 4096];
        bytes[..4].copy_from_slice(QCOW2);
        bytes[8..16].copy_from_slice(&backing.to_be_bytes());
        bytes[24..32].copy_from_slice(&(4_u64 << 30).to_be_bytes());
        let path = dir.join("disk.qcow2");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn images_are_known_by_their_header() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_qcow2(dir.path(), 0);
        assert_eq!(
            Base::look(&path).unwrap(),
            Base {
                path,
                format: "qcow2",
                size: 4 << 30
            }
        );
        let over = write_qcow2(dir.path(), 512);
        assert!(
            Base::look(&over)
                .unwrap_err()
                .to_string()
                .contains("qemu-img convert")
        );
        let raw = dir.path().join("raw.img");
        std::fs::write(&raw, [0; 1024]).unwrap();
        assert_eq!(
            Base::look(&raw).unwrap(),
            Base {
                path: raw.clone(),
                format: "raw",
                size: 1024
            }
        );
        std::fs::write(&raw, "").unwrap();
        assert!(
            Base::look(&raw)
                .unwrap_err()
                .to_string()
                .contains("not a disk image")
        );
        let none = Base::look(&dir.path().join("none")).unwrap_err();
        assert!(
            format!("{none:#}").contains("cannot open the image"),
            "{none:#}"
        );
    }
}
