//! The only place that touches the machine: systemd's D-Bus, child processes, files, sockets, the kernel, the clock.
//! Orders, commands and time stand behind small traits, so that tests record what the agent would do; files lie below a
//! root that tests replace.

use std::borrow::Cow;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::proxy::{CLUSTER_FILE, OWNER_VARIABLE};

pub mod bus;
pub mod clock;
pub mod command;
pub mod cri;
pub mod dns;
pub mod durable;
pub mod file_system;
pub mod files;
pub mod listeners;
pub mod logind;
pub mod neighbours;
pub mod net;
pub mod own_unit;
pub mod pod_networks;
pub mod proc;
pub mod processor;
pub mod random;
pub mod systemd;
pub mod telling;
#[cfg(test)]
pub mod testing;
pub mod update_engine;

/// A future behind a trait object.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The machine as a whole.
#[derive(Debug, Clone)]
pub struct Sys {
    pub systemd: Rc<dyn Systemd>,
    pub commands: Rc<dyn Commands>,
    pub clock: Rc<dyn Clock>,
    /// Files, relative to a root that tests replace.
    pub files: files::Files,
    /// The proxy in the agent's own environment.
    pub proxy: Option<EnvironmentProxy>,
}

impl Sys {
    /// The real machine. Each thread makes one of its own, with its own D-Bus connection.
    pub fn real(files: files::Files) -> Self {
        let commands: Rc<dyn Commands> = Rc::new(command::ChildProcesses);
        Self {
            systemd: Rc::new(systemd::Bus::new(commands.clone())),
            commands,
            clock: Rc::new(clock::MachineClock),
            files,
            proxy: environment_proxy(own_environment()),
        }
    }
}

/// The own one. Names and values that are no text are left out.
pub fn own_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A proxy in an environment. Its URL may hold a password and is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentProxy {
    /// What it is not asked for, as it is set.
    pub exceptions: String,
    /// It is the one of the cluster file, not one that somebody set for the whole machine.
    pub is_for_fetching: bool,
}

/// None: there is no proxy in it.
pub fn environment_proxy(
    environment: impl Iterator<Item = (String, String)>,
) -> Option<EnvironmentProxy> {
    let (mut has_proxy, mut proxy) = (false, EnvironmentProxy::default());
    for (name, value) in environment {
        match name.to_ascii_uppercase().as_str() {
            "HTTP_PROXY" | "HTTPS_PROXY" | "ALL_PROXY" => has_proxy |= !value.is_empty(),
            "NO_PROXY" if !value.is_empty() => proxy.exceptions = value,
            OWNER_VARIABLE => proxy.is_for_fetching = value == CLUSTER_FILE,
            _ => {}
        }
    }
    has_proxy.then_some(proxy)
}

/// A single thread is enough for each of the agent's two, and keeps the agent small.
pub fn new_runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")
}

/// systemd's manager over D-Bus. An order returns when its job has ended; a job that ended other than `done` is an
/// error that holds the result's name and the unit's last journal lines.
pub trait Systemd: std::fmt::Debug {
    /// Starts a unit (mode `replace`); at once if it is active.
    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>>;
    /// Restarts a unit, or starts it.
    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>>;
    /// Reloads a unit, or restarts it if it cannot reload, or starts it.
    fn reload_or_restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>>;
    /// Forgets a unit's failed state and its start limit.
    fn reset_failed<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>>;
    /// Reads the unit files anew.
    fn daemon_reload(&self) -> Boxed<'_, Result<()>>;
    /// `ActiveState`, e.g. `active`, `activating`, `failed`; `not-found` if systemd does not know the unit.
    fn active_state<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<String>>;
    /// Ends when the unit's `ActiveState` differs from `known`; gives the new one.
    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>>;
}

/// One child process to be.
#[derive(Debug, Clone)]
pub struct Cmd {
    /// Program, found in PATH.
    pub program: String,
    /// Arguments; never a secret.
    pub args: Vec<String>,
    /// Environment added to the agent's own.
    pub env: Vec<(String, String)>,
    /// Given on standard input.
    pub stdin: Vec<u8>,
    /// Killed (its whole process group) after this.
    pub deadline: Duration,
    pub dir: Option<PathBuf>,
}

impl Cmd {
    /// A command with a deadline.
    pub fn new(program: &str, args: &[&str], deadline: Duration) -> Self {
        Self {
            program: program.into(),
            args: args.iter().map(|a| (*a).into()).collect(),
            env: Vec::new(),
            stdin: Vec::new(),
            deadline,
            dir: None,
        }
    }
}

/// A child process that ended with exit code 0.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// All of standard output.
    pub stdout: String,
}

/// A child process that did not end well.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{command}: {outcome}{}{}", if tail.is_empty() { "" } else { ": " }, self.why())]
pub struct CommandFailed {
    pub command: String,
    /// `exit code 1`, `killed by signal 9`, `timed out after 300 s`.
    pub outcome: String,
    /// The program's own verdict; none: a signal or its deadline ended it, or it is no program.
    pub code: Option<i32>,
    /// The last 20 lines: of standard output, then of standard error.
    pub tail: Vec<String>,
}

impl CommandFailed {
    /// The line of its output that says why; empty: it said nothing.
    pub fn why(&self) -> Cow<'_, str> {
        let lines: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        telling::telling_line(&lines).unwrap_or_default()
    }
}

pub trait Commands: std::fmt::Debug {
    /// Runs to the end. The error is a [`CommandFailed`] unless the program could not be started at all.
    /// `line` sees every line of both streams as it comes.
    fn run_watched<'a>(&'a self, cmd: Cmd, line: &'a dyn Fn(&str)) -> Boxed<'a, Result<Output>>;
}

impl dyn Commands {
    /// Runs to the end, nobody watching.
    pub async fn run(&self, cmd: Cmd) -> Result<Output> {
        self.run_watched(cmd, &|_| ()).await
    }
}

pub trait Clock: std::fmt::Debug {
    fn now_ms(&self) -> u64;
    /// Since some moment; unlike the time of day it is never set.
    fn monotonic(&self) -> Duration;
    fn sleep(&self, time: Duration) -> Boxed<'_, ()>;
}
