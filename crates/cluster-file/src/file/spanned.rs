//! A value with its place.

use crate::diagnostic::{Fault, Place};

/// A value, where it stands and how it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// What was written, or the default.
    pub value: T,
    /// Where it stands; a default stands where it would have been written.
    pub place: Place,
    /// Dotted path, e.g. `nodes[4].address`.
    pub path: String,
    /// False: it is the default.
    pub given: bool,
    /// It is the first of two values that a key has in a dual-stack cluster, which have rules of their own.
    pub paired: bool,
}

impl<T> Spanned<T> {
    /// A fault of this value. The message goes on after the path: `is the address of node2`.
    pub(crate) fn error(&self, message: impl AsRef<str>, help: impl Into<String>) -> Fault {
        Fault::error(
            self.place,
            &self.path,
            format!("{} {}", self.path, message.as_ref()),
            help,
        )
    }

    /// Another value at the same place.
    pub(crate) fn with<U>(&self, value: U) -> Spanned<U> {
        Spanned {
            value,
            place: self.place,
            path: self.path.clone(),
            given: self.given,
            paired: self.paired,
        }
    }
}
