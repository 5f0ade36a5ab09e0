//! `proxy` as written.

use super::reader::Fields;
use super::scalars::Scalar;
use super::spanned::Spanned;
use crate::cluster::ProxyUrl;
use crate::diagnostic::Place;

/// `proxy`, as written: through what nodes fetch.
#[derive(Debug, Clone)]
pub struct ProxyFile {
    /// Where the key stands.
    pub place: Place,
    /// Asked for `http://`.
    pub http: Option<Spanned<ProxyUrl>>,
    /// Asked for `https://`.
    pub https: Option<Spanned<ProxyUrl>>,
    /// What is reached without it, beside the cluster's own.
    pub except: Vec<Spanned<String>>,
}

impl ProxyFile {
    /// None: left out, or no mapping at all.
    pub(super) fn read(f: &mut Fields<'_>) -> Option<Self> {
        let is_mapping = f.is_mapping("proxy");
        let mut f = f.fields("proxy");
        f.known(&["http", "https", "except"]);
        is_mapping.then(|| Self {
            place: f.place,
            http: f.maybe("http"),
            https: f.maybe("https"),
            except: f.list("except"),
        })
    }
}

/// Whatever it is: the reader's words on what cannot be read show the text, and this one may hold a password.
impl Scalar for ProxyUrl {
    fn read(text: &str) -> Result<Self, (String, String)> {
        Ok(Self::new(text))
    }
}
