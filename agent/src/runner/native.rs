//! Units of the bakery's sysexts.

use super::Runner;
use crate::sys::Systemd;

#[derive(Debug)]
pub struct Native<'a> {
    pub systemd: &'a dyn Systemd,
}

impl Runner for Native<'_> {
    fn systemd(&self) -> &dyn Systemd {
        self.systemd
    }

    fn missing(&self, unit: &str) -> String {
        format!("systemd does not know {unit}: is its sysext merged? systemd-sysext status")
    }
}
