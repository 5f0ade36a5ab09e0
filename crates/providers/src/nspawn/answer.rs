//! What a keeper says: once to whoever started it, and line by line in its log.

use std::io::Write;

use serde::{Deserialize, Serialize};

/// The answer to `ensure`, one JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The node has a PID 1.
    Running,
    /// It has none, and why.
    Failed(String),
}

/// Tells `ensure`, once; later answers go to /dev/null. Nobody may be listening any more.
pub fn send_answer(answer: &Answer) {
    let mut stdout = std::io::stdout();
    let _ = serde_json::to_writer(&mut stdout, answer);
    let _ = stdout.flush();
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(null);
    }
}

/// One line in the keeper's log.
#[expect(
    clippy::print_stderr,
    reason = "the keeper's own process, whose standard error is its log"
)]
pub fn log_line(text: &str) {
    let now = time::OffsetDateTime::now_utc();
    eprintln!(
        "{:02}:{:02}:{:02}.{:03} {text}",
        now.hour(),
        now.minute(),
        now.second(),
        now.millisecond()
    );
}
