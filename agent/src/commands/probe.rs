//! `ha-agent probe`: asks the local haproxy once, for keepalived's safety net. Silent when all is well.

use anyhow::Result;

use super::Exit;
use crate::health;
use crate::sys::files::Files;
use crate::sys::runtime;

/// Exit code 0 if haproxy answers.
pub fn probe(files: &Files) -> Result<Exit> {
    runtime()?.block_on(health::probe(files))?;
    Ok(Exit::Done)
}
