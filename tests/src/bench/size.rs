//! What the agent weighs: its program, its system extension.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Figure;
use crate::lab::Lab;
use crate::process::{FinishedProcess, run_to_end};

/// A million bytes, as sizes of programs are given.
const MB: f64 = 1e6;
/// What block devices count in.
const MIB: f64 = 1024.0 * 1024.0;

/// The agent's program, taken out of its sysext, and the sysext.
pub fn measure_size(lab: &Lab) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let tree = dir.path().join("tree");
    let image = lab.sysext("ha-agent");
    let mut unpack = Command::new("unsquashfs");
    unpack
        .args(["-quiet", "-no-progress", "-dest"])
        .arg(&tree)
        .arg(&image)
        .arg("usr/bin/ha-agent");
    run_to_end(unpack, Duration::from_secs(60)).and_then(FinishedProcess::ok)?;
    let program = tree.join("usr/bin/ha-agent");
    let mut file = Command::new("file");
    file.arg("--brief").arg(&program);
    let kind = run_to_end(file, Duration::from_secs(10))
        .and_then(FinishedProcess::ok)?
        .stdout;
    let how = if kind.contains("static-pie") {
        "static-pie"
    } else {
        "NOT static-pie"
    };
    Ok(vec![
        Figure::new("ha-agent, program", file_size(&program)? / MB, "MB", how).at_most(5.0),
        Figure::new(
            "ha-agent, sysext image",
            file_size(&image)? / MIB,
            "MiB",
            "squashfs",
        )
        .at_most(5.0),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "file sizes are far below 2^52")]
fn file_size(path: &Path) -> Result<f64> {
    Ok(fs::metadata(path)
        .with_context(|| format!("look at {}", path.display()))?
        .len() as f64)
}
