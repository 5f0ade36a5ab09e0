//! What nodes share at a host: the base image, a kernel outside it, the assets disk. Each is uploaded once.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::Host;
use super::names::Names;
use super::xml::volume::New;
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

/// What a file is known by: another content would have another time or length.
fn file_identity(file: &Path) -> Result<String> {
    let meta = file
        .metadata()
        .with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let text = format!(
        "{name} {} {} {}",
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    Ok(Sha256::digest(text)
        .iter()
        .take(6)
        .map(|b| format!("{b:02x}"))
        .collect())
}

/// Where a file that clusters share lies at the host; uploads it unless somebody did.
pub fn share_file(host: &Host, what: &str, file: &Path) -> Result<String> {
    let size = file
        .metadata()
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    let identity = file_identity(file)?;
    let (mine, begin) = (
        host.names.shared(what, &identity),
        Names::shared_by_all(what, &identity),
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
    let size = file
        .metadata()
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = host.names.assets(&stem);
    match host.pool.volume(&name)? {
        Some(volume) if volume.physical == size => return Ok(volume.path),
        Some(_) => host.pool.delete(&name)?,
        None => {}
    }
    upload_file(host, &name, file)
}

/// Readable by all: nothing secret is in images and sysexts, and every hypervisor process must.
fn upload_file(host: &Host, name: &str, file: &Path) -> Result<String> {
    let new = New {
        name,
        capacity: 0,
        format: "raw",
        mode: 0o644,
        owner: host.owner()?,
        backing: None,
    };
    Ok(host.pool.upload(&new, file)?.path)
}

/// Bytes that are still to be sent for a shared file.
pub fn bytes_to_send(host: &Host, what: &str, file: &Path) -> Result<u64> {
    let size = file
        .metadata()
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    let begin = Names::shared_by_all(what, &file_identity(file)?);
    let there = host
        .pool
        .volumes()?
        .iter()
        .any(|(name, _)| name.starts_with(&begin));
    Ok(if there { 0 } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(dir: &Path, backing: u64) -> PathBuf {
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
        let path = image(dir.path(), 0);
        assert_eq!(
            Base::look(&path).unwrap(),
            Base {
                path,
                format: "qcow2",
                size: 4 << 30
            }
        );
        let over = image(dir.path(), 512);
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

    #[test]
    fn another_file_is_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), 0);
        let first = file_identity(&path).unwrap();
        assert_eq!(file_identity(&path).unwrap(), first);
        std::fs::write(&path, "other").unwrap();
        assert_ne!(file_identity(&path).unwrap(), first);
    }
}
