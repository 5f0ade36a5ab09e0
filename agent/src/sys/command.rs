//! Child processes: a deadline for each, both streams read as they come, the whole process group ended with it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::{Boxed, Cmd, CommandFailed, Commands, Output};

/// Lines of the failing program that an error carries: enough for kubeadm's own summary.
const TAIL_LINES: usize = 20;
/// Longest line in that tail, in bytes.
const TAIL_LINE_BYTES: usize = 400;
/// How long streams are still read when the child has ended but a grandchild holds them open.
const STREAMS_AFTER_EXIT: Duration = Duration::from_millis(500);
/// Bytes kept of standard output: far above any answer that is parsed, far below what would hurt the node.
const KEPT_BYTES: usize = 8 << 20;

/// Real child processes. systemd's control group ends them with the agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChildProcesses;

impl Commands for ChildProcesses {
    fn run_watched<'a>(&'a self, cmd: Cmd, line: &'a dyn Fn(&str)) -> Boxed<'a, Result<Output>> {
        Box::pin(run_to_end(cmd, line))
    }
}

/// Ends the process group when dropped: a cancelled or overdue command leaves nobody behind.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The group may be gone already: that is what was wanted.
            let _ = killpg(pid, Signal::SIGKILL);
        }
    }
}

/// What was read so far, shared by the readers of both streams.
#[derive(Default)]
struct StreamOutput {
    stdout: String,
    /// The last lines of each stream.
    stdout_tail: VecDeque<String>,
    stderr_tail: VecDeque<String>,
}

async fn run_to_end(cmd: Cmd, line: &dyn Fn(&str)) -> Result<Output> {
    let mut child = spawn_child(&cmd).with_context(|| format!("cannot start {}", cmd.program))?;
    let group = ProcessGroup(
        child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw),
    );
    let heard = RefCell::new(StreamOutput::default());
    let ended = tokio::time::timeout(
        cmd.deadline,
        feed_and_listen(&mut child, &cmd.stdin, &heard, line),
    )
    .await;
    let (outcome, code) = match ended {
        Ok(status) => {
            let status = status.with_context(|| format!("cannot wait for {}", cmd.program))?;
            (describe_exit(status), status.code())
        }
        Err(_) => {
            let late = format!("timed out after {} s", cmd.deadline.as_secs());
            (Some(late), None)
        }
    };
    drop(group);
    let mut heard = heard.into_inner();
    match outcome {
        None => Ok(Output {
            stdout: heard.stdout,
        }),
        Some(outcome) => Err(CommandFailed {
            command: command_line(&cmd),
            outcome,
            code,
            tail: heard.tail(),
        }
        .into()),
    }
}

fn spawn_child(cmd: &Cmd) -> std::io::Result<Child> {
    let mut command = Command::new(&cmd.program);
    command
        .args(&cmd.args)
        .envs(cmd.env.iter().map(|(k, v)| (k, v)));
    command.stdin(if cmd.stdin.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    });
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(dir) = &cmd.dir {
        command.current_dir(dir);
    }
    command.spawn()
}

/// Feeds, listens and waits, all at once.
async fn feed_and_listen(
    child: &mut Child,
    stdin: &[u8],
    heard: &RefCell<StreamOutput>,
    line: &dyn Fn(&str),
) -> std::io::Result<ExitStatus> {
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut input) = input {
            // A program that ends without reading its input says so by its exit code.
            let _ = input.write_all(stdin).await;
        }
    };
    let streams = async {
        tokio::join!(
            feed,
            read_lines(out, heard, line, false),
            read_lines(err, heard, line, true)
        )
    };
    tokio::pin!(streams);
    let status = tokio::select! {
        status = child.wait() => status,
        _ = &mut streams => return child.wait().await,
    };
    let _ = tokio::time::timeout(STREAMS_AFTER_EXIT, streams).await;
    status
}

async fn read_lines(
    stream: Option<impl AsyncRead + Unpin>,
    heard: &RefCell<StreamOutput>,
    line: &dyn Fn(&str),
    is_stderr: bool,
) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut buffer = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut buffer).await {
        let text = String::from_utf8_lossy(&buffer);
        heard.borrow_mut().add(&text, is_stderr);
        line(text.trim_end());
        buffer.clear();
    }
}

impl StreamOutput {
    fn add(&mut self, text: &str, is_stderr: bool) {
        if !is_stderr && self.stdout.len() + text.len() <= KEPT_BYTES {
            self.stdout.push_str(text);
        }
        let mut line = text.trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        line.truncate(line.floor_char_boundary(TAIL_LINE_BYTES));
        let tail = if is_stderr {
            &mut self.stderr_tail
        } else {
            &mut self.stdout_tail
        };
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
}

/// None: exit code 0.
fn describe_exit(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, signal) => Some(format!("killed by signal {}", signal.unwrap_or_default())),
    }
}

fn command_line(cmd: &Cmd) -> String {
    std::iter::once(&cmd.program)
        .chain(&cmd.args)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn sh(script: &str) -> Cmd {
        Cmd::new("/bin/sh", &["-c", script], Duration::from_secs(20))
    }

    async fn failed(cmd: Cmd) -> CommandFailed {
        run_to_end(cmd, &|_| ())
            .await
            .unwrap_err()
            .downcast()
            .unwrap()
    }

    #[tokio::test]
    async fn standard_output_is_kept_and_both_streams_are_watched_line_by_line() {
        let seen = RefCell::new(Vec::new());
        let out = run_to_end(sh("echo one; echo two >&2; printf three"), &|l| {
            seen.borrow_mut().push(l.to_owned())
        })
        .await;
        let out = out.unwrap();
        assert_eq!(out.stdout, "one\nthree");
        let mut seen = seen.into_inner();
        seen.sort();
        assert_eq!(seen, ["one", "three", "two"]);
    }

    #[tokio::test]
    async fn a_failure_carries_command_outcome_and_the_last_lines() {
        let failed = failed(sh("echo it broke >&2; seq 1 100; exit 3")).await;
        assert_eq!(failed.outcome, "exit code 3");
        assert_eq!(failed.tail.len(), TAIL_LINES);
        let end: Vec<&str> = failed
            .tail
            .iter()
            .rev()
            .map(String::as_str)
            .take(2)
            .collect();
        assert_eq!(end, ["it broke", "100"], "a flood of output hides no error");
        assert!(
            failed.to_string().starts_with("/bin/sh -c echo it broke"),
            "{failed}"
        );
    }

    #[tokio::test]
    async fn a_signal_is_named() {
        assert_eq!(failed(sh("kill -9 $$")).await.outcome, "killed by signal 9");
    }

    #[tokio::test]
    async fn the_deadline_ends_the_whole_group() {
        let mut cmd = sh("sleep 600 & echo $!; sleep 600");
        cmd.deadline = Duration::from_secs(2);
        let failed = failed(cmd).await;
        assert!(failed.outcome.starts_with("timed out after"), "{failed}");
        let grandchild = failed.tail.first().unwrap();
        let begun = Instant::now();
        while is_alive(grandchild) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the grandchild lives on"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A process that has ended stays as a zombie until its parent takes note.
    fn is_alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.starts_with('Z'));
        state == Some(false)
    }

    #[tokio::test]
    async fn a_grandchild_that_holds_the_streams_does_not_hang_it() {
        let begun = Instant::now();
        run_to_end(sh("sleep 30 & echo done"), &|_| ())
            .await
            .unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn standard_input_arrives_and_an_unread_one_does_no_harm() {
        let mut cmd = sh("wc -c");
        cmd.stdin = vec![b'x'; 300_000];
        assert_eq!(
            run_to_end(cmd, &|_| ()).await.unwrap().stdout.trim(),
            "300000"
        );
        let mut cmd = sh("exit 0");
        cmd.stdin = vec![b'x'; 300_000];
        run_to_end(cmd, &|_| ()).await.unwrap();
        assert_eq!(
            run_to_end(sh("cat"), &|_| ()).await.unwrap().stdout,
            "",
            "no input is an empty one"
        );
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_do_no_harm() {
        let out = run_to_end(sh(r"printf '\377\376ok\n'"), &|_| ())
            .await
            .unwrap();
        assert!(out.stdout.ends_with("ok\n"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = run_to_end(
            Cmd::new("/no/such/program", &[], Duration::from_secs(1)),
            &|_| (),
        )
        .await
        .unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot start /no/such/program"),
            "{error:#}"
        );
    }
}
