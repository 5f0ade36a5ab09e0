//! `proxy` once it is valid: what nodes fetch through, and what they reach without it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A proxy for what nodes fetch: container images, system extensions, charts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Proxy {
    /// Asked for `http://`; none: nobody is.
    pub http: Option<ProxyUrl>,
    /// Asked for `https://`; none: nobody is.
    pub https: Option<ProxyUrl>,
    /// Addresses, networks and names that are reached without it, beside the cluster's own.
    pub except: Vec<String>,
}

/// A proxy's URL. It may hold a password, so it is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// A URL as it was written.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The URL itself, for files that only root reads.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyUrl(..)")
    }
}
