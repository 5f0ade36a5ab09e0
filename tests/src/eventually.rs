//! Waiting for something that becomes true, with what was seen last in the error.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Between two looks. Each look is a command or a request, which costs the cluster time on a small machine.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks until `look` succeeds; at the deadline the error is that of the last look.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(error) if begun.elapsed() > deadline => {
                return Err(error)
                    .with_context(|| format!("not within {deadline:?}: {what}; last seen"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests;
