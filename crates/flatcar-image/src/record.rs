//! What is known of a stored image: `image.json`, format 1.

use std::cmp::Ordering;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ha_host_base::files;
use serde::{Deserialize, Serialize};

/// The version of the format below.
pub const FORMAT: u32 = 1;
/// Its name, beside the image.
pub const NAME: &str = "image.json";

/// A stored image, and whose signature it bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImageRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// Flatcar's version, e.g. `4230.2.3`.
    pub version: String,
    /// `stable`, `beta`, `alpha` or `lts`: as asked for, since no signature says it.
    pub channel: String,
    /// `x86-64` or `arm64`: as asked for.
    pub arch: String,
    /// The image's file name.
    pub file: String,
    /// Of the unpacked image, in bytes.
    pub size: u64,
    /// Of the unpacked image.
    pub sha256: String,
    /// The SHA-256 of the file that was signed.
    pub packed_sha256: String,
    /// Where it came from: a URL or a path.
    pub source: String,
    /// The fingerprint of the key that signed it.
    pub signed_by: String,
    /// When, in milliseconds since 1970.
    pub signed_ms: u64,
    /// When it was stored here, in milliseconds since 1970.
    pub pulled_ms: u64,
}

impl ImageRecord {
    /// The record of the image in this directory; none if there is no image.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        let Some(text) = files::read_optional(&path)? else {
            return Ok(None);
        };
        let record = Self::parse(&text)
            .with_context(|| format!("{} is not a valid record", path.display()))?;
        Ok(dir.join(&record.file).is_file().then_some(record))
    }

    fn parse(text: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(f) if f != u64::from(FORMAT) => bail!(
                "format {f} is not known to this ha-host (it knows {FORMAT}): use the ha-host that made it"
            ),
            _ => Ok(serde_json::from_value(value)?),
        }
    }
}

/// Whether a version is one of Flatcar's, `4230.2.3` or `4230.0.0+nightly-20250101-2100`: it becomes a directory's name.
pub fn is_version(text: &str) -> bool {
    const LONGEST: usize = 64;
    let (numbers, rest) = split_version(text);
    let mut parts = numbers.split('.');
    let number = |p: &str| !p.is_empty() && p.len() <= 9 && p.bytes().all(|b| b.is_ascii_digit());
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
    text.len() <= LONGEST
        && parts.by_ref().take(3).filter(|p| number(p)).count() == 3
        && parts.next().is_none()
        && rest.bytes().all(plain)
}

/// Which of two versions is newer.
pub fn by_version(a: &str, b: &str) -> Ordering {
    let key = |text: &str| {
        let (numbers, rest) = split_version(text);
        let numbers: Vec<u64> = numbers.split('.').filter_map(|n| n.parse().ok()).collect();
        (numbers, rest.to_owned())
    };
    key(a).cmp(&key(b))
}

/// The number that all releases of one stream begin with; every LTS has its own.
pub fn major_number(version: &str) -> &str {
    version.split_once('.').map_or(version, |(major, _)| major)
}

fn split_version(text: &str) -> (&str, &str) {
    text.split_at(text.find(['+', '-']).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never changes: stores of released versions look like this.
    const V1: &str = r#"{"format":1,"version":"4230.2.3","channel":"stable","arch":"x86-64",
        "file":"flatcar_production_qemu_image.img","size":3,"sha256":"aa","packedSha256":"bb",
        "source":"https://stable.release.flatcar-linux.net/amd64-usr/4230.2.3/flatcar_production_qemu_image.img.bz2",
        "signedBy":"52F145DFD00BBDCD928CBB5A32DA80F91EF52974","signedMs":1755000000000,"pulledMs":1763737200000}"#;

    #[test]
    fn reads_the_frozen_v1() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ImageRecord::read(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join(NAME), V1).unwrap();
        assert_eq!(ImageRecord::read(dir.path()).unwrap(), None, "no image");
        std::fs::write(dir.path().join("flatcar_production_qemu_image.img"), "abc").unwrap();
        let record = ImageRecord::read(dir.path()).unwrap().unwrap();
        assert_eq!((record.size, record.version.as_str()), (3, "4230.2.3"));
        assert_eq!(
            ImageRecord::parse(&serde_json::to_string(&record).unwrap()).unwrap(),
            record
        );
        let error = ImageRecord::parse(&V1.replace(":1,\"v", ":2,\"v")).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    #[test]
    fn versions_are_told_from_other_words() {
        for good in ["4230.2.3", "0.0.0", "4152.0.0+nightly-20241101-2100"] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "",
            "current",
            "1.2",
            "1.2.3.4",
            "1.2.x",
            "../1.2.3",
            "1.2.3/..",
            "1.2.3+a/b",
            "1..3",
            " 1.2.3",
            "-1.2.3",
            "1.2.3\n",
        ] {
            assert!(!is_version(bad), "{bad:?}");
        }
        let mut list = ["999.9.9", "4230.2.10", "4230.2.9", "4230.10.0"];
        list.sort_by(|a, b| by_version(a, b));
        assert_eq!(list, ["999.9.9", "4230.2.9", "4230.2.10", "4230.10.0"]);
    }
}
