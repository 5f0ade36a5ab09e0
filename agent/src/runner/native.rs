//! Units of the bakery's sysexts.

use anyhow::Result;

use super::Runner;
use crate::sys::{Boxed, Systemd};

#[derive(Debug)]
pub struct Native<'a> {
    pub systemd: &'a dyn Systemd,
}

impl Runner for Native<'_> {
    fn state<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<String>> {
        self.systemd.active_state(unit)
    }

    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>> {
        self.systemd.changed(unit, known)
    }

    fn start_again<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.systemd.reset_failed(unit).await?;
            self.systemd.start(unit).await
        })
    }

    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.systemd.start(unit)
    }

    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.systemd.restart(unit)
    }

    fn reload<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.systemd.reload_or_restart(unit)
    }

    fn missing(&self, unit: &str) -> String {
        format!("systemd does not know {unit}: is its sysext merged? systemd-sysext status")
    }
}
