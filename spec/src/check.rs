//! From text to [`Cluster`]: every fault at once, each with its place, what is wrong and what would be right.

use std::path::Path;

use serde::Serialize;

use crate::cluster::Cluster;
use crate::file::ClusterFile;

mod build;
mod cidrs;
mod distance;
mod files;
mod kubeadm;
mod kubernetes;
mod machines;
mod names;
mod network;
mod nodes;
mod ports;
mod provider;
mod show;
mod syntax;
mod sysexts;

pub use show::show;

pub(crate) use distance::{closest, did_you_mean};

/// One thing wrong with a cluster file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Errors forbid, warnings do not.
    pub severity: Severity,
    /// Dotted path, e.g. `nodes[4].address`; empty: the whole file.
    pub path: String,
    /// Where the fault is shown.
    pub place: Place,
    /// Another place that takes part in the fault, with a word on it.
    pub also: Option<(Place, String)>,
    /// What is wrong, one line.
    pub message: String,
    /// What would be right, one line.
    pub help: String,
}

/// Whether a fault forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No cluster comes of it.
    Error,
    /// It works, but not as well as people expect.
    Warning,
}

/// A place in the text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub width: usize,
}

impl Place {
    /// The begin of the file, for faults that have no better place.
    pub(crate) const START: Self = Self {
        line: 1,
        column: 1,
        width: 1,
    };
}

impl Fault {
    /// Something that forbids.
    pub(crate) fn error(
        place: Place,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (message, help) = (message.into(), help.into());
        Self {
            severity: Severity::Error,
            path: path.to_owned(),
            place,
            also: None,
            message,
            help,
        }
    }

    /// The same, but only a warning.
    pub(crate) fn warning(self) -> Self {
        Self {
            severity: Severity::Warning,
            ..self
        }
    }

    /// The same with a second place.
    pub(crate) fn also(self, place: Place, word: impl Into<String>) -> Self {
        Self {
            also: Some((place, word.into())),
            ..self
        }
    }
}

/// One concern's look at the file.
type Rule = fn(&ClusterFile, &mut Vec<Fault>);

/// Every rule, one function a concern.
const RULES: [Rule; 11] = [
    names::rules,
    network::rules,
    cidrs::rules,
    nodes::rules,
    ports::rules,
    kubernetes::rules,
    kubeadm::rules,
    provider::rules,
    provider::nodes,
    sysexts::rules,
    files::rules,
];

/// A cluster with its warnings, or all that is wrong, ordered by place. `base` is the absolute directory that relative
/// paths in the file start from; nothing is read from disk.
pub fn check(text: &str, base: &Path) -> Result<(Cluster, Vec<Fault>), Vec<Fault>> {
    let (file, mut faults) = ClusterFile::read(text);
    for rule in RULES {
        rule(&file, &mut faults);
    }
    faults.sort_by_key(|f| (f.place.line, f.place.column));
    if faults.iter().any(|f| f.severity == Severity::Error) {
        return Err(faults);
    }
    match build::cluster(file, base) {
        Some(cluster) => Ok((cluster, faults)),
        None => {
            let message = "this file passed every check and is still incomplete: a bug in ha-host";
            faults.push(Fault::error(
                Place::START,
                "",
                message,
                "please report it with the file",
            ));
            Err(faults)
        }
    }
}

/// Whether a source is fetched instead of read from disk.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}
