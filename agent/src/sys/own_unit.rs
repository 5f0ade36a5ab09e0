//! Programs that need what the agent's unit forbids whatever it starts: each in a transient unit of systemd's own, heard to its end.

use std::time::Duration;

use super::Cmd;

const HEARD: [&str; 5] = [
    "--quiet",
    "--wait",
    "--collect",
    "--pipe",
    "--setenv=HOME=/root",
];

/// The command in a unit with these further options of `systemd-run`. The unit has the deadline too: it outlives a killed
/// `systemd-run`.
pub fn run_in_own_unit(options: &[&str], command: &[&str], deadline: Duration) -> Cmd {
    let most = format!("--property=RuntimeMaxSec={}", deadline.as_secs());
    let args = [&HEARD[..], &[&most], options, command].concat();
    Cmd::new("systemd-run", &args, deadline)
}
