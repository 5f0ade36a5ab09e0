//! A command on this process's own streams, as `ha-host logs` runs one.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::running::{RunningChild, go_on};
use super::{command_line, process_tree};
use crate::interrupt::Interrupt;

/// How often it is asked whether the program is to end.
const ASK: Duration = Duration::from_millis(50);
/// How long a command that was asked to end may take: shorter than the program's own grace.
const STOPPING: Duration = Duration::from_millis(650);

/// What a command reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    Empty,
    /// What this process would.
    Ours,
}

/// Runs a command to its end, however long that takes. When the program is to end, so is the command, with all that it started.
pub fn run_attached(command: &mut Command, input: Input) -> Result<ExitStatus> {
    let line = command_line(command);
    let running = RunningChild::begin(&line)?;
    if input == Input::Empty {
        command.stdin(Stdio::null());
    }
    // Only a terminal's foreground group may read from it; its Ctrl-C reaches the whole group then.
    let own_group = input == Input::Empty || !std::io::stdin().is_terminal();
    if own_group {
        command.process_group(0);
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {line}"))?;
    running.started(&child);
    let pid = Pid::from_raw(child.id().cast_signed());
    let (tell, ended) = channel();
    // It is only looked at: until it is waited for, its number is its own.
    std::thread::spawn(move || {
        tell.send(waitid(
            Id::Pid(pid),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
        ))
    });
    while ended.recv_timeout(ASK) == Err(RecvTimeoutError::Timeout) {
        if Interrupt::of_process().asked() {
            // Gone already: as good.
            let _ = match own_group {
                true => killpg(pid, Signal::SIGTERM),
                false => kill(pid, Signal::SIGTERM),
            };
            let _ = ended.recv_timeout(STOPPING);
            process_tree::kill_all(child.id());
            wait_for(&running, &mut child, &line)?;
            go_on(&line)?;
        }
    }
    wait_for(&running, &mut child, &line)
}

fn wait_for(running: &RunningChild, child: &mut Child, line: &str) -> Result<ExitStatus> {
    running
        .wait(child)
        .with_context(|| format!("cannot wait for {line}"))
}
