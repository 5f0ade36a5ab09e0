//! A registry of the lab's images on the operator's machine.

use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::process::RunningProcess;

const SCRIPT: &str = include_str!("registry.py");
/// It reads every image first.
const READ: Duration = Duration::from_secs(30);

/// Starts one at this port, with what else the script takes; what it was asked for is its output.
pub fn serve_images<S: AsRef<OsStr>>(
    cluster: &Cluster,
    port: u16,
    arguments: impl IntoIterator<Item = S>,
) -> Result<RunningProcess> {
    let script = cluster.dir().join("registry.py");
    fs::write(&script, SCRIPT)?;
    let mut python = cluster.operator().command("python3");
    python.arg(&script).arg(port.to_string()).args(arguments);
    let registry = RunningProcess::start(python).context("python3")?;
    wait_until("it listens", READ, || {
        let said = registry.so_far();
        ensure!(said.contains("listens"), "{said}");
        Ok(())
    })?;
    Ok(registry)
}
