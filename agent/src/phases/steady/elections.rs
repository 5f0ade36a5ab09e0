//! How often etcd elects a leader: each election raises Raft's term, also one between two looks.

use std::iter::repeat_n;

/// Told for so long, and so often at most.
const TOLD_MS: u64 = 15 * 60_000;
const TOLD_AT_MOST: usize = 64;

/// The elections since this agent first looked.
#[derive(Debug, Default)]
pub struct Elections {
    /// As of the last look.
    term: Option<u64>,
    at_ms: Vec<u64>,
}

impl Elections {
    /// Takes in the term of one look; gives when leaders were elected, the earliest first.
    pub fn note(&mut self, term: Option<u64>, now_ms: u64) -> Vec<u64> {
        if let Some(term) = term {
            let before = self.term.replace(term).unwrap_or(term);
            if term < before {
                // Another etcd, restored from a backup say.
                self.at_ms.clear();
            }
            let new = usize::try_from(term.saturating_sub(before)).unwrap_or(TOLD_AT_MOST);
            self.at_ms.extend(repeat_n(now_ms, new.min(TOLD_AT_MOST)));
        }
        self.at_ms.retain(|at| now_ms.saturating_sub(*at) < TOLD_MS);
        let surplus = self.at_ms.len().saturating_sub(TOLD_AT_MOST);
        self.at_ms.drain(..surplus);
        self.at_ms.clone()
    }
}
