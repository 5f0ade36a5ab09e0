//! Files that were fetched by their hash: `$XDG_DATA_HOME/ha-host/{sysexts,manifests}/SHA256/FILE`, for all clusters, whole and as
//! their hash says or not at all.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use ha_flatcar_image::Bar;
use ha_flatcar_image::lock::wait_for_lock;
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_host_base::files::LockedFile;
use ha_host_base::text::hex_digits;
use sha2::{Digest, Sha256};
use tempfile::Builder;

use super::fetch::{self, FetchError};

/// Read at once while hashing.
const PIECE: usize = 1 << 20;

/// What is fetched.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The directory, and what people call them.
    pub name: &'static str,
    /// The largest one that is fetched, in bytes.
    pub most: u64,
    /// The key of the cluster file that may name a file instead.
    pub key: &'static str,
    /// What to do where the hash is another one; empty: nothing but to ask who changed it.
    pub if_changed: &'static str,
}

/// Images of system extensions. The bakery's have up to 200 MiB.
pub const SYSEXTS: Kind = Kind {
    name: "sysexts",
    most: 4 << 30,
    key: "sysexts",
    if_changed: "",
};

/// The directory of all fetched files of a kind.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
    kind: Kind,
}

impl Cache {
    /// Where XDG has it.
    pub fn open(kind: Kind) -> Result<Self> {
        let set = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let base =
            set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
        let base = base.ok_or_else(|| {
            let name = kind.name;
            Stop::bad_input(format!(
                "no HOME and no XDG_DATA_HOME: there is no place for fetched {name}"
            ))
        })?;
        Ok(Self::at(base.join("ha-host").join(kind.name), kind))
    }

    pub fn at(dir: PathBuf, kind: Kind) -> Self {
        Self { dir, kind }
    }

    /// The file with this hash, if it was fetched already.
    pub fn find(&self, sha256: &str, file: &str) -> Result<Option<PathBuf>> {
        let path = self.dir.join(sha256).join(file);
        Ok(has_hash(&path, sha256)?.then_some(path))
    }

    /// The file with this hash; fetched if it is not there, or not what it was.
    pub fn get(&self, url: &str, sha256: &str, file: &str, bar: &mut dyn Bar) -> Result<PathBuf> {
        let dir = self.dir.join(sha256);
        let path = dir.join(file);
        if let Some(path) = self.find(sha256, file)? {
            return Ok(path);
        }
        files::make_dir(&dir)?;
        let _lock = self.lock(bar)?;
        // Whoever had the lock may have fetched this very file.
        if has_hash(&path, sha256)? {
            return Ok(path);
        }
        // Under the lock nobody is at work on what is found half.
        files::remove_scratch_files(&dir)?;
        self.fetch(url, sha256, &path, bar)?;
        Ok(path)
    }

    fn fetch(&self, url: &str, sha256: &str, path: &Path, bar: &mut dyn Bar) -> Result<()> {
        let dir = path.parent().unwrap_or(&self.dir);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut new = Builder::new().prefix(".new-").tempfile_in(dir)?;
        let got = fetch::fetch_file(url, &name, new.as_file_mut(), self.kind.most, bar)
            .map_err(|failed| anyhow!(fetch_error(url, failed, self.kind)))?;
        if got != sha256 {
            let remedy = self.kind.if_changed;
            bail!(
                "{url} has the hash {got}, not {sha256}: it was changed, or the line breaks what it carries; nothing was kept{remedy}"
            );
        }
        new.as_file().sync_all()?;
        new.persist(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        files::sync_dir(dir)
    }

    /// The right to write, after any other ha-host that fetches for another cluster; it ends with the file.
    fn lock(&self, bar: &mut dyn Bar) -> Result<LockedFile> {
        let mut said = false;
        wait_for_lock(&self.dir.join("lock"), || {
            if !std::mem::replace(&mut said, true) {
                let name = self.kind.name;
                bar.note(&format!(
                    "another ha-host is fetching {name}: waiting for it to end"
                ));
            }
            Ok(())
        })
    }
}

fn has_hash(path: &Path, sha256: &str) -> Result<bool> {
    Ok(path.is_file() && sha256_of_file(path)? == sha256)
}

fn fetch_error(url: &str, failed: FetchError, kind: Kind) -> String {
    let cause = match failed {
        FetchError::Missing(code) => format!("it answers {code}"),
        FetchError::Other(cause) => cause,
    };
    let key = kind.key;
    format!(
        "cannot fetch {url}: {cause}; launch again when it can be reached, or name a file of this machine in `{key}`"
    )
}

/// A file's hash, lower-case hex.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).with_context(unreadable)? {
            0 => return Ok(hex_digits(&hash.finalize())),
            n => hash.update(&piece[..n]),
        }
    }
}
