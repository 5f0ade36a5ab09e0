//! From what was signed to what a machine boots from.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bzip2::read::MultiBzDecoder;
use ha_host_base::interrupt::Interrupt;
use sha2::{Digest, Sha256};

use super::progress::{Bar, Step};
use super::space;
use super::watched::{self, WatchedReader};

/// How bzip2 files begin.
const BZIP2: &[u8] = b"BZh";
/// How qcow2 images begin.
const QCOW2: &[u8] = b"QFI\xfb";
/// Bytes at a time.
const CHUNK: usize = 1 << 20;
/// Nobody may change an image that machines' disks are based on.
const IMAGE_MODE: u32 = 0o444;

#[derive(Debug)]
pub struct UnpackedImage {
    pub size: u64,
    pub sha256: String,
    /// The SHA-256 of the packed file as it was read for this.
    pub packed_sha256: String,
}

/// Writes `target`, durable. Flatcar offers its qemu images packed by bzip2, and as qcow2 that is packed inside.
pub fn unpack_image(
    mut packed: File,
    target: &Path,
    bar: &mut dyn Bar,
    stop: &Interrupt,
) -> Result<UnpackedImage> {
    let total = packed.metadata()?.len();
    let mut head = [0; 4];
    packed.rewind()?;
    let read = packed.read(&mut head)?;
    packed.rewind()?;
    let mut source = WatchedReader::new(packed, Step::Unpack, total, bar, stop);
    let result = if head[..read].starts_with(BZIP2) {
        // Flatcar's build packs in parallel: many streams in one file, and the plain decoder would end after the first.
        write_image(MultiBzDecoder::new(&mut source), target, stop)
    } else {
        write_image(&mut source, target, stop)
    };
    let written = match result {
        Ok(written) => written,
        Err(UnpackFailure::Writing(size, error)) => {
            let (read, dir) = (source.count().max(1), target.parent().unwrap_or(target));
            // As much again per byte as up to here.
            let need = (size as f64 / read as f64 * total as f64) as u64;
            let need = need.saturating_sub(size).max(CHUNK as u64);
            source.finish();
            return Err(space::write_failed(error, dir, need));
        }
        Err(UnpackFailure::Other(error)) => {
            source.finish();
            return Err(error);
        }
    };
    // What may follow the last stream was signed too.
    std::io::copy(&mut source, &mut std::io::sink())?;
    let (size, sha256) = written;
    Ok(UnpackedImage {
        size,
        sha256,
        packed_sha256: source.finish(),
    })
}

enum UnpackFailure {
    /// After so many bytes.
    Writing(u64, std::io::Error),
    Other(anyhow::Error),
}

fn write_image(
    mut from: impl Read,
    target: &Path,
    stop: &Interrupt,
) -> Result<(u64, String), UnpackFailure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(|e| UnpackFailure::Writing(0, e))?;
    let (mut sum, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = fill_buffer(&mut from, &mut buffer, stop).map_err(UnpackFailure::Other)?;
        if n == 0 {
            break;
        }
        if size == 0 && !buffer[..n].starts_with(QCOW2) {
            return Err(UnpackFailure::Other(anyhow::anyhow!(
                "Flatcar signed this file, but it is not a qcow2 image: nothing was stored; take \
                 flatcar_production_qemu_image.img or its .bz2"
            )));
        }
        file.write_all(&buffer[..n])
            .map_err(|e| UnpackFailure::Writing(size, e))?;
        sum.update(&buffer[..n]);
        size += n as u64;
    }
    let seal = |file: &File| {
        file.set_permissions(Permissions::from_mode(IMAGE_MODE))?;
        file.sync_all()
    };
    seal(&file).map_err(|e| UnpackFailure::Writing(size, e))?;
    Ok((size, watched::finished_sum(sum)))
}

/// Fills the buffer, so that its head can be looked at.
fn fill_buffer(from: &mut impl Read, buffer: &mut [u8], stop: &Interrupt) -> Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match from.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) => {
                stop.check()?;
                return Err(error).context(
                    "Flatcar signed this file, but it cannot be decompressed: nothing was stored; take another version",
                );
            }
        }
    }
    Ok(n)
}

/// An error unless the two readings of the packed file gave the same: it was signed as it was the first time.
pub fn check_same_content(verified: &str, unpacked: &str, file: &Path) -> Result<()> {
    if verified != unpacked {
        bail!(
            "{} changed while it was read: nothing was stored; try again when nobody writes it",
            file.display()
        );
    }
    Ok(())
}
