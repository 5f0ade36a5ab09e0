//! What the bakery said once: a later launch or render neither asks nor changes.

use std::path::Path;

use anyhow::{Error, Result};
use ha_host_base::files;
use ha_host_base::stored::{StoredError, parse_stored};
use ha_wire::format::Version;
use serde::{Deserialize, Serialize};

use super::release::{BAKERY, Release};
use super::{Artefact, SysextSource};

/// Format of the file.
const VERSION: Version<1> = Version;
/// Its name in a cluster's state directory.
const NAME: &str = "sysexts.json";

/// The bakery's images that this cluster was told to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownReleases {
    version: Version<1>,
    sysexts: Vec<Entry>,
    /// Something was learnt since it was read.
    #[serde(skip)]
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    version: String,
    arch: String,
    url: String,
    sha256: String,
}

impl Default for KnownReleases {
    fn default() -> Self {
        Self {
            version: VERSION,
            sysexts: Vec::new(),
            changed: false,
        }
    }
}

impl KnownReleases {
    /// As the state directory has it; nothing is known without one.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let Some(text) = files::read_optional(&path)? else {
            return Ok(Self::default());
        };
        parse_stored(&text, VERSION).map_err(|error| {
            let remedy = match &error {
                StoredError::Shape(_) => ": move it away, and the bakery is asked again",
                StoredError::OtherVersion { .. } => "",
            };
            Error::new(error).context(format!("{} cannot be understood{remedy}", path.display()))
        })
    }

    /// Keeps what was learnt.
    pub fn keep(&self, dir: &Path) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        files::write_atomic(&dir.join(NAME), text.as_bytes())
    }

    /// An image of the bakery's. A mirror changes where it is fetched, never what it has to be.
    pub(super) fn release(
        &mut self,
        release: &Release<'_>,
        mirror: Option<&str>,
    ) -> Result<Artefact> {
        let url = release.url(mirror.unwrap_or(BAKERY));
        let old = self.sysexts.iter().find(|e| e.is(release));
        let (url, sha256) = match old {
            Some(old) if mirror.is_none() => (old.url.clone(), old.sha256.clone()),
            Some(old) => (url, old.sha256.clone()),
            None => {
                let sha256 = release.sha256(mirror.unwrap_or(BAKERY))?;
                self.learn(release, &url, &sha256);
                (url, sha256)
            }
        };
        Ok(Artefact {
            file: release.file(),
            source: SysextSource::Url { url, sha256 },
        })
    }

    fn learn(&mut self, release: &Release<'_>, url: &str, sha256: &str) {
        self.sysexts.push(Entry {
            name: release.name.to_owned(),
            version: release.version.to_owned(),
            arch: release.arch.to_string(),
            url: url.to_owned(),
            sha256: sha256.to_owned(),
        });
        self.changed = true;
    }
}

impl Entry {
    fn is(&self, release: &Release<'_>) -> bool {
        (
            self.name.as_str(),
            self.version.as_str(),
            self.arch.as_str(),
        ) == (release.name, release.version, release.arch.name())
    }
}
