//! The inputs that fuzzing begins with and what it found, as an ordinary test replays them.

use std::path::Path;

/// Feeds every file of `fuzz/corpus/TARGET` to what the fuzz target itself calls.
///
/// # Panics
/// With the harness; the last line on stderr is the file's name. Also if the corpus has no file.
pub fn replay_corpus(target: &str, harness: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", dir.display());
    for path in paths {
        eprintln!("{}", path.display());
        harness(&std::fs::read(&path).unwrap());
    }
}
