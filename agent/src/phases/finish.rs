//! Filled in by the owner of this phase.

use anyhow::Result;

use super::Outcome;
use crate::context::Context;

/// Whether there is anything to do.
pub async fn needed(_cx: &Context) -> Result<bool> {
    Ok(true)
}

/// One attempt.
pub async fn run(_cx: &Context) -> Result<Outcome> {
    Ok(Outcome::Done)
}
