//! `ha-agent probe`: asks the local haproxy once, for keepalived's safety net. Silent when all is well.

use anyhow::Result;

use super::Exit;
use crate::health;
use crate::sys::files::Files;
use crate::sys::new_runtime;

/// Exit code 0 if haproxy answers.
pub fn probe_once(files: &Files) -> Result<Exit> {
    new_runtime()?.block_on(health::probe_haproxy(files))?;
    Ok(Exit::Done)
}
