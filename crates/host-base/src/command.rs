//! Child processes: one way to run them to their end. Each has a deadline and a process group of its own, both streams are
//! read as they come, and a failure names the command line and carries its last lines. When the program is to end
//! ([`crate::interrupt`]), they are ended and no new one begins. One way to run them on our own streams, and one to wait for a
//! child that is to stay.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::failpoint;
use crate::interrupt::Interrupt;

mod attached;
mod process_tree;
mod running;
#[cfg(test)]
mod tests;

pub use attached::{Input, run_attached};
use running::RunningChild;
pub(crate) use running::end_children;

/// For commands that have no deadline of their own: copying gigabytes to a slow disk takes minutes.
const DEADLINE: Duration = Duration::from_secs(600);
/// How often a child is asked whether it has ended; most are noticed sooner, by the end of their streams.
const POLL: Duration = Duration::from_millis(5);
/// How long streams are still read when the child has ended but a grandchild holds them open.
const STREAMS_AFTER_EXIT: Duration = Duration::from_millis(500);
/// Bytes kept of each stream: far above any answer that is parsed, far below what would hurt this machine.
const KEPT_BYTES: usize = 8 << 20;
/// Lines that an error carries: enough for the cause, short enough for a terminal.
const TAIL_LINES: usize = 20;
/// Longest line of those, in bytes.
const TAIL_LINE_BYTES: usize = 400;
/// Bytes of a file's end that a message quotes.
const TAIL_BYTES: usize = 1024;

/// A command did not succeed in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line} {}: {}", .timed_out.map_or_else(|| format!("failed ({status})"), |after| format!("did not end within {after:?}")), .tail.join("\n"))]
pub struct CommandFailed {
    /// The command as one would type it.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// The last lines of standard output, then those of standard error.
    pub tail: Vec<String>,
    /// The deadline, if that is what ended it.
    pub timed_out: Option<Duration>,
}

/// A command that has ended, well or not.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended: after the deadline, by our signal.
    pub status: ExitStatus,
    /// The deadline, if that is what ended it.
    pub timed_out: Option<Duration>,
    /// Its standard output, up to 8 MiB.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
    line: String,
    tail: Vec<String>,
}

impl Finished {
    /// Its standard output, if it succeeded in time.
    pub fn into_stdout(self) -> Result<String, CommandFailed> {
        if self.status.success() && self.timed_out.is_none() {
            return Ok(self.stdout);
        }
        Err(CommandFailed {
            line: self.line,
            status: self.status,
            tail: self.tail,
            timed_out: self.timed_out,
        })
    }
}

/// Runs a command to its end with nothing on stdin and returns its stdout.
pub fn run_for_stdout(command: &mut Command) -> Result<String> {
    Ok(run_within(command, "", DEADLINE)?.into_stdout()?)
}

/// Runs a command to its end, feeding it `input`, and returns its stdout.
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    Ok(run_within(command, input, DEADLINE)?.into_stdout()?)
}

/// Runs a command to its end, or to the deadline, and tells how it ended. Its streams are taken; an error: it could not be
/// started or waited for, or the program is to end.
pub fn run_within(command: &mut Command, input: &str, deadline: Duration) -> Result<Finished> {
    let end = Instant::now() + deadline;
    let line = command_line(command);
    let stdin = match input {
        "" => Stdio::null(),
        _ => Stdio::piped(),
    };
    let running = RunningChild::begin(&line)?;
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {line}"))?;
    running.started(&child);
    let pieces = spawn_pipe_threads(&mut child, input);
    let mut heard = Heard::default();
    let status = wait_for_end(&running, &mut child, &pieces, &mut heard, end)
        .with_context(|| format!("cannot wait for {line}"))?;
    let (status, timed_out) = match status {
        Some(status) => (status, None),
        None => {
            failpoint::hit("child-not-killed-yet");
            process_tree::kill_all(child.id());
            let status = running
                .wait(&mut child)
                .with_context(|| format!("cannot wait for {line}"))?;
            running::go_on(&line)?;
            (status, Some(deadline))
        }
    };
    heard.rest(&pieces, Instant::now() + STREAMS_AFTER_EXIT);
    Ok(Finished {
        status,
        timed_out,
        tail: heard.tail(),
        stdout: String::from_utf8_lossy(&heard.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&heard.stderr).into_owned(),
        line,
    })
}

/// How the wait for a child that is to stay has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Startup {
    /// It is ready, and runs.
    Ready,
    /// It has ended.
    Ended(ExitStatus),
    /// It runs, and is not ready.
    Late,
}

/// Waits until a child that is to stay is ready, has ended, or the deadline is over.
pub fn wait_until_ready(
    child: &mut Child,
    deadline: Duration,
    mut is_ready: impl FnMut() -> bool,
) -> Result<Startup> {
    let end = Instant::now() + deadline;
    loop {
        if is_ready() {
            return Ok(Startup::Ready);
        }
        if let Some(status) = child
            .try_wait()
            .context("cannot wait for the new process")?
        {
            return Ok(Startup::Ended(status));
        }
        if Instant::now() >= end {
            return Ok(Startup::Late);
        }
        std::thread::sleep(POLL);
    }
}

/// The last kilobyte of a text, from the beginning of a line.
pub fn last_lines(text: &str) -> &str {
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(TAIL_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let cut = &text[from..];
    match cut.find('\n') {
        Some(end) if from > 0 => &cut[end + 1..],
        _ => cut,
    }
}

/// Finds a program as the shell would, then in the directories that a plain user's PATH leaves out.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

/// Whether the file is one that can be run.
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// A line of one of a child's streams.
enum Piece {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
}

/// Everything that was read so far.
#[derive(Default)]
struct Heard {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The last lines of each.
    stdout_tail: VecDeque<String>,
    stderr_tail: VecDeque<String>,
}

impl Heard {
    fn add(&mut self, piece: Piece) {
        let (stream, tail, bytes) = match piece {
            Piece::Stdout(bytes) => (&mut self.stdout, &mut self.stdout_tail, bytes),
            Piece::Stderr(bytes) => (&mut self.stderr, &mut self.stderr_tail, bytes),
        };
        if stream.len() + bytes.len() <= KEPT_BYTES {
            stream.extend_from_slice(&bytes);
        }
        let mut line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        line.truncate(line.floor_char_boundary(TAIL_LINE_BYTES));
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }

    /// The last lines of standard error, behind as many of standard output as there is room for: no flood of the one hides the
    /// cause in the other.
    fn tail(&mut self) -> Vec<String> {
        let room = TAIL_LINES - self.stderr_tail.len();
        let skipped = self.stdout_tail.len().saturating_sub(room);
        let stdout = self.stdout_tail.drain(..).skip(skipped);
        stdout.chain(self.stderr_tail.drain(..)).collect()
    }

    /// What is still on its way from a child that has ended.
    fn rest(&mut self, pieces: &Receiver<Piece>, end: Instant) {
        let left = || end.saturating_duration_since(Instant::now());
        while let Ok(piece) = pieces.recv_timeout(left()) {
            self.add(piece);
        }
    }
}

/// Feeds a child and reads it, in threads of their own: it may do both at once, and a full pipe would stop it.
fn spawn_pipe_threads(child: &mut Child, input: &str) -> Receiver<Piece> {
    let (to, pieces) = channel();
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // A program that ends before it has read everything says why by its exit code; that is the better message.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    }
    read_lines(child.stdout.take(), to.clone(), Piece::Stdout);
    read_lines(child.stderr.take(), to, Piece::Stderr);
    pieces
}

fn read_lines(
    stream: Option<impl Read + Send + 'static>,
    to: Sender<Piece>,
    piece: fn(Vec<u8>) -> Piece,
) {
    let Some(stream) = stream else { return };
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            // A stream that breaks ends; nobody listens any more once the command counts as ended.
            match reader.read_until(b'\n', &mut line) {
                Ok(1..) if to.send(piece(line)).is_ok() => {}
                _ => return,
            }
        }
    });
}

/// None: it has not ended by then, or is not to go on.
fn wait_for_end(
    running: &RunningChild,
    child: &mut Child,
    pieces: &Receiver<Piece>,
    heard: &mut Heard,
    end: Instant,
) -> std::io::Result<Option<ExitStatus>> {
    loop {
        match pieces.recv_timeout(POLL) {
            Ok(piece) => heard.add(piece),
            // Both streams are closed: it ends, or goes on silently.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL / 5),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(status) = running.try_wait(child)? {
            return Ok(Some(status));
        }
        if Instant::now() >= end || Interrupt::of_process().asked() {
            return Ok(None);
        }
    }
}

/// The command as one would type it.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| w.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
