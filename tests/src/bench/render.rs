//! `ha-host render` for a small and a very large cluster.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Row, median, ms};
use crate::lab::ha_host;
use crate::run::{Done, run};

/// Runs with a few nodes; they are short.
const RUNS_FEW: usize = 21;
/// Runs with very many.
const RUNS_MANY: usize = 5;

/// Five nodes, and five thousand.
pub fn rows() -> Result<Vec<Row>> {
    let few = time(5, RUNS_FEW)?;
    let many = time(5000, RUNS_MANY)?;
    Ok(vec![
        Row::new(
            "ha-host render, 5 nodes",
            ms(few),
            "ms",
            format!("median of {RUNS_FEW}, new PKI each time"),
        )
        .at_most(50.0),
        Row::new(
            "ha-host render, 5,000 nodes",
            ms(many) / 1e3,
            "s",
            format!("median of {RUNS_MANY}"),
        )
        .at_most(2.0),
    ])
}

fn time(nodes: usize, runs: usize) -> Result<Duration> {
    let program = ha_host()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let dir = tempfile::tempdir()?;
        let (file, out) = (dir.path().join("cluster.yaml"), dir.path().join("out"));
        fs::write(&file, cluster(nodes))?;
        let mut command = Command::new(&program);
        command
            .arg("render")
            .arg(&file)
            .arg("--out")
            .arg(&out)
            .env("XDG_STATE_HOME", dir.path().join("state"));
        let done = run(command, Duration::from_secs(300)).and_then(Done::ok)?;
        let written = fs::read_dir(&out)?
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "ign"))
            .count();
        ensure!(written == nodes, "{written} files for {nodes} nodes");
        times.push(done.took);
    }
    Ok(median(times))
}

/// Three control planes and as many workers as it takes, on a network that has room for them.
fn cluster(nodes: usize) -> String {
    let mut text = String::from(
        "version: 1\nname: bench\nkubernetes: {version: 1.34.4, podCIDR: 10.128.0.0/11, serviceCIDR: 10.96.0.0/12, proxy: nftables, cni: none}\n\
         endpoint: {vip: 10.64.255.1}\nnetwork: {prefix: 16, gateway: 10.64.0.1}\nprovider: none\nnodes:\n",
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
