//! A machine's events by ssh, line by line into the file where a launch reads them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Node;
use ha_wire::paths;

use super::ssh::SshAccess;

/// Pause between tries: a machine that boots answers after a minute, and one that was never booted costs a process each time.
const AGAIN: Duration = Duration::from_secs(5);

/// Prints a file as it grows until standard input ends, which is when this program has.
const TAIL: &str = r#"tail --lines=+1 -F "$1" & read -r _; kill $!"#;

/// Follows in a thread of its own until this program ends. A machine that does not answer yet, or no more, is tried again.
pub fn follow_events(ssh: Arc<SshAccess>, node: Node, to: PathBuf) {
    std::thread::spawn(move || {
        loop {
            // Why it was cut off is nothing that a launch could tell: the machine may not have been booted yet.
            let _ = follow_once(&ssh, &node, &to);
            std::thread::sleep(AGAIN);
        }
    });
}

/// Until the connection ends.
fn follow_once(ssh: &SshAccess, node: &Node, to: &Path) -> Result<()> {
    // From its begin: each line tells its time, so none is taken twice.
    let argv = ["sh", "-c", TAIL, "sh", paths::EVENTS_FILE];
    let mut command = ssh.command(node, &argv);
    // Held open as long as this program lives, however it ends.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null());
    let mut child = Ended(command.spawn().context("cannot start ssh")?);
    let lines = child.0.stdout.take().context("ssh has no output")?;
    copy_new_lines(BufReader::new(lines), to)
}

/// Appends those lines that are not there yet.
fn copy_new_lines(lines: impl BufRead, to: &Path) -> Result<()> {
    let place = || format!("cannot write {}", to.display());
    let kept = ha_host_base::files::read_optional(to)?.unwrap_or_default();
    let mut known: HashSet<String> = kept.lines().map(str::to_owned).collect();
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(to)
        .with_context(place)?;
    for line in lines.lines() {
        let line = line.context("ssh")?;
        if known.contains(&line) {
            continue;
        }
        file.write_all(format!("{line}\n").as_bytes())
            .with_context(place)?;
        known.insert(line);
    }
    Ok(())
}

/// A child that ends with whoever holds this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_ends_with_whoever_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events.jsonl");
        std::fs::write(&file, "first\n").unwrap();
        let mut tail = std::process::Command::new("sh");
        tail.args(["-c", TAIL, "sh"]).arg(&file);
        tail.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut tail = tail.spawn().unwrap();
        let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "first");
        drop(tail.stdin.take());
        // Its end, and that of all who had its output.
        assert!(lines.next().is_none());
        tail.wait().unwrap();
    }

    #[test]
    fn lines_that_were_heard_before_are_not_taken_twice() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events.jsonl");
        copy_new_lines(&b"{\"at\":1}\n{\"at\":2}\n"[..], &file).unwrap();
        copy_new_lines(&b"{\"at\":1}\n{\"at\":2}\n{\"at\":3}\n"[..], &file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "{\"at\":1}\n{\"at\":2}\n{\"at\":3}\n");
    }
}
