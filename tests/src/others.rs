//! `provider: none`: the launch of those who make no machines, beside a test that makes them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::process::{FinishedProcess, RunningProcess, run_to_end};

/// What takes a moment.
const SHORT: Duration = Duration::from_secs(30);

/// A cluster file with `provider: none`, and its launch's state directory.
#[derive(Debug)]
pub struct Others<'a> {
    makers: &'a Cluster,
    state: PathBuf,
    env: Vec<(&'static str, String)>,
    /// The cluster file.
    pub file: PathBuf,
}

impl<'a> Others<'a> {
    /// `makers`' cluster as somebody has it who makes no machines; nothing of it is launched.
    pub fn new(makers: &'a Cluster) -> Result<Self> {
        let text = fs::read_to_string(makers.file())?;
        let is_provider = |line: &&str| line.starts_with("provider:");
        let old = text.lines().find(is_provider).context("no provider")?;
        let file = makers.dir().join("others.yaml");
        fs::write(&file, text.replace(old, "provider: none"))?;
        let state = makers.operator().state_of("of-others");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        Ok(Self {
            makers,
            state,
            env: Vec::new(),
            file,
        })
    }

    /// `makers` is told of the cluster, so that it can be told to make its machines.
    pub fn have_a_maker(&self) -> Result<()> {
        let unused = self.makers.dir().join("unused").display().to_string();
        let file = self.makers.file().display().to_string();
        let render = ["render", &file, "--out", &unused, "--force"];
        self.makers.ha_host(&render, SHORT)?.ok().map(drop)
    }

    /// The same with another environment of its launch.
    #[must_use]
    pub fn with_env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// Starts `ha-host` with these arguments on that state.
    pub fn start(&self, args: &[&str]) -> Result<RunningProcess> {
        RunningProcess::start(self.command(args))
    }

    /// `ha-host` with these arguments on that state, to its end.
    pub fn run(&self, args: &[&str]) -> Result<FinishedProcess> {
        run_to_end(self.command(args), SHORT)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.makers.operator().ha_host(["--state-dir"]);
        command.arg(&self.state).args(args);
        command.envs(self.env.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// What is kept of the cluster.
    pub fn dir(&self) -> PathBuf {
        self.state.join(self.makers.name())
    }

    /// Where the launch looks for what a node's agent says.
    pub fn events_of(&self, node: &str) -> PathBuf {
        self.dir().join(format!("machines/{node}/events.jsonl"))
    }

    /// A launch that has said what to boot each machine with.
    pub fn launch(&self, timeout: &str) -> Result<RunningProcess> {
        let file = self.file.display().to_string();
        let launch = self.start(&["launch", &file, "--timeout", timeout])?;
        let machines = self.makers.plan().nodes().len();
        wait_until("it waits for the machines", SHORT, || {
            let said = launch.so_far();
            ensure!(
                said.matches("boot its machine with").count() == machines,
                "{said}"
            );
            Ok(())
        })?;
        Ok(launch)
    }
}

/// Whether a launch without a terminal said that this node has begun this phase.
pub fn told_phase(said: &str, node: &str, phase: &str) -> bool {
    said.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&node) && words.contains(&phase)
    })
}
