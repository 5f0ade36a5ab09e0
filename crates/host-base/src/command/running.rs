//! Which children run: when the program is to end, no new one begins, and the last ones are waited for.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::interrupt::Interrupt;

static COUNT: Mutex<usize> = Mutex::new(0);
static FEWER: Condvar = Condvar::new();

/// A child that runs, or is about to.
#[derive(Debug)]
pub struct RunningChild(());

impl RunningChild {
    /// An error if the program is to end.
    pub fn begin(line: &str) -> Result<Self> {
        // Counted before it is asked: who waits for the last child to end misses none.
        *COUNT.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let running = Self(());
        go_on(line)?;
        Ok(running)
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        *COUNT.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FEWER.notify_all();
    }
}

/// An error about this command if the program is to end.
pub fn go_on(line: &str) -> Result<()> {
    let interrupt = Interrupt::of_process();
    interrupt
        .check()
        .with_context(|| format!("{line} did not end"))
}

/// Waits until no child runs any more, but not for longer than this.
pub fn wait_for_children(patience: Duration) {
    let count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    // Poisoned or late: the process ends all the same.
    let _ = FEWER.wait_timeout_while(count, patience, |count| *count > 0);
}
