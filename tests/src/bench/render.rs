//! `ha-host render` for a small and a very large cluster.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Figure, as_milliseconds, median_of};
use crate::lab::built_ha_host;
use crate::process::{FinishedProcess, run_to_end};

/// Runs with a few nodes; they are short.
const RUNS_FEW: usize = 21;
/// Runs with very many.
const RUNS_MANY: usize = 5;

/// Five nodes, and five thousand.
pub fn measure_render() -> Result<Vec<Figure>> {
    let few = time_render(5, RUNS_FEW)?;
    let many = time_render(5000, RUNS_MANY)?;
    Ok(vec![
        Figure::new(
            "ha-host render, 5 nodes",
            as_milliseconds(few),
            "ms",
            format!("median of {RUNS_FEW}, new PKI each time"),
        )
        .at_most(50.0),
        Figure::new(
            "ha-host render, 5,000 nodes",
            as_milliseconds(many) / 1e3,
            "s",
            format!("median of {RUNS_MANY}"),
        )
        .at_most(2.0),
    ])
}

fn time_render(nodes: usize, runs: usize) -> Result<Duration> {
    let program = built_ha_host()?;
    let mut times = Vec::new();
    // Removed at the end: ext4 makes files slowly for some seconds after it has removed thousands.
    let mut kept = Vec::new();
    for _ in 0..runs {
        let dir = tempfile::tempdir()?;
        let (file, out) = (dir.path().join("cluster.yaml"), dir.path().join("out"));
        fs::write(&file, cluster_file_of(nodes))?;
        let mut command = Command::new(&program);
        command
            .arg("render")
            .arg(&file)
            .arg("--out")
            .arg(&out)
            .env("XDG_STATE_HOME", dir.path().join("state"));
        let done = run_to_end(command, Duration::from_secs(300)).and_then(FinishedProcess::ok)?;
        let written = fs::read_dir(&out)?
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "ign"))
            .count();
        ensure!(written == nodes, "{written} files for {nodes} nodes");
        times.push(done.took);
        kept.push(dir);
    }
    Ok(median_of(times))
}

/// Three control planes and as many workers as it takes, on a network that has room for them.
fn cluster_file_of(nodes: usize) -> String {
    let mut text = String::from(
        "version: 1\nname: bench\nkubernetes: {version: 1.36.3, podCIDR: 10.128.0.0/11, serviceCIDR: 10.96.0.0/12, proxy: nftables, cni: none}\n\
         endpoint: {vip: 10.64.255.1}\nnetwork: {prefix: 16, gateway: 10.64.0.1, dns: [10.64.0.1]}\nprovider: none\nnodes:\n",
    );
    for i in 0..nodes {
        let role = if i < 3 { "control-plane" } else { "worker" };
        let _ = writeln!(
            text,
            "  - {{name: node{i}, role: {role}, address: 10.64.{}.{}}}",
            1 + i / 250,
            1 + i % 250
        );
    }
    text
}

#[cfg(test)]
mod tests;
