//! What a pull has so far: `.new-ARCH-VERSION/`, kept when it is cut off and gone on with by the next.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::files;
use serde::{Deserialize, Serialize};

/// What such directories begin with.
pub const PREFIX: &str = ".new-";

/// The file as it is fetched.
const PACKED: &str = "packed";
/// Where it comes from.
const ORIGIN: &str = "origin.json";

/// What the server said of the file that is coming. A later answer that differs means another file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadOrigin {
    /// Where it comes from.
    pub url: String,
    /// The server's name for this very content.
    pub etag: Option<String>,
    /// The whole file's bytes.
    pub length: u64,
}

#[derive(Debug)]
pub struct PartialDownload(PathBuf);

impl PartialDownload {
    /// Makes it if it is not there.
    pub fn open(dir: PathBuf) -> Result<Self> {
        files::make_dir(&dir)?;
        Ok(Self(dir))
    }

    /// The file as it is fetched.
    pub fn file(&self) -> PathBuf {
        packed_file(&self.0)
    }

    /// The directory that becomes the stored image.
    pub fn ready(&self) -> PathBuf {
        self.0.join("ready")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is there of the file at this URL, and how many bytes; none if that is not certain.
    pub fn have(&self, url: &str) -> Result<Option<(DownloadOrigin, u64)>> {
        let Some(text) = files::read_optional(&self.0.join(ORIGIN))? else {
            return Ok(None);
        };
        let bytes = std::fs::metadata(self.file()).map_or(0, |m| m.len());
        let origin = serde_json::from_str::<DownloadOrigin>(&text).ok();
        Ok(origin
            .filter(|o| o.url == url && bytes > 0 && bytes <= o.length)
            .map(|o| (o, bytes)))
    }

    /// Begins anew; without an origin there is nothing that a later pull could go on with.
    pub fn begin(&self, origin: Option<&DownloadOrigin>) -> Result<File> {
        self.forget()?;
        let file = files::create_new(&self.file())?;
        if let Some(origin) = origin {
            files::write_atomic(&self.0.join(ORIGIN), &serde_json::to_vec_pretty(origin)?)?;
        }
        Ok(file)
    }

    /// The file, to write on at its end.
    pub fn go_on(&self) -> Result<File> {
        let path = self.file();
        let file = OpenOptions::new().append(true).open(&path);
        file.with_context(|| format!("cannot open {}", path.display()))
    }

    /// Drops what was fetched.
    pub fn forget(&self) -> Result<()> {
        // The origin first: a file without one is never gone on with.
        for name in [ORIGIN, PACKED] {
            fine_if_missing(std::fs::remove_file(self.0.join(name)))
                .with_context(|| format!("cannot clear {}", self.0.display()))?;
        }
        Ok(())
    }

    /// Drops what was unpacked.
    pub fn forget_ready(&self) -> Result<()> {
        fine_if_missing(std::fs::remove_dir_all(self.ready()))
            .with_context(|| format!("cannot clear {}", self.0.display()))
    }

    /// Whether a later pull can go on with it: not without an origin.
    pub fn can_be_continued(&self) -> bool {
        can_be_continued(&self.0)
    }

    pub fn remove(&self) -> Result<()> {
        fine_if_missing(std::fs::remove_dir_all(&self.0))
            .with_context(|| format!("cannot remove {}", self.0.display()))
    }
}

/// The file that is being fetched in such a directory.
pub fn packed_file(dir: &Path) -> PathBuf {
    dir.join(PACKED)
}

/// Whether a later pull can go on with what is in such a directory.
pub fn can_be_continued(dir: &Path) -> bool {
    dir.join(PACKED).exists() && dir.join(ORIGIN).exists()
}

/// Not there is as good as removed.
pub fn fine_if_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let part = PartialDownload::open(dir.path().join("new")).unwrap();
        let origin = DownloadOrigin {
            url: "http://a/b".to_owned(),
            etag: None,
            length: 4,
        };
        let file = part.begin(Some(&origin)).unwrap();
        assert_eq!(part.have("http://a/b").unwrap(), None, "nothing came yet");
        std::fs::write(part.file(), "abc").unwrap();
        assert_eq!(
            part.have("http://a/b").unwrap(),
            Some((origin.clone(), 3)),
            "three bytes came"
        );
        assert_eq!(part.have("http://a/c").unwrap(), None, "another file");
        std::fs::write(part.file(), "abcde").unwrap();
        assert_eq!(
            part.have("http://a/b").unwrap(),
            None,
            "longer than the whole"
        );
        std::fs::write(part.path().join(ORIGIN), "{").unwrap();
        assert_eq!(part.have("http://a/b").unwrap(), None, "no JSON");
        drop(file);
        drop(part.begin(None).unwrap());
        std::fs::write(part.file(), "abc").unwrap();
        assert_eq!(part.have("http://a/b").unwrap(), None, "no origin");
    }
}
