//! What is known of a cluster: `state.json`, v1.

use std::path::PathBuf;

use ha_host_base::clock::now_ms;
use ha_host_base::stored::{StoredError, parse_stored};
use ha_wire::format::Version;
use serde::{Deserialize, Serialize};

/// Where it is kept.
pub const FILE: &str = "state.json";
/// The version of the format below.
pub const VERSION: Version<1> = Version;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterRecord {
    pub version: Version<1>,
    pub name: String,
    pub created_ms: u64,
    /// How far the cluster is.
    pub life: ClusterLife,
    /// True once an apiserver answered under this cluster's CA: from then on no node may found it.
    pub founded: bool,
    /// The directory that relative paths in the stored cluster file start from.
    pub base: PathBuf,
    /// The cluster file as it was named last.
    pub file: PathBuf,
}

/// How far a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterLife {
    /// Keys and configs exist, no machine was made.
    Rendered,
    /// A launch made machines and has not seen the cluster whole.
    Launching,
    /// A launch saw the cluster whole.
    Standing,
    Destroying,
}

impl ClusterLife {
    pub fn label(self) -> &'static str {
        match self {
            Self::Rendered => "rendered",
            Self::Launching => "launch not finished",
            Self::Standing => "launched",
            Self::Destroying => "destroy not finished",
        }
    }
}

impl ClusterRecord {
    pub fn new(name: &str, base: PathBuf, file: PathBuf) -> Self {
        let (name, created_ms) = (name.to_owned(), now_ms());
        Self {
            version: VERSION,
            name,
            created_ms,
            life: ClusterLife::Rendered,
            founded: false,
            base,
            file,
        }
    }

    /// Reads a record's text.
    pub fn parse(text: &str) -> Result<Self, StoredError> {
        parse_stored(text, VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never changes: state directories of released versions look like this.
    const V1: &str = r#"{"version":1,"name":"demo","createdMs":1763737200000,"life":"standing","founded":true,
        "base":"/home/me/demo","file":"demo.yaml"}"#;

    #[test]
    fn reads_the_frozen_v1() {
        let record = ClusterRecord::parse(V1).unwrap();
        assert_eq!((record.life, record.founded), (ClusterLife::Standing, true));
        assert_eq!(
            ClusterRecord::parse(&serde_json::to_string(&record).unwrap()).unwrap(),
            record
        );
    }

    #[test]
    fn refuses_other_versions() {
        let error = ClusterRecord::parse(&V1.replace(":1,\"name", ":2,\"name")).unwrap_err();
        assert!(
            error.to_string().contains("version 2 is not known"),
            "{error}"
        );
    }
}
