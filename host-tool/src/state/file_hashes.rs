//! What the files that an accepted cluster file names held: `file-hashes.json`, v1. A path says where a file was, its hash what it
//! is: the same project in another checkout is the same cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::files;
use ha_host_base::stored::{StoredError, parse_stored};
use ha_wire::format::Version;
use serde::{Deserialize, Serialize};

/// Where it is kept.
pub const FILE: &str = "file-hashes.json";
/// The version of the format below.
const VERSION: Version<1> = Version;

/// By the cluster file's key, e.g. `sysexts.ha-agent.path`.
pub type FileHashes = BTreeMap<String, FileHash>;

/// One file as it was when the cluster file was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileHash {
    pub path: PathBuf,
    pub bytes: u64,
    /// Its modification time, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Lower-case hexadecimal digits.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredHashes {
    version: Version<1>,
    files: FileHashes,
}

/// What is kept in a cluster's directory; nothing where an earlier version wrote it.
pub fn read_hashes(dir: &Path) -> Result<FileHashes> {
    let path = dir.join(FILE);
    let Some(text) = files::read_optional(&path)? else {
        return Ok(FileHashes::new());
    };
    parse_hashes(&text).with_context(|| format!("{} cannot be understood", path.display()))
}

pub fn hashes_text(files: &FileHashes) -> Result<String> {
    let (version, files) = (VERSION, files.clone());
    Ok(serde_json::to_string_pretty(&StoredHashes { version, files })? + "\n")
}

fn parse_hashes(text: &str) -> Result<FileHashes, StoredError> {
    parse_stored(text, VERSION).map(|kept: StoredHashes| kept.files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never changes: state directories of released versions look like this.
    const V1: &str = r#"{
  "version": 1,
  "files": {
    "sysexts.ha-agent.path": {
      "path": "/home/me/ha-agent.raw",
      "bytes": 5,
      "modifiedNs": 1763737200000000000,
      "sha256": "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
    }
  }
}
"#;

    #[test]
    fn reads_the_frozen_v1_and_refuses_other_versions() {
        let hashes = parse_hashes(V1).unwrap();
        assert_eq!(hashes_text(&hashes).unwrap(), V1);
        assert_eq!(hashes["sysexts.ha-agent.path"].bytes, 5);
        let error = parse_hashes(&V1.replace("\"version\": 1", "\"version\": 2")).unwrap_err();
        assert!(
            error.to_string().contains("version 2 is not known"),
            "{error}"
        );
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_hashes(dir.path()).unwrap(), FileHashes::new());
    }
}
