//! Child processes with a deadline, both streams kept.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(5);
/// A stream that is still open this long after the child's end is held by one of its children.
const HELD: Duration = Duration::from_secs(2);

/// A child that ended.
#[derive(Debug, Clone)]
pub struct FinishedProcess {
    /// Program and arguments.
    pub command: String,
    /// The exit code; none: killed by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
    /// True if a process that the child left behind still holds its streams: a pipe to it would never end.
    pub held: bool,
}

impl FinishedProcess {
    /// Itself if the exit code is 0, else an error with the last lines of both streams.
    pub fn ok(self) -> Result<Self> {
        self.expect_exit_code(0)
    }

    /// Itself if the exit code is this one.
    pub fn expect_exit_code(self, code: i32) -> Result<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        let seen = self
            .code
            .map_or_else(|| "killed by a signal".into(), |c| format!("exit code {c}"));
        bail!("{}: {seen}, wanted {code}\n{}", self.command, self.tail(20));
    }

    /// Standard output as one JSON object a line, at least one.
    pub fn json_lines(&self) -> Result<Vec<Value>> {
        let objects: Result<Vec<Value>> = self
            .stdout
            .lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line)
                    .with_context(|| format!("{}: not JSON: {line:?}", self.command))?;
                ensure!(value.is_object(), "{}: no object: {line:?}", self.command);
                Ok(value)
            })
            .collect();
        let objects = objects?;
        ensure!(!objects.is_empty(), "{} printed nothing", self.command);
        Ok(objects)
    }

    /// The last lines of both streams.
    pub fn tail(&self, lines: usize) -> String {
        format!(
            "{}\n{}",
            last_lines(&self.stdout, lines),
            last_lines(&self.stderr, lines)
        )
    }
}

/// The last lines of a text.
pub fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A child at work.
#[derive(Debug)]
pub struct RunningProcess {
    command: String,
    child: Child,
    begun: Instant,
    stdout: Stream,
    stderr: Stream,
}

impl RunningProcess {
    /// Starts it. Standard input is empty unless the caller set it.
    pub fn start(mut command: Command) -> Result<Self> {
        let words = command_line(&command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().with_context(|| format!("start {words}"))?;
        let stdout = Stream::read(child.stdout.take().context("no stdout")?);
        let stderr = Stream::read(child.stderr.take().context("no stderr")?);
        Ok(Self {
            command: words,
            child,
            begun,
            stdout,
            stderr,
        })
    }

    /// The program's process id: where `nsenter` started it as a child in another process namespace, that child's.
    pub fn pid(&self) -> u32 {
        let pid = self.child.id();
        let read =
            |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        if read("comm").trim() != "nsenter" {
            return pid;
        }
        let children = read(&format!("task/{pid}/children"));
        let child = children.split_whitespace().next();
        child.and_then(|c| c.parse().ok()).unwrap_or(pid)
    }

    /// Whether it ended by now.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it has printed up to now.
    pub fn so_far(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    /// Waits for its end; kills it at the deadline, counted from its start, and says what it had printed.
    pub fn wait(mut self, deadline: Duration) -> Result<FinishedProcess> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(self.done(status));
            }
            if self.begun.elapsed() > deadline {
                self.kill();
                let status = self.child.wait()?;
                let done = self.done(status);
                bail!(
                    "{}: no end after {deadline:?}\n{}",
                    done.command,
                    done.tail(20)
                );
            }
            thread::sleep(POLL);
        }
    }

    /// The program first: `nsenter` ends with it, but not the other way round.
    fn kill(&mut self) {
        if let Ok(pid) = i32::try_from(self.pid()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
    }

    fn done(&mut self, status: ExitStatus) -> FinishedProcess {
        let took = self.begun.elapsed();
        let ended = Instant::now();
        let held = [&self.stdout, &self.stderr]
            .into_iter()
            .any(|s| !s.ends_until(ended + HELD));
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        FinishedProcess {
            command: std::mem::take(&mut self.command),
            code: status.code(),
            stdout,
            stderr,
            took,
            held,
        }
    }
}

/// A launch that a failed test has left at work would hold the cluster that is to be destroyed.
impl Drop for RunningProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs to the end.
pub fn run_to_end(mut command: Command, deadline: Duration) -> Result<FinishedProcess> {
    command.stdin(Stdio::null());
    RunningProcess::start(command)?.wait(deadline)
}

/// Program and arguments as one line; what `nsenter` adds is left out.
fn command_line(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    let all: Vec<String> = all.map(|w| w.to_string_lossy().into_owned()).collect();
    let start = all
        .iter()
        .position(|w| w == "--")
        .filter(|_| all[0] == "nsenter")
        .map_or(0, |i| i + 1);
    all[start..].join(" ")
}

/// One output stream, read by a thread that is left behind if somebody holds the stream open.
#[derive(Debug)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Stream {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut block = [0; 8192];
            while let Ok(n @ 1..) = from.read(&mut block) {
                to.lock()
                    .expect("no thread panics here")
                    .extend_from_slice(&block[..n]);
            }
        });
        Self { bytes, thread }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no thread panics here")).into_owned()
    }

    fn ends_until(&self, limit: Instant) -> bool {
        while !self.thread.is_finished() && Instant::now() < limit {
            thread::sleep(POLL);
        }
        self.thread.is_finished()
    }
}

#[cfg(test)]
mod tests;
