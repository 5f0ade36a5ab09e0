//! The user's own commands, each list once in a node's life.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::paths;
use ha_wire::phase::Phase;

use crate::context::Context;
use crate::sys::Cmd;

/// As the cluster file's documentation promises.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Runs the lines in order unless they ran to their end before; a line that fails is tried again with the phase.
pub async fn run_once(cx: &Context, name: &str, lines: &[String], phase: Phase) -> Result<()> {
    let marker = marker_path(name);
    if lines.is_empty() || cx.sys.files.exists(&marker) {
        return Ok(());
    }
    for line in lines {
        cx.report
            .waiting(phase, &format!("hook {name}: {line}"), "");
        let cmd = Cmd::new("/bin/sh", &["-c", line], DEADLINE);
        cx.sys
            .commands
            .run(cmd)
            .await
            .with_context(|| format!("hook {name}"))?;
    }
    cx.sys.files.write(&marker, 0o600, b"").map(drop)
}

/// Whether lines are still to be run.
pub fn are_due(cx: &Context, name: &str, lines: &[String]) -> bool {
    !lines.is_empty() && !cx.sys.files.exists(marker_path(name).as_str())
}

fn marker_path(name: &str) -> String {
    format!("{}/hook-{name}.done", paths::AGENT_STATE_DIR)
}
