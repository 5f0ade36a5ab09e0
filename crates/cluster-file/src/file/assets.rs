//! `assets` and `updates` as written.

use super::reader::Fields;
use super::scalars::{Scalar, parse_keyword};
use super::spanned::Spanned;
use crate::cluster::Updates;

/// How sysexts reach the nodes.
#[derive(Debug, Clone)]
pub enum AssetsFile {
    /// On a disk that all machines share, with archives of container images.
    Disk(Vec<Spanned<String>>),
    /// Each node fetches them.
    Download,
}

impl AssetsFile {
    /// None: left out, the provider's own way.
    pub(super) fn read(f: &mut Fields<'_>) -> Option<Spanned<Self>> {
        if !f.is_written("assets") {
            return None;
        }
        let (word, options) = f.choice("assets", &["disk", "download"], "")?;
        let mut f = f.options(&word, options);
        let value = if word.value == "disk" {
            f.known(&["images"]);
            Self::Disk(f.list("images"))
        } else {
            f.known(&[]);
            Self::Download
        };
        Some(word.with(value))
    }
}

impl Scalar for Updates {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [("none", Self::None), ("sysupdate", Self::Sysupdate)];
        parse_keyword(text, "an update method", &table)
    }
}
