//! What a file is known by at the hosts: its content. Length and times are not enough: reproducible images share them.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::files;
use ha_host_base::text::hex_digits;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Its sums, so that gigabytes are read once. Names of nodes hold no dot.
const FILE: &str = "content.json";
/// Bytes of a sum in names: as many as tell all images of the world apart.
const SHORT: usize = 8;

/// A file that was read to its end, as it was then. Whoever writes into it or replaces it changes the time of its inode, which
/// no program can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    id: String,
}

impl HashedFile {
    fn new(path: &Path, meta: &Metadata, id: String) -> Self {
        Self {
            path: path.into(),
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            id,
        }
    }
}

/// The beginning of the SHA-256 of a file, in hexadecimal digits. `machines` is the provider's directory, where that is kept if
/// it is there already.
pub fn content_id(machines: &Path, file: &Path) -> Result<String> {
    let shown = file.display();
    let mut open = File::open(file).with_context(|| format!("cannot open {shown}"))?;
    let meta = open
        .metadata()
        .with_context(|| format!("cannot look at {shown}"))?;
    let mut all = load_hashed_files(machines);
    if let Some(known) = all
        .iter()
        .find(|k| **k == HashedFile::new(file, &meta, k.id.clone()))
    {
        return Ok(known.id.clone());
    }
    let sum = hash_file(&mut open).with_context(|| format!("cannot read {shown}"))?;
    let id = hex_digits(&sum[..SHORT]);
    if machines.is_dir() {
        all.retain(|known| known.path != file);
        all.push(HashedFile::new(file, &meta, id.clone()));
        files::write_atomic(
            &machines.join(FILE),
            serde_json::to_string_pretty(&all)?.as_bytes(),
        )?;
    }
    Ok(id)
}

fn hash_file(file: &mut File) -> std::io::Result<[u8; 32]> {
    let (mut sum, mut bytes) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(sum.finalize().into()),
            count => sum.update(&bytes[..count]),
        }
    }
}

/// What cannot be read is found out anew.
fn load_hashed_files(machines: &Path) -> Vec<HashedFile> {
    let text = std::fs::read_to_string(machines.join(FILE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a reproducible build makes them, `cp -p`, or tar.
    #[test]
    fn another_content_of_the_same_length_and_time_is_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let (file, machines) = (dir.path().join("disk.img"), dir.path().join("machines"));
        files::make_dir(&machines).unwrap();
        let write = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let handle = File::options().write(true).open(&file).unwrap();
            handle.set_modified(std::time::UNIX_EPOCH).unwrap();
            content_id(&machines, &file).unwrap()
        };
        let (first, second) = (write("one"), write("two"));
        assert_ne!(first, second);
        assert_eq!(write("one"), first);
    }

    #[test]
    fn a_file_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let (file, machines) = (dir.path().join("disk.img"), dir.path().join("machines"));
        std::fs::write(&file, "content").unwrap();
        let id = content_id(&machines, &file).unwrap();
        assert!(!machines.exists(), "a look makes no directory");
        files::make_dir(&machines).unwrap();
        assert_eq!(content_id(&machines, &file).unwrap(), id);
        let kept = std::fs::read_to_string(machines.join(FILE)).unwrap();
        std::fs::write(machines.join(FILE), kept.replace(&id, "remembered")).unwrap();
        assert_eq!(content_id(&machines, &file).unwrap(), "remembered");
    }
}
