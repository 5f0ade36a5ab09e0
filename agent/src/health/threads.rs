//! What haproxy's threads do, in the kernel's words. A thread that is runnable and gets no processor is `R`; one that sleeps is
//! woken by a connection, and then is `R` or has run. Under cgroup limits and on a machine that others keep busy that holds too.

use crate::sys::files::Files;

/// The fields of /proc/PID/stat after the name: the state is 0.
const PARENT: usize = 1;
const STARTED: usize = 19;

/// The process that answers on a socket which `listener` listens on: with master and workers the newest worker, since those
/// that were told to end after a reload keep their connections for a while, but answer nobody new.
pub fn find_worker(files: &Files, listener: i32) -> i32 {
    let names = files.names("/proc").unwrap_or_default();
    let processes = names.iter().filter_map(|name| {
        let pid: i32 = name.parse().ok()?;
        let fields = read_stat(files, pid)?;
        let parent: i32 = fields.get(PARENT)?.parse().ok()?;
        let started: u64 = fields.get(STARTED)?.parse().ok()?;
        (parent == listener).then_some((started, pid))
    });
    processes.max().map_or(listener, |(_, pid)| pid)
}

/// The fields of a process' state after its name, which may hold spaces and brackets.
fn read_stat(files: &Files, pid: i32) -> Option<Vec<String>> {
    let stat = files.read(&format!("/proc/{pid}/stat")).ok()??;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// All threads of a process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadsSeen {
    /// Each thread's id, state, and how often it has been on a processor.
    threads: Vec<(String, char, u64)>,
}

impl ThreadsSeen {
    /// None: the process has ended, or cannot be looked at.
    pub fn of(files: &Files, pid: i32) -> Option<Self> {
        let tasks = format!("/proc/{pid}/task");
        let ids = files.names(&tasks).ok()?;
        let thread = |id: String| {
            let status = files.read(&format!("{tasks}/{id}/status")).ok()??;
            let (state, switches) = parse_status(&status)?;
            Some((id, state, switches))
        };
        let threads: Option<Vec<_>> = ids.into_iter().map(thread).collect();
        threads
            .filter(|threads| !threads.is_empty())
            .map(|threads| Self { threads })
    }

    /// A thread waits for a processor, or has one.
    pub fn wants_to_run(&self) -> bool {
        self.threads.iter().any(|(_, state, _)| *state == 'R')
    }

    /// Every thread slept or was stopped then and now, and none was on a processor in between. One that waits for a disk (`D`)
    /// proves nothing.
    pub fn slept_since(&self, earlier: &Self) -> bool {
        let sleeps = |(_, state, _): &(String, char, u64)| matches!(state, 'S' | 'T' | 't');
        self == earlier && self.threads.iter().all(sleeps)
    }
}

/// State and context switches in a /proc/PID/task/TID/status.
fn parse_status(text: &str) -> Option<(char, u64)> {
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(is, _)| *is == name).map(|(_, v)| v.trim())
    };
    let count = |name: &str| field(name)?.parse::<u64>().ok();
    let switches = count("voluntary_ctxt_switches")? + count("nonvoluntary_ctxt_switches")?;
    Some((field("State")?.chars().next()?, switches))
}

#[cfg(test)]
mod tests;
