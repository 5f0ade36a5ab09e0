//! One thing wrong with a cluster file, with its place in the text.

use serde::Serialize;

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
    /// Line of the text, counted from 1.
    pub line: usize,
    /// Column of the line in characters, counted from 1.
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
    /// A fault that no cluster comes of.
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
