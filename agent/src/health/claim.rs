//! What this node tells keepalived: whether it may hold the VIP.

use std::cell::Cell;

use ha_wire::paths::HEALTH_FILE;

use crate::render::keepalived;
use crate::sys::files::Files;

/// Fine is a node whose haproxy lives and leads somewhere.
#[derive(Debug)]
pub struct VipClaim<'a> {
    files: &'a Files,
    haproxy: Cell<bool>,
    reach: Cell<bool>,
}

impl<'a> VipClaim<'a> {
    /// Fine, and told so: what an earlier life of the agent left in the file may be old.
    pub fn begin(files: &'a Files) -> Self {
        let claim = Self {
            files,
            haproxy: Cell::new(true),
            reach: Cell::new(true),
        };
        claim.write();
        claim
    }

    /// Whether this node's haproxy lives.
    pub fn set_haproxy(&self, fine: bool) {
        self.haproxy.set(fine);
        self.write();
    }

    /// Whether this node is as well connected to apiservers as its peers are.
    pub fn set_reach(&self, fine: bool) {
        self.reach.set(fine);
        self.write();
    }

    /// keepalived hears of every write, also of one that changes nothing.
    fn write(&self) {
        let word = if self.haproxy.get() && self.reach.get() {
            keepalived::FINE
        } else {
            keepalived::SICK
        };
        if let Err(error) = self.files.put(HEALTH_FILE, word.as_bytes()) {
            tracing::error!("{error:#}");
        }
    }
}
