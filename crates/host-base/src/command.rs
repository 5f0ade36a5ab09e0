//! Child processes: one way to run them, with the command line and the program's own last words in every error.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// How much of a program's output an error carries: enough for the cause, short enough for a terminal.
const TAIL: usize = 1024;

/// Runs a command to its end with nothing on stdin and returns its stdout.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command_output(command.stdin(Stdio::null()))?;
    finish(command, output)
}

/// Runs a command to its end, feeding it `input`, and returns its stdout.
pub fn feed(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything says why on stderr; that is the better message.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("cannot wait for {}", line(command)))?;
    finish(command, output)
}

/// The last kilobyte of a text, from the begin of a line.
pub fn tail(text: &str) -> &str {
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(TAIL);
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
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| executable(file))
}

/// Whether the file is one that can be run.
pub fn executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn command_output(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("cannot start {}", line(command)))
}

fn finish(command: &Command, output: Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(stdout.into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let words = if stderr.trim().is_empty() {
        tail(&stdout)
    } else {
        tail(&stderr)
    };
    bail!("{} failed ({}): {words}", line(command), output.status)
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| w.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_command_and_its_words() {
        let error =
            output(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("sh -c")
                && text.contains("exit status: 3")
                && text.ends_with("no such thing"),
            "{text}"
        );
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(feed(&mut Command::new("cat"), "a\nb\n").unwrap(), "a\nb\n");
    }

    #[test]
    fn a_tail_starts_with_a_whole_line() {
        let text = (0..1000).map(|i| format!("line {i}\n")).collect::<String>();
        let cut = tail(&text);
        assert!(cut.len() <= TAIL && cut.starts_with("line ") && cut.ends_with("line 999"));
        assert_eq!(tail("short\n"), "short");
    }

    #[test]
    fn a_missing_program_is_none() {
        assert!(which("sh").is_some());
        assert!(which("no-such-program-anywhere").is_none());
    }
}
