//! Commands inside a running node.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ha_host_base::command::{find_program, run_for_stdout};

use super::cgroup;
use super::layout::NodeDir;
use crate::process::ProcessIdentity;

/// What a login as root would set.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin";
/// An orderly reboot stops kubelet and containerd first, each with a stop time-out of 90 s.
const REBOOT_PATIENCE: Duration = Duration::from_secs(200);

/// A command in the node's namespaces and in the cgroups of its PID 1.
pub fn command_on_node(dir: &NodeDir, node: &str, argv: &[&str]) -> Result<Command> {
    let leader = running_leader(dir, node)?.pid().to_string();
    let nsenter =
        find_program("nsenter").context("nsenter is not installed: apt-get install util-linux")?;
    let mut command = cgroup::joining_command(&cgroup::proc_files_of(&leader)?, false);
    command
        .arg(nsenter)
        .args(["-t", &leader, "-m", "-u", "-i", "-n", "-p", "-C", "--"])
        .args(argv)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    Ok(command)
}

/// An orderly reboot, until the node has a new PID 1.
pub fn reboot_node(dir: &NodeDir, node: &str) -> Result<()> {
    let before = running_leader(dir, node)?;
    if ProcessIdentity::alive(&dir.join(NodeDir::KEEPER_PID)).is_none() {
        bail!("{node} has lost its keeper, nobody would start it again; switch it off and on");
    }
    run_for_stdout(&mut command_on_node(dir, node, &["systemctl", "reboot"])?)
        .with_context(|| format!("cannot reboot {node}"))?;
    let end = Instant::now() + REBOOT_PATIENCE;
    while ProcessIdentity::alive(&dir.join(NodeDir::LEADER_PID)).is_none_or(|now| now == before) {
        if ProcessIdentity::alive(&dir.join(NodeDir::KEEPER_PID)).is_none() {
            bail!(
                "{node} went off instead of rebooting; see {}",
                dir.join(NodeDir::KEEPER_LOG).display()
            );
        }
        if Instant::now() >= end {
            let waited = REBOOT_PATIENCE.as_secs();
            bail!(
                "{node} has not rebooted within {waited} s; see {}",
                dir.join(NodeDir::CONSOLE).display()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn running_leader(dir: &NodeDir, node: &str) -> Result<ProcessIdentity> {
    ProcessIdentity::alive(&dir.join(NodeDir::LEADER_PID))
        .with_context(|| format!("{node} does not run"))
}
