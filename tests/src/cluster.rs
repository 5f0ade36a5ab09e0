//! A cluster made by the real `ha-host`; when it goes out of scope it is destroyed, and what is left is told.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_kube::kubeconfig::Kubeconfig;
use ha_wire::phase::Role;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::api::Client;
use crate::eventually::wait_until;
use crate::kube::Kube;
use crate::lab::{Lab, workspace_root};
use crate::leftovers::Snapshot;
use crate::node::ClusterNode;
use crate::operator::Operator;
use crate::plan::ClusterPlan;
use crate::post_mortem;
use crate::process::{FinishedProcess, RunningProcess, run_to_end};
use crate::story::print_uncaptured;
use crate::terminal::on_terminal;

/// The longest that a launch may take here, by its own `--timeout`.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(600);
/// The same for emulated machines.
const EMULATED_LAUNCH_TIMEOUT: Duration = Duration::from_secs(1500);
/// How much later it is given up here, so that its own words are seen.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// A machine is made in a few seconds.
const REMAKE: Duration = Duration::from_secs(60);
/// Destroying five nodes takes a few seconds.
const DESTROY: Duration = Duration::from_secs(120);
/// The kernel lets go of namespaces and cgroups a little after the last process.
const SETTLE: Duration = Duration::from_secs(10);
/// A look at three emulated machines may take ten seconds by itself.
const EMULATED_SETTLE: Duration = Duration::from_secs(60);

/// A cluster and the machine it is run from.
#[derive(Debug)]
pub struct Cluster {
    plan: ClusterPlan,
    dir: PathBuf,
    file: PathBuf,
    kubectl: PathBuf,
    before: Snapshot,
    standing: AtomicBool,
    /// The nodes that a test has powered off, and not on again.
    off: Mutex<BTreeSet<String>>,
    operator: Operator,
    /// Two clusters at once would only measure each other: tests of all processes take turns.
    _turn: File,
}

impl Cluster {
    /// Writes the cluster file and makes the operator's machine; launches nothing. What an earlier run of the same test
    /// left is destroyed first.
    pub fn new(plan: ClusterPlan) -> Result<Self> {
        let lab = if plan.flatcar {
            Lab::default()
        } else {
            Lab::find(plan.kind)?
        };
        let dir = test_directory(&plan.name);
        let turn = take_turn(&dir)?;
        let operator = if plan.flatcar {
            Operator::here(&dir)?
        } else {
            Operator::new(&dir, plan.kind, &lab)?
        };
        if operator.state_of(&plan.name).exists() {
            print_uncaptured(&format!(
                "{}: an earlier run left its cluster; destroying it",
                plan.name
            ));
            run_to_end(operator.ha_host(["destroy", &plan.name, "--yes"]), DESTROY)?.ok()?;
        }
        let plan = plan.with_pod_network(&lab, &dir)?;
        let file = dir.join("cluster.yaml");
        fs::write(&file, plan.text(&lab)).with_context(|| format!("write {}", file.display()))?;
        let kubectl = match lab.kubectl() {
            lab if lab.exists() => lab,
            _ => "kubectl".into(),
        };
        let before = Snapshot::take(&operator, &plan.name)?;
        Ok(Self {
            plan,
            dir,
            file,
            kubectl,
            before,
            standing: AtomicBool::new(false),
            off: Mutex::default(),
            operator,
            _turn: turn,
        })
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// What was asked for.
    pub fn plan(&self) -> &ClusterPlan {
        &self.plan
    }

    /// The machine that `ha-host` runs on.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The directory of this test's files, `target/e2e/NAME`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The cluster file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn kubectl_program(&self) -> &Path {
        &self.kubectl
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state_dir().join("kubeconfig")
    }

    /// Where `ha-host` keeps what it knows of it.
    pub fn state_dir(&self) -> PathBuf {
        self.operator.state_of(self.name())
    }

    /// The Ignition config that a node was last made of.
    pub fn ignition_of(&self, node: &str) -> PathBuf {
        self.state_dir().join(format!("nodes/{node}.ign"))
    }

    /// Where the provider keeps a node's machine.
    pub fn machine_of(&self, node: &str) -> PathBuf {
        self.state_dir().join("machines").join(node)
    }

    /// One node.
    pub fn node<'a>(&'a self, name: &'a str) -> ClusterNode<'a> {
        ClusterNode::new(self, name)
    }

    /// kubectl.
    pub fn kube(&self) -> Kube<'_> {
        Kube::new(self)
    }

    /// The control planes' names.
    pub fn control_planes(&self) -> Vec<String> {
        self.plan.names(Role::ControlPlane)
    }

    /// The workers' names.
    pub fn workers(&self) -> Vec<String> {
        self.plan.names(Role::Worker)
    }

    /// Where the API answers for everybody.
    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.plan.vip(), self.plan.port)
    }

    /// Where the control planes' own apiservers answer.
    pub fn apiservers(&self) -> Vec<SocketAddr> {
        let nodes = self
            .plan
            .nodes()
            .into_iter()
            .filter(|n| n.1 == Role::ControlPlane);
        nodes
            .map(|n| SocketAddr::new(n.2, self.plan.apiserver_port))
            .collect()
    }

    /// Where the operator's machine reaches an address of the nodes' network.
    pub fn reach(&self, inside: SocketAddr) -> Result<SocketAddr> {
        let args = ["reach", self.name(), &inside.to_string()];
        let done = self.ha_host(&args, SETTLE)?.ok()?;
        Ok(done.stdout.trim().parse()?)
    }

    /// Ctrl-C. Whoever enters a machine with process ids of its own is the program's parent, elsewhere the program itself.
    pub fn interrupt(&self, launch: &RunningProcess) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(launch.pid())?), Signal::SIGINT)
            .context("interrupt the launch")
    }

    /// A client that trusts the cluster's CA alone, taken from the kubeconfig.
    pub fn client(&self) -> Result<Client> {
        let text = fs::read_to_string(self.kubeconfig()).context("read the kubeconfig")?;
        let config = Kubeconfig::parse(&text)?;
        let ca = config
            .cluster()
            .and_then(|c| c.ca())
            .context("the kubeconfig has no CA")?;
        Client::new(&self.operator, &ca)
    }

    /// `ha-host` with these arguments, to the end.
    pub fn ha_host(&self, args: &[&str], deadline: Duration) -> Result<FinishedProcess> {
        run_to_end(self.operator.ha_host(args), deadline)
    }

    /// Starts `ha-host launch` and does not wait.
    pub fn start_launch(&self, more: &[&str]) -> Result<RunningProcess> {
        self.standing.store(true, Ordering::Relaxed);
        let mut command = self.operator.ha_host(["launch"]);
        command.args(self.launch_arguments()).args(more);
        RunningProcess::start(command)
    }

    /// `ha-host launch` on a terminal, to its end: all that the terminal was sent is its output.
    pub fn launch_on_terminal(&self) -> Result<FinishedProcess> {
        self.standing.store(true, Ordering::Relaxed);
        let mut words = vec![self.operator.program(), OsString::from("launch")];
        words.extend(self.launch_arguments());
        self.end_launch(RunningProcess::start(on_terminal(&self.operator, &words)?)?)
    }

    fn launch_arguments(&self) -> [OsString; 3] {
        self.launch_arguments_within(self.patience().1)
    }

    fn launch_arguments_within(&self, within: Duration) -> [OsString; 3] {
        let seconds = format!("{}s", within.as_secs());
        [self.file.clone().into(), "--timeout".into(), seconds.into()]
    }

    /// `ha-host launch` that has less time than the plan gives it.
    pub fn launch_within(&self, within: Duration) -> Result<FinishedProcess> {
        self.standing.store(true, Ordering::Relaxed);
        let mut command = self.operator.ha_host(["launch"]);
        command.args(self.launch_arguments_within(within));
        self.end_launch(RunningProcess::start(command)?)
    }

    /// `ha-host launch` to its end, whatever its exit code; what it printed is kept as `launch-N.txt`.
    pub fn launch(&self, more: &[&str]) -> Result<FinishedProcess> {
        self.end_launch(self.start_launch(more)?)
    }

    /// How long a launch may take, and what it is told.
    fn patience(&self) -> (Duration, Duration) {
        let usual = match self.plan.kind.is_virtual() {
            true => EMULATED_LAUNCH_TIMEOUT,
            false => LAUNCH_TIMEOUT,
        };
        let told = self.plan.launch_within.unwrap_or(usual);
        (told + LAST_WORDS, told)
    }

    /// Waits for a launch's end and keeps what it printed.
    pub fn end_launch(&self, launch: RunningProcess) -> Result<FinishedProcess> {
        let done = launch.wait(self.patience().0)?;
        let path = (1..)
            .map(|i| self.dir.join(format!("launch-{i}.txt")))
            .find(|p| !p.exists());
        if let Some(path) = path {
            fs::write(
                path,
                format!("$ {}\n{}{}", done.command, done.stdout, done.stderr),
            )?;
        }
        ensure!(
            !done.held,
            "a process that ha-host left behind holds its output: `ha-host launch | cat` would never end"
        );
        Ok(done)
    }

    /// Notes that a test has powered a node off or on.
    pub fn note_power(&self, node: &str, on: bool) {
        let mut off = self.off.lock().unwrap_or_else(PoisonError::into_inner);
        match on {
            true => off.remove(node),
            false => off.insert(node.to_owned()),
        };
    }

    /// Makes a node anew from an Ignition config, with an empty disk.
    pub fn remake(&self, node: &str, ignition: &Path) -> Result<()> {
        self.standing.store(true, Ordering::Relaxed);
        let config = ignition.display().to_string();
        let args = ["remake", self.name(), node, "--ignition", &config];
        self.ha_host(&args, REMAKE)?.ok()?;
        self.note_power(node, true);
        Ok(())
    }

    /// Who holds the VIP now. A control plane that is on and cannot be asked is an error: it may be a second holder.
    pub fn vip_holders(&self) -> Result<Vec<String>> {
        let off = self.off.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.control_planes().into_iter();
        let asked: Vec<String> = asked.filter(|name| !off.contains(name)).collect();
        drop(off);
        holders_among(&asked, |name| self.node(name).holds(self.plan.vip()))
    }

    /// The one holder of the VIP.
    pub fn vip_holder(&self) -> Result<String> {
        let settle = match self.plan.kind.is_virtual() {
            true => EMULATED_SETTLE,
            false => SETTLE,
        };
        wait_until("one holder of the VIP", settle, || {
            let holders = self.vip_holders()?;
            ensure!(holders.len() == 1, "the VIP is on {holders:?}");
            Ok(holders[0].clone())
        })
    }

    /// One other node than `old` holds the VIP, and the API answers there.
    pub fn vip_left(&self, old: &str) -> Result<()> {
        let holders = self.vip_holders()?;
        ensure!(
            holders != [old] && holders.len() == 1,
            "{holders:?} hold it"
        );
        self.client()?.ready(self.endpoint())
    }

    /// `ha-host destroy`, then a look at what is left.
    pub fn destroy(&self) -> Result<()> {
        self.standing.store(false, Ordering::Relaxed);
        self.ha_host(&["destroy", self.name(), "--yes"], DESTROY)?
            .ok()?;
        wait_until("nothing left", SETTLE, || {
            Snapshot::take(&self.operator, self.name())?.nothing_since(&self.before)
        })
    }
}

/// Those that say that they hold it; an error if one says nothing.
fn holders_among(names: &[String], holds: impl Fn(&str) -> Result<bool>) -> Result<Vec<String>> {
    let mut holders = Vec::new();
    for name in names {
        if holds(name).with_context(|| format!("does {name} hold the VIP?"))? {
            holders.push(name.clone());
        }
    }
    Ok(holders)
}

/// A fresh `target/e2e/NAME` (or below `$HA_TEST_DIR`), except for the state of a cluster that may still stand.
fn test_directory(name: &str) -> PathBuf {
    let base = std::env::var_os("HA_TEST_DIR")
        .map_or_else(|| workspace_root().join("target/e2e"), PathBuf::from);
    let dir = base.join(name);
    for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_file() {
            let _ = fs::remove_file(path);
        } else if path.ends_with("post-mortem") {
            let _ = fs::remove_dir_all(path);
        }
    }
    dir
}

/// Waits until no other test on this machine has a cluster. The lock ends with the file.
fn take_turn(dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let file = File::create(dir.with_file_name("turn.lock"))?;
    file.lock().context("wait for the other tests")?;
    Ok(file)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.standing.load(Ordering::Relaxed) {
            return;
        }
        if std::thread::panicking() {
            post_mortem::write_evidence(self, &self.dir);
            if std::env::var_os("HA_KEEP").is_some() {
                self.wait_for_a_reader();
            }
        }
        if let Err(error) = self.destroy() {
            print_uncaptured(&format!("{}: {error:#}", self.name()));
        }
    }
}

impl Cluster {
    /// Waits until every agent says that its node is in its steady state.
    pub fn all_steady(&self, deadline: Duration) -> Result<()> {
        wait_until("every agent is steady", deadline, || {
            for (name, _, _) in self.plan().nodes() {
                let (status, code) = self.node(&name).status()?;
                ensure!(
                    code == Some(0),
                    "{name}: exit code {code:?}, {} {:?} {}",
                    status.phase,
                    status.state,
                    status.last_error
                );
            }
            Ok(())
        })
    }

    /// The operator's machine ends with this process, so whoever wants to look needs it to stay.
    fn wait_for_a_reader(&self) {
        print_uncaptured(&format!(
            "HA_KEEP: {} stands; enter it with `nsenter -t {} -m -n`",
            self.name(),
            self.operator.pid()
        ));
        print_uncaptured(&format!("remove {} when done", self.file.display()));
        while self.file.exists() {
            std::thread::sleep(SETTLE);
        }
    }
}

#[cfg(test)]
mod tests;
