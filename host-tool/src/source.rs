//! The cluster file as people hand it over, and the clusters that they name.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_cluster_file::check::{
    MAX_FILE_BYTES, check_file_of_cluster, read_cluster_name, render_faults,
};
use ha_cluster_file::cluster::Cluster;
use ha_cluster_file::diagnostic::{Fault, Severity};
use ha_host_base::exit::Stop;
use ha_host_base::text::{pluralize, shown_path};

use crate::state::{AcceptedFile, ClusterDir, StateRoot};

/// A valid cluster file with where it came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// As named on the command line.
    pub path: PathBuf,
    pub text: String,
    /// The absolute directory that its relative paths start from.
    pub base: PathBuf,
    pub cluster: Cluster,
    /// What is not wrong but worth a look, as people see it; empty: nothing.
    pub warnings: String,
}

impl Source {
    /// What the state directory keeps of it.
    pub fn as_accepted(&self) -> AcceptedFile<'_> {
        AcceptedFile {
            cluster: &self.cluster,
            text: &self.text,
            base: &self.base,
            path: &self.path,
        }
    }
}

/// All faults of a cluster file, for programs: an error about one carries them, with the words for people below.
#[derive(Debug, thiserror::Error)]
#[error("{}", count_faults(.0))]
pub struct FileFaults(pub Vec<Fault>);

/// Reads and checks a file. The error holds all faults at once. `root` is where the cluster may be known: one that stands may
/// keep what a new one cannot have any more.
pub fn read_source(path: &Path, root: Option<&StateRoot>) -> Result<Source> {
    check_source(path, root, &|_, _| Vec::new()).map(|(source, _)| source)
}

/// What somebody else finds in a file's text: `base` is the directory that its relative paths start from.
pub type FindFaults<'a> = &'a dyn Fn(&str, &Path) -> Vec<Fault>;

/// The same, with what is not wrong but worth a look, and with what `find` has to say beside the rules.
pub fn check_source(
    path: &Path,
    root: Option<&StateRoot>,
    find: FindFaults<'_>,
) -> Result<(Source, Vec<Fault>)> {
    let text = read_cluster_file_text(path).map_err(|e| unreadable_file(path, &e))?;
    let absolute = std::path::absolute(path).map_err(|e| unreadable_file(path, &e))?;
    let base = absolute
        .parent()
        .unwrap_or_else(|| Path::new("/"))
        .to_owned();
    let name = shown_path(path);
    let found = find(&text, &base);
    let standing = accepted_version(&text, root)?;
    let checked = check_file_of_cluster(&text, &base, standing.as_deref());
    let (cluster, warnings) = with_found(checked, &text, &name, found)?;
    let source = Source {
        path: path.to_owned(),
        warnings: render_faults(&warnings, &text, &name),
        text,
        base,
        cluster,
    };
    Ok((source, warnings))
}

/// The Kubernetes version that the cluster of this name was accepted with; none: it is a new one.
fn accepted_version(text: &str, root: Option<&StateRoot>) -> Result<Option<String>> {
    let is_plain = |name: &String| {
        // Whatever else stands there is a fault, and no directory to look into.
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&name.len()) && name.chars().all(fine)
    };
    let Some((root, name)) = root.zip(read_cluster_name(text).filter(is_plain)) else {
        return Ok(None);
    };
    let accepted = root.dir(&name).accepted()?;
    Ok(accepted.map(|cluster| cluster.kubernetes.version))
}

/// The whole text. Of what is too large to be a cluster file, as much as the rules need to say so.
fn read_cluster_file_text(path: &Path) -> std::io::Result<String> {
    let most = MAX_FILE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|_| std::io::ErrorKind::InvalidData.into())
}

/// The directory of the cluster that a person names, by its name or its file.
pub fn find_cluster(root: &StateRoot, name_or_file: &str) -> Result<ClusterDir> {
    let is_file = name_or_file.contains('/')
        || name_or_file.ends_with(".yaml")
        || name_or_file.ends_with(".yml");
    if !is_file {
        return root.find(name_or_file);
    }
    let path = Path::new(name_or_file);
    // Its name is all that is asked for: whoever looks at a cluster is not told what a new one may be like.
    match read_cluster_name(&read_cluster_file_text(path).map_err(|e| unreadable_file(path, &e))?) {
        Some(name) => root.find(&name),
        None => root.find(&read_source(path, Some(root))?.cluster.name),
    }
}

/// What the rules say of a text, with what was `found` besides; `name` is how messages call it. Warnings come back.
fn with_found(
    checked: Result<(Cluster, Vec<Fault>), Vec<Fault>>,
    text: &str,
    name: &str,
    found: Vec<Fault>,
) -> Result<(Cluster, Vec<Fault>)> {
    let (cluster, mut faults) = match checked {
        Ok((cluster, warnings)) => (Some(cluster), warnings),
        Err(faults) => (None, faults),
    };
    faults.extend(found);
    faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
    let wrong = faults.iter().any(|fault| fault.severity == Severity::Error);
    if let Some(cluster) = cluster.filter(|_| !wrong) {
        return Ok((cluster, faults));
    }
    let shown = render_faults(&faults, text, name);
    let shown = Stop::InputFaults(format!("{shown}{}", count_faults(&faults)));
    Err(anyhow::Error::from(shown).context(FileFaults(faults)))
}

fn count_faults(faults: &[Fault]) -> String {
    let errors = faults
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count();
    let warnings = faults.len() - errors;
    let and = if warnings == 0 {
        String::new()
    } else {
        format!(" and {}", pluralize(warnings, "warning"))
    };
    format!("{}{and}; nothing was written", pluralize(errors, "error"))
}

fn unreadable_file(path: &Path, error: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    let path = shown_path(path);
    Stop::bad_input(match error.kind() {
        ErrorKind::NotFound => {
            format!("there is no {path}; `ha-host new {path}` writes one to start from")
        }
        ErrorKind::InvalidData => format!("{path} is not UTF-8 text"),
        _ => format!("{path} cannot be read: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_one_message() {
        let error = read_source(Path::new("/dev/zero"), None).unwrap_err();
        let stop = error.downcast_ref::<Stop>();
        assert!(matches!(stop, Some(Stop::InputFaults(_))), "{error:#}");
        let told = stop.map(Stop::to_string).unwrap_or_default();
        assert!(
            told.starts_with("error: the file is larger than 16 MiB\n") && told.len() < 1000,
            "{} bytes",
            told.len()
        );
        assert!(told.ends_with("1 error; nothing was written"), "{told}");
    }
}
