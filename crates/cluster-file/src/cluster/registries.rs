//! `registries` once it is valid: how nodes reach registries of container images.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One registry, as both container runtimes are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Registry {
    /// What images' names begin with: a name or an address, with a port if it has one.
    pub host: String,
    /// Asked first, in this order: `https://HOST[:PORT][/PATH]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// The CA of the registry and its mirrors, absolute; none: those that nodes trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// No certificate of theirs is looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_verify: bool,
    /// Who pulls from there; none: nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<RegistryAuth>,
}

/// A registry's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RegistryAuth {
    /// Without a colon.
    pub user: String,
    /// The password's file, absolute.
    pub password_file: PathBuf,
}

impl Registry {
    /// The host and port of a mirror, and the path behind them without a slash at either end.
    pub fn split_mirror(mirror: &str) -> (&str, &str) {
        let rest = mirror.split_once("://").map_or(mirror, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        (host, path.trim_end_matches('/'))
    }
}
