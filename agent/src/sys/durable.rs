//! Files that other programs write and do not sync: put on the disk from here, file by file. `syncfs` would also wait for the
//! gigabytes of images that are unpacked at the same time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::files::Files;

/// A directory whose files are to be on the disk.
#[derive(Debug, Clone, Copy)]
pub struct Watched {
    pub dir: &'static str,
    /// With all directories below it.
    pub deep: bool,
}

/// What is on the disk already.
#[derive(Debug, Clone)]
pub struct SyncedFiles {
    files: Files,
    watched: &'static [Watched],
    synced: BTreeMap<PathBuf, Version>,
}

/// A file that was written again differs in one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl SyncedFiles {
    /// Nothing is known to be on the disk.
    pub fn new(files: &Files, watched: &'static [Watched]) -> Self {
        Self {
            files: files.clone(),
            watched,
            synced: BTreeMap::new(),
        }
    }

    /// Puts on the disk what was written since the last call; blocks for as long as the disk needs. Gives back how many
    /// files that were.
    pub fn sync_new(&mut self) -> Result<usize> {
        let mut count = 0;
        for Watched { dir, deep } in self.watched {
            let path = self.files.path(dir);
            count += self
                .sync_dir(&path, *deep)
                .with_context(|| format!("cannot put {} on the disk", path.display()))?;
        }
        Ok(count)
    }

    fn sync_dir(&mut self, dir: &Path, deep: bool) -> io::Result<usize> {
        let Some(entries) = if_there(fs::read_dir(dir))? else {
            return Ok(0);
        };
        let mut count = 0;
        for entry in entries {
            let entry = entry?;
            let Some(meta) = if_there(entry.metadata())? else {
                continue;
            };
            if meta.is_dir() && deep {
                count += self.sync_dir(&entry.path(), deep)?;
            } else if meta.is_file() && self.sync_file(entry.path(), &meta)? {
                count += 1;
            }
        }
        // The names too.
        if count > 0 {
            File::open(dir)?.sync_all()?;
        }
        Ok(count)
    }

    fn sync_file(&mut self, path: PathBuf, meta: &fs::Metadata) -> io::Result<bool> {
        let version = Version {
            inode: meta.ino(),
            len: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        };
        if self.synced.get(&path) == Some(&version) {
            return Ok(false);
        }
        let Some(file) = if_there(File::open(&path))? else {
            return Ok(false);
        };
        file.sync_all()?;
        self.synced.insert(path, version);
        Ok(true)
    }
}

/// Everything on the file system of this directory; nothing if it is not there. In a thread of its own: it may take minutes.
pub async fn sync_file_system(files: &Files, dir: &str) -> Result<()> {
    let path = files.path(dir);
    let sync = move || match if_there(File::open(&path))? {
        Some(opened) => Ok(nix::unistd::syncfs(opened)?),
        None => Ok::<_, io::Error>(()),
    };
    let ended = tokio::task::spawn_blocking(sync).await?;
    ended.with_context(|| format!("cannot put the file system of {dir} on the disk"))
}

/// None: it went away meanwhile.
fn if_there<T>(got: io::Result<T>) -> io::Result<Option<T>> {
    match got {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCHED: &[Watched] = &[
        Watched {
            dir: "/deep",
            deep: true,
        },
        Watched {
            dir: "/flat",
            deep: false,
        },
        Watched {
            dir: "/missing",
            deep: true,
        },
    ];

    #[tokio::test]
    async fn a_file_system_is_synced_if_it_is_there() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        sync_file_system(&files, "/").await.unwrap();
        sync_file_system(&files, "/missing").await.unwrap();
        files.write("/file", 0o600, b"").unwrap();
        assert!(sync_file_system(&files, "/file/below").await.is_err());
    }

    #[test]
    fn each_version_of_a_file_is_synced_once() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        for name in ["/deep/a", "/deep/below/b", "/flat/c", "/flat/below/volume"] {
            files.write(name, 0o600, b"1").unwrap();
        }
        let mut synced = SyncedFiles::new(&files, WATCHED);
        assert_eq!(synced.sync_new().unwrap(), 3, "a volume is the pod's own");
        assert_eq!(synced.sync_new().unwrap(), 0);
        fs::write(files.path("/deep/below/b"), b"22").unwrap();
        fs::write(files.path("/flat/d"), b"").unwrap();
        assert_eq!(synced.sync_new().unwrap(), 2);
        fs::remove_file(files.path("/deep/a")).unwrap();
        assert_eq!(synced.sync_new().unwrap(), 0);
    }
}
