//! One file of the operator's: opened, read, and what is wrong with it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Texts are read whole; no manifest or Ignition config is as large.
pub(super) const MAX_TEXT: u64 = 64 << 20;
/// What is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct FileFault {
    /// To go on after the file's name.
    pub what: String,
    pub remedy: String,
}

impl FileFault {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, remedy) = (what.into(), remedy.into());
        Self { what, remedy }
    }
}

pub(super) type Judged<T> = Result<T, FileFault>;

/// A regular file that can be read and is not empty.
pub(super) fn open_file(path: &Path) -> Judged<File> {
    let meta = std::fs::metadata(path).map_err(|e| fault_of_read_error(&e))?;
    if meta.is_dir() {
        return Err(FileFault::new("is a directory", "name a file in it"));
    }
    if !meta.is_file() {
        return Err(FileFault::new("is not a regular file", "name a file"));
    }
    if meta.len() == 0 {
        let remedy = "it was cut off, or never written: fetch or make it again";
        return Err(FileFault::new("is empty", remedy));
    }
    File::open(path).map_err(|e| fault_of_read_error(&e))
}

pub(super) fn fault_of_read_error(error: &std::io::Error) -> FileFault {
    match error.kind() {
        ErrorKind::NotFound => FileFault::new(
            "does not exist",
            "relative paths start from the cluster file's own directory",
        ),
        ErrorKind::PermissionDenied => FileFault::new(
            "cannot be read: permission denied",
            "let its owner run ha-host, or give it more rights (chmod, chown)",
        ),
        _ => FileFault::new(format!("cannot be read: {error}"), "look at it with ls -l"),
    }
}

pub(super) fn read_text(path: &Path) -> Judged<String> {
    let mut bytes = Vec::new();
    open_file(path)?
        .take(MAX_TEXT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| fault_of_read_error(&e))?;
    if bytes.len() as u64 > MAX_TEXT {
        let most = MAX_TEXT >> 20;
        return Err(FileFault::new(
            format!("is larger than {most} MiB"),
            "name a text file",
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_| FileFault::new("is not UTF-8 text", "save it as UTF-8, without compression"))
}
