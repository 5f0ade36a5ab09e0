//! The user's own commands, each list once in a node's life, line by line as root. A line may hold a secret: it is told by its
//! place, and stands in no argv.

use std::time::Duration;

use anyhow::{Error, Result};
use ha_wire::paths;
use ha_wire::phase::Phase;

use crate::context::Context;
use crate::sys::own_unit::run_in_own_unit;
use crate::sys::{Cmd, CommandFailed, own_environment};

/// As the cluster file's documentation promises.
const DEADLINE: Duration = Duration::from_secs(10 * 60);
/// systemd kills what has not ended after 90 s.
const STOP: Duration = Duration::from_secs(100);
/// Reads the line from standard input, which is empty for the line itself. Parsed before it runs: bash shows what it cannot parse.
/// A shell above the line's own: systemd takes a unit whose first process SIGTERM ended (a shutdown) for one that ended well.
const SHELL: &str = "trap 'exit 143' HUP INT PIPE TERM; s=$(cat); \
    printf %s \"$s\" | /bin/sh -n 2>/dev/null || { echo 'syntax error' >&2; exit 2; }; \
    (eval \"unset s; $s\") </dev/null; exit $?";

/// Runs the lines in order unless they ran to their end before; a phase that is tried again goes on at the line that failed.
pub async fn run_once(cx: &Context, name: &str, lines: &[String], phase: Phase) -> Result<()> {
    if !are_due(cx, name, lines) {
        return Ok(());
    }
    for (number, line) in (1..).zip(lines) {
        let id = format!("{name}-{number}");
        let marker = marker_path(&id);
        if cx.sys.files.exists(&marker) {
            continue;
        }
        let place = format!("hook {name}, line {number} of {}", lines.len());
        cx.report.waiting(phase, &place, "");
        let ran = run_line(cx, &id, &place, line).await;
        ran.map_err(|error| rename_command(error, place))?;
        cx.sys.files.write(&marker, 0o600, b"")?;
    }
    cx.sys.files.write(&marker_path(name), 0o600, b"").map(drop)
}

/// Whether lines are still to be run.
pub fn are_due(cx: &Context, name: &str, lines: &[String]) -> bool {
    !lines.is_empty() && !cx.sys.files.exists(marker_path(name).as_str())
}

/// Of a whole list, or of one of its lines.
fn marker_path(id: &str) -> String {
    format!("{}/hook-{id}.done", paths::AGENT_STATE_DIR)
}

async fn run_line(cx: &Context, id: &str, place: &str, line: &str) -> Result<()> {
    let unit = format!("ha-agent-hook-{id}");
    // What an agent that was killed left of it must not go on beside it; mostly there is none, which systemctl calls a failure.
    let stop = Cmd::new("systemctl", &["stop", &unit], STOP);
    drop(cx.sys.commands.run(stop).await);
    let [unit, place] = [format!("--unit={unit}"), format!("--description={place}")];
    let options = [&unit, &place, "--property=IgnoreSIGPIPE=no"];
    let mut cmd = run_in_own_unit(&options, &["/bin/sh", "-c", SHELL], DEADLINE);
    cmd.stdin = with_environment(own_environment(), line).into_bytes();
    cx.sys.commands.run(cmd).await.map(drop)
}

/// The line with the agent's own environment before it (the proxy, PATH): who may log in reads a unit's by `systemctl show`.
fn with_environment(environment: impl Iterator<Item = (String, String)>, line: &str) -> String {
    let mut script = String::new();
    for (name, value) in environment {
        if name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            script += &format!("export {name}='{}'; ", value.replace('\'', r"'\''"));
        }
    }
    script + line
}

/// The failure under the name of its place, in place of the command.
fn rename_command(mut error: Error, place: String) -> Error {
    match error.downcast_mut::<CommandFailed>() {
        Some(failed) => failed.command = place,
        None => return error.context(place),
    }
    error
}

#[cfg(test)]
pub(super) mod tests;
