//! From text to [`Cluster`]: every fault at once, each with its place, what is wrong and what would be right.

use std::path::Path;

use crate::cluster::Cluster;

/// One thing wrong with a cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// No cluster comes of it.
    Error,
    /// It works, but not as well as people expect.
    Warning,
}

/// A place in the text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub width: usize,
}

/// A cluster with its warnings, or all that is wrong, ordered by place. `base` is the absolute directory that relative
/// paths in the file start from; nothing is read from disk.
pub fn check(text: &str, base: &Path) -> Result<(Cluster, Vec<Fault>), Vec<Fault>> {
    let _ = (text, base);
    Err(Vec::new())
}

/// The faults as people see them: message, `file:line:column`, the line with carets, the help. No colour.
pub fn show(faults: &[Fault], text: &str, file_name: &str) -> String {
    let _ = (faults, text, file_name);
    String::new()
}
