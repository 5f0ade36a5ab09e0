//! Processes as files remember them: a number alone may belong to somebody else by now, so the start time and the boot go
//! with it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ha_host_base::process_stat::fields_after_name;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::shared::this_boot::boot_id;

/// How often a dying process is looked at.
const POLL: Duration = Duration::from_millis(5);

/// One process of this boot of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    pid: i32,
    start: u64,
    boot: String,
}

impl ProcessIdentity {
    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start) = parse_stat(&stat)?;
        // A zombie runs no more; its parent may take its time to notice. But while one of its threads still dies, its files,
        // ports and locks are not free.
        if matches!(state, 'Z' | 'X') && thread_count(pid) <= 1 {
            return None;
        }
        Some(Self {
            pid,
            start,
            // Two boots may well give one number the same start time.
            boot: boot_id().unwrap_or_else(|_| "unknown".into()),
        })
    }

    /// What a file remembers, if that process still lives.
    pub fn alive(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let known = Self::parse(&text)?;
        (Self::of(known.pid)? == known).then_some(known)
    }

    /// Writes the process down.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = format!("{} {} {}\n", self.pid, self.start, self.boot);
        let new = file.with_extension("pid.new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, file))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has been killed and is not gone yet: a machine's memory takes the kernel its time.
    pub fn is_dying(&self) -> bool {
        let read = |name| std::fs::read_to_string(format!("/proc/{}/{name}", self.pid));
        match (read("stat"), read("status")) {
            (Ok(stat), Ok(status)) => self.lives() && says_dying(&stat, &status),
            _ => false,
        }
    }

    /// Kills it, and nothing else.
    pub fn kill(&self) {
        if self.lives() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }

    /// Kills it and what it started, for a leader of its own session.
    pub fn kill_group(&self) {
        if self.lives() {
            let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }

    /// Waits until it is gone; false if it outlives the patience.
    pub fn gone_within(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while self.lives() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    fn lives(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self {
            pid: words.next()?.parse().ok()?,
            start: words.next()?.parse().ok()?,
            boot: words.next()?.into(),
        })
    }
}

/// How many threads of the process the kernel still shows, the first one included.
fn thread_count(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Whether `/proc/PID/stat` and `status` are those of a process that will run no more: SIGKILL is on its way to its first thread,
/// which ends or has ended.
fn says_dying(stat: &str, status: &str) -> bool {
    /// PF_EXITING of the kernel's `include/linux/sched.h`.
    const EXITING: u64 = 4;
    let ending = || {
        let mut fields = fields_after_name(stat)?;
        let has_ended = matches!(fields.next()?, "Z" | "X");
        // Field 9 of the manual page; the state was field 3.
        let flags: u64 = fields.nth(5)?.parse().ok()?;
        Some(has_ended || flags & EXITING != 0)
    };
    let is_pending = |line: &str| {
        let (name, set) = line.split_once(":\t").unwrap_or_default();
        let set = u64::from_str_radix(set, 16).unwrap_or_default();
        matches!(name, "SigPnd" | "ShdPnd") && set & (1 << (Signal::SIGKILL as u32 - 1)) != 0
    };
    ending().unwrap_or_default() || status.lines().any(is_pending)
}

/// State and start time of `/proc/PID/stat`.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = fields_after_name(stat)?;
    let state = fields.next()?.chars().next()?;
    // Field 22 of the manual page; the state is field 3.
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_a_nasty_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 10";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
        assert_eq!(parse_stat("7 (sh) S 1"), None);
    }

    #[test]
    fn a_living_process_is_known_again_and_a_dead_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.pid");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let ident = ProcessIdentity::of(child.id().cast_signed()).unwrap();
        ident.write(&file).unwrap();
        assert_eq!(ProcessIdentity::alive(&file), Some(ident.clone()));
        ident.kill();
        assert!(
            ident.gone_within(Duration::from_secs(5)),
            "a zombie counts as gone"
        );
        assert_eq!(ProcessIdentity::alive(&file), None);
        child.wait().unwrap();
    }

    #[test]
    fn a_process_is_dying_from_its_kill_to_its_end() {
        let stat = |state, flags| format!("7 (a b) {state} 1 7 7 0 -1 {flags} 1 2 3");
        let status = |own, shared| format!("Name:\ta\nSigPnd:\t{own}\nShdPnd:\t{shared}\n");
        let (none, kill, term) = ("0000000000000000", "0000000000000100", "0000000000004000");
        assert!(!says_dying(&stat('S', 0x400000), &status(none, term)));
        assert!(says_dying(&stat('S', 0x400000), &status(kill, none)));
        assert!(says_dying(&stat('S', 0x400000), &status(none, kill)));
        assert!(says_dying(&stat('R', 0x400004), &status(none, none)));
        assert!(says_dying(&stat('Z', 0x400000), &status(none, none)));
    }

    #[test]
    fn another_boot_is_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.pid");
        let mut me = ProcessIdentity::of(std::process::id().cast_signed()).unwrap();
        me.boot = "other".into();
        me.write(&file).unwrap();
        assert_eq!(ProcessIdentity::alive(&file), None);
    }
}
