//! Which children run: when the program is to end, no new one begins, and the last ones are waited for, then killed.

use std::collections::BTreeMap;
use std::process::{Child, ExitStatus};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process_tree;
use crate::interrupt::Interrupt;

static RUNNING: Mutex<Children> = Mutex::new(Children {
    next: 0,
    killable: BTreeMap::new(),
});
static FEWER: Condvar = Condvar::new();

struct Children {
    next: usize,
    /// By the order of their begin: the number of each that was started and not waited for yet, so that it is its own.
    killable: BTreeMap<usize, Option<u32>>,
}

impl Children {
    fn kill(&self) {
        for child in self.killable.values().flatten() {
            process_tree::kill_all(*child);
        }
    }
}

fn lock_children() -> MutexGuard<'static, Children> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that runs, or is about to.
#[derive(Debug)]
pub struct RunningChild(usize);

impl RunningChild {
    /// An error if the program is to end.
    pub fn begin(line: &str) -> Result<Self> {
        // Counted before it is asked: who waits for the last child to end misses none.
        let mut all = lock_children();
        let running = Self(all.next);
        all.next += 1;
        all.killable.insert(running.0, None);
        drop(all);
        go_on(line)?;
        Ok(running)
    }

    /// It was started: from now on it does not outlive this program's end.
    pub fn started(&self, child: &Child) {
        lock_children().killable.insert(self.0, Some(child.id()));
    }

    /// How it ended, if it has.
    pub fn try_wait(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        let mut all = lock_children();
        let ended = child.try_wait()?;
        if ended.is_some() {
            all.killable.insert(self.0, None);
        }
        Ok(ended)
    }

    /// How it ended, for one that has, or was killed.
    pub fn wait(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        lock_children().killable.insert(self.0, None);
        child.wait()
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        lock_children().killable.remove(&self.0);
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

/// Waits until no child runs any more, but not for longer than this; those that are left are killed then: the thread that was to
/// do it may not have had the processor for a second.
pub fn end_children(patience: Duration) {
    let ended = FEWER.wait_timeout_while(lock_children(), patience, |all| !all.killable.is_empty());
    // Poisoned: the process ends all the same.
    let (all, _) = ended.unwrap_or_else(PoisonError::into_inner);
    all.kill();
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn who_is_left_is_killed() {
        let mut command = Command::new("sleep");
        command.arg("1000").process_group(0);
        let mut child = command.spawn().unwrap();
        let all = Children {
            next: 2,
            killable: BTreeMap::from([(0, None), (1, Some(child.id()))]),
        };
        all.kill();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
