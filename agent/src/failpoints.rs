//! Deaths at named places, for the tests that prove "a crash anywhere converges". A file that only root can write names
//! the places, one a line, e.g. `join:before` or `join:done`; the agent that passes one strikes its line out and dies at
//! once. Costs one failed open per phase boundary.

use ha_wire::phase::Phase;

use crate::sys::files::Files;

/// Names the places still to die at.
pub const FILE: &str = ha_wire::paths::CRASH_AT;

/// Dies if the file names this boundary of this phase. `before`: an attempt is about to begin; `done`: the phase has
/// ended, nothing was told yet.
pub fn crash_if_named(files: &Files, phase: Phase, boundary: &str) {
    if strike_out(files, &format!("{phase}:{boundary}")) {
        tracing::error!("aborting at failpoint {phase}:{boundary} ({FILE})");
        std::process::abort();
    }
}

/// True if the file named this place; its line is gone then.
fn strike_out(files: &Files, place: &str) -> bool {
    let Ok(Some(text)) = files.read(FILE) else {
        return false;
    };
    let left: String = text
        .lines()
        .filter(|line| line.trim() != place)
        .map(|line| format!("{line}\n"))
        .collect();
    let named = text.lines().any(|line| line.trim() == place);
    named && files.write(FILE, 0o600, left.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_named_place_is_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        assert!(!strike_out(&files, "join:done"));
        files
            .write(FILE, 0o600, b"join:done\nfinish:before\n")
            .unwrap();
        assert!(!strike_out(&files, "join:before"));
        assert!(strike_out(&files, "join:done"));
        assert!(!strike_out(&files, "join:done"));
        assert_eq!(
            files.read(FILE).unwrap().as_deref(),
            Some("finish:before\n")
        );
    }
}
