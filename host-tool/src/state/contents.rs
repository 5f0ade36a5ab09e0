//! What in a cluster's directory is ha-host's, and what is not. What is not stays as it is.

use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use ha_host_base::exit::Stop;

use super::{accepted, file_hashes, record};

/// Every CA and key.
pub const PKI: &str = "pki";
/// Each node's Ignition config, `NODE.ign`.
pub const NODES: &str = "nodes";
/// The administrator's.
pub const KUBECONFIG: &str = "kubeconfig";
pub const LOCK: &str = "lock";
/// What was seen of the last launch, JSON lines.
pub const LAUNCH_FACTS: &str = "launch.jsonl";
/// The picture of it.
pub const LAUNCH_PICTURE: &str = "launch.html";
/// Everything that ha-host ever puts there, in the order in which it goes: the record nearly last, so that a removal that was cut
/// off can be seen and repeated.
const OWN: [&str; 13] = [
    PKI,
    NODES,
    "machines",
    "assets",
    "sysexts.json",
    KUBECONFIG,
    file_hashes::FILE,
    LAUNCH_FACTS,
    LAUNCH_PICTURE,
    accepted::FILE,
    accepted::TEXT,
    record::FILE,
    LOCK,
];
/// How a file or directory in the making is called: this and [`SCRATCH_RANDOM`] letters or digits.
const SCRATCH: &str = ".new-";
const SCRATCH_RANDOM: usize = 6;

/// Refuses a directory that somebody else made and filled. One that is missing or empty may be used, and one that an ha-host left
/// before it could write the record.
pub fn refuse_foreign_dir(dir: &Path) -> Result<()> {
    if dir.join(record::FILE).try_exists().unwrap_or(false) {
        return Ok(());
    }
    let foreign = match sorted_entries(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let foreign: Vec<String> = foreign
        .into_iter()
        .filter(|entry| !is_unfinished_record(entry) && entry.file_name() != LOCK)
        .map(dir_entry_name)
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(Stop::bad_input(format!(
        "{} is to hold the cluster's state, and holds {} already, which ha-host did not make; nothing was changed. Give another \
         --state-dir, or move that elsewhere",
        dir.display(),
        some_of(&foreign)
    )))
}

/// Whether there is any node's config.
pub fn has_configs(dir: &Path) -> Result<bool> {
    match sorted_entries(&dir.join(NODES)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        read => {
            let found =
                read.with_context(|| format!("cannot read {}", dir.join(NODES).display()))?;
            Ok(found
                .iter()
                .any(|entry| entry.path().extension().is_some_and(|end| end == "ign")))
        }
    }
}

/// Removes what writes that were cut off have left.
pub fn remove_interrupted_writes(dir: &Path) -> Result<()> {
    for place in [dir.to_owned(), dir.join(NODES)] {
        let found = match sorted_entries(&place) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read.with_context(|| format!("cannot read {}", place.display()))?,
        };
        for entry in found.iter().filter(|entry| is_scratch(entry)) {
            remove_entry(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes all that is ha-host's, and the directory if nothing else is in it. Returns what is left.
pub fn remove_own(dir: &Path) -> Result<Vec<String>> {
    remove_interrupted_writes(dir)?;
    for name in OWN {
        remove_entry(&dir.join(name))?;
    }
    let left: Vec<String> = sorted_entries(dir)?
        .into_iter()
        .map(dir_entry_name)
        .collect();
    if left.is_empty() {
        std::fs::remove_dir(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(left)
}

/// `a, b, c and 4 more`.
pub fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match names.len() {
        0..=SHOWN => names.join(", "),
        n => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}

/// A link is removed, never what it leads to.
pub fn remove_entry(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// In the order of their names.
fn sorted_entries(dir: &Path) -> std::io::Result<Vec<DirEntry>> {
    let mut entries = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn dir_entry_name(entry: DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// The record is the first that is written, and it is a file.
fn is_unfinished_record(entry: &DirEntry) -> bool {
    is_scratch(entry) && entry.file_type().is_ok_and(|kind| kind.is_file())
}

fn is_scratch(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let random = name.to_str().and_then(|name| name.strip_prefix(SCRATCH));
    random.is_some_and(|random| {
        random.len() == SCRATCH_RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir_with(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    #[test]
    fn a_directory_is_ours_by_its_record_or_as_long_as_nothing_is_in_it() {
        for ours in [
            &[][..],
            &["lock"],
            &["lock", ".new-aB3xYz"],
            &["state.json", "notes.txt"],
        ] {
            refuse_foreign_dir(dir_with(ours).path()).unwrap();
        }
        refuse_foreign_dir(&dir_with(&[]).path().join("missing")).unwrap();
        for theirs in [
            &["notes.txt"][..],
            &["cluster.yaml"],
            &[".git/config"],
            &[".new-ideas"],
            &["lock", ".new-ideas1/a"],
        ] {
            let error = refuse_foreign_dir(dir_with(theirs).path()).unwrap_err();
            assert!(
                matches!(error.downcast_ref(), Some(Stop::BadInput(_))),
                "{theirs:?}"
            );
        }
    }

    #[test]
    fn what_is_not_ours_stays_and_is_named() {
        let dir = dir_with(&[
            "state.json",
            "lock",
            "pki/ca.key",
            "nodes/node1.ign",
            ".new-aB3xYz",
            "kubeconfig",
        ]);
        let theirs = dir_with(&["precious"]);
        std::os::unix::fs::symlink(theirs.path(), dir.path().join("machines")).unwrap();
        std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        std::fs::create_dir(dir.path().join(".new-ideas")).unwrap();
        assert_eq!(remove_own(dir.path()).unwrap(), [".new-ideas", "notes.txt"]);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("notes.txt")).unwrap(),
            "mine"
        );
        assert!(
            theirs.path().join("precious").exists(),
            "a link is not a part of the directory"
        );
    }

    #[test]
    fn a_removal_that_was_cut_off_is_finished_by_the_next() {
        let dir = dir_with(&["state.json", "lock"]);
        assert!(remove_own(dir.path()).unwrap().is_empty());
        assert!(!dir.path().exists());
    }

    #[test]
    fn many_names_are_shortened() {
        let names: Vec<String> = (1..=5).map(|n| n.to_string()).collect();
        assert_eq!(some_of(&names), "1, 2, 3 and 2 more");
        assert_eq!(some_of(&names[..2]), "1, 2");
    }
}
