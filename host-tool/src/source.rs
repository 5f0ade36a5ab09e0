//! The cluster file as people hand it over.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_cluster_file::check::{check, show};
use ha_cluster_file::cluster::Cluster;
use ha_cluster_file::diagnostic::{Fault, Severity};
use ha_host_base::exit::{Exit, Stop};
use ha_host_base::text::count;

/// A valid cluster file with where it came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// As named on the command line.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The absolute directory that its relative paths start from.
    pub base: PathBuf,
    /// What it says.
    pub cluster: Cluster,
}

/// Reads and checks a file. Warnings go to standard error; so do the faults, all at once, before the error comes back.
pub fn read(path: &Path) -> Result<Source> {
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
    let absolute = std::path::absolute(path).map_err(|e| unreadable(path, &e))?;
    let base = absolute
        .parent()
        .unwrap_or_else(|| Path::new("/"))
        .to_owned();
    let (cluster, warnings) = judge(&text, &base, &path.display().to_string())?;
    if !warnings.is_empty() {
        eprintln!("{}", show(&warnings, &text, &path.display().to_string()));
    }
    Ok(Source {
        path: path.to_owned(),
        text,
        base,
        cluster,
    })
}

/// Checks a text; `name` is how messages call it. Faults go to standard error, warnings come back.
pub fn judge(text: &str, base: &Path, name: &str) -> Result<(Cluster, Vec<Fault>)> {
    check(text, base).map_err(|faults| {
        eprintln!("{}{}", show(&faults, text, name), tally(&faults));
        Stop::Said(Exit::BadInput).into()
    })
}

fn tally(faults: &[Fault]) -> String {
    let errors = faults
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count();
    let warnings = faults.len() - errors;
    let and = if warnings == 0 {
        String::new()
    } else {
        format!(" and {}", count(warnings, "warning"))
    };
    format!("{}{and}; nothing was written", count(errors, "error"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    let path = path.display();
    Stop::bad_input(match error.kind() {
        ErrorKind::NotFound => {
            format!("there is no {path}; `ha-host new {path}` writes one to start from")
        }
        ErrorKind::InvalidData => format!("{path} is no UTF-8 text"),
        _ => format!("{path} cannot be read: {error}"),
    })
}
