//! Files that are wrong, each named by its fault, and what people are told: `bad/*.yaml` with `bad/*.txt` beside it.
//! `BLESS=1 cargo test -p ha-cluster-file --test bad` writes the texts anew; read the diff then.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ha_cluster_file::check::{check, show};
use ha_cluster_file::diagnostic::Severity;

fn files(extension: &str) -> BTreeSet<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect()
}

/// What `check` says, with a word on whether a cluster came of it.
fn told(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let file_name = path.file_name().unwrap().to_str().unwrap();
    let faults = match check(&text, Path::new("/base")) {
        Ok((_, warnings)) => {
            assert!(
                warnings
                    .iter()
                    .all(|fault| fault.severity == Severity::Warning),
                "{file_name}"
            );
            warnings
        }
        Err(faults) => {
            assert!(
                faults.iter().any(|fault| fault.severity == Severity::Error),
                "{file_name}"
            );
            faults
        }
    };
    assert!(!faults.is_empty(), "{file_name} has no fault");
    let lines = text.lines().count().max(1);
    assert!(
        faults
            .iter()
            .all(|f| f.place.line <= lines + 1 && f.place.width > 0),
        "{file_name}"
    );
    show(&faults, &text, file_name)
}

#[test]
fn every_bad_file_is_told_in_these_words() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files("yaml") {
        let (told, expected) = (told(&path), path.with_extension("txt"));
        if bless {
            std::fs::write(&expected, &told).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("--- {} says now:\n{told}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_text_has_its_file() {
    let orphans: Vec<_> = files("txt")
        .into_iter()
        .filter(|path| !path.with_extension("yaml").exists())
        .collect();
    assert!(orphans.is_empty(), "{orphans:?}");
}
