//! Deaths at named places, for the tests that prove "a crash anywhere converges". A file that only root can write names
//! the place, e.g. `join:before` or `join:done`; the agent that passes there takes the file away and dies at once.
//! Costs one failed open per phase boundary.

use ha_spec::phase::Phase;

use crate::sys::files::Files;

/// Names the next place to die at.
pub const FILE: &str = "/run/ha-agent/crash-at";

/// Dies if the file names this boundary of this phase. `before`: an attempt is about to begin; `done`: the phase has
/// ended, nothing was told yet.
pub fn pass(files: &Files, phase: Phase, boundary: &str) {
    if taken(files, &format!("{phase}:{boundary}")) {
        tracing::error!("dies at {phase}:{boundary}, as {FILE} says");
        std::process::abort();
    }
}

/// True if the file named this place; it is gone then.
fn taken(files: &Files, place: &str) -> bool {
    let named = files
        .read(FILE)
        .ok()
        .flatten()
        .is_some_and(|text| text.trim() == place);
    named && files.clear(FILE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_place_is_taken_and_only_once() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        assert!(!taken(&files, "join:done"));
        files.write(FILE, 0o600, b"join:done\n").unwrap();
        assert!(!taken(&files, "join:before"));
        assert!(taken(&files, "join:done"));
        assert!(!taken(&files, "join:done"));
    }
}
