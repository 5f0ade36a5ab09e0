//! Fakes that record what the agent would do, and nodes to do it on. Tests only.

mod loopback;
mod runtime;

pub use runtime::{RUNTIME_ANSWERS, RUNTIME_WITHOUT_CRI, serve_runtime};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use ha_wire::node::NodeFile;
use ha_wire::settings::LbMode;
use serde_json::{Value, json};
use tokio::sync::Notify;

use self::loopback::OwnNetwork;
use crate::context::Context;
use crate::phases::ConfigFile;
use crate::report::Reporter;
use crate::sys::files::Files;
use crate::sys::{Boxed, Clock, Cmd, Commands, Output, Sys, Systemd};

/// The second of three control planes.
pub fn control_plane() -> NodeFile {
    node_in_role("node2", "control-plane", "10.77.0.12", None)
}

/// The first of three control planes, with the permission to found.
pub fn founder() -> NodeFile {
    node_in_role(
        "node1",
        "control-plane",
        "10.77.0.11",
        Some(json!({"until": 4_000_000_000_u64})),
    )
}

/// The same nodes behind somebody else's balancer.
pub fn behind_external(mut node: NodeFile) -> NodeFile {
    node.load_balancer.mode = LbMode::External;
    node.endpoint.name = Some("k8s-api.example.org".into());
    node.endpoint.further_addresses = vec![[192, 0, 2, 11].into()];
    (node.endpoint.vip, node.endpoint.port) = ([192, 0, 2, 10].into(), 6443);
    node
}

pub fn worker() -> NodeFile {
    node_in_role("node4", "worker", "10.77.0.14", None)
}

/// The second of two machines of the load balancer's own, in front of three control planes.
pub fn balancer_machine() -> NodeFile {
    let mut node = node_in_role("lb2", "load-balancer", "10.77.0.22", None);
    let both = [("lb1", "10.77.0.21"), ("lb2", "10.77.0.22")];
    let both = both.map(|(name, address)| json!({"name": name, "address": address}));
    node.balancers = serde_json::from_value(json!(both)).unwrap();
    node.load_balancer.mode = ha_wire::settings::LbMode::Machines;
    node
}

fn node_in_role(name: &str, role: &str, address: &str, founder: Option<Value>) -> NodeFile {
    let peers: Vec<Value> = (1..=3)
        .map(|i| json!({"name": format!("node{i}"), "address": format!("10.77.0.1{i}")}))
        .collect();
    let mut node = json!({
        "version": 1, "cluster": "demo", "name": name, "role": role, "address": address, "prefix": 24,
        "interface": "eth0", "controlPlanes": peers, "endpoint": {"vip": "10.77.0.30", "port": 6444},
        "loadBalancer": {"mode": "native", "stats": null, "extraPorts": [], "advertIntervalMs": 100},
        "vrid": 77,
        "kubernetes": {"version": "1.36.3", "podCIDR": "10.244.0.0/16", "serviceCIDR": "10.96.0.0/12",
            "cri": "containerd", "proxy": "none"},
        "cni": {"kind": "none"},
    });
    if let Some(founder) = founder {
        node["founder"] = founder;
    }
    NodeFile::parse(&node.to_string()).unwrap()
}

/// What a fake machine was asked to do, one line each, e.g. `start haproxy.service`, `run kubeadm version`.
pub type Log = Rc<RefCell<Vec<String>>>;

/// systemd as a table of unit states. As with the real one, an order for a unit without a file fails, and so does a start of a
/// failed unit whose failures nobody has reset: it may have died too often.
#[derive(Debug, Default)]
pub struct FakeSystemd {
    pub log: Log,
    /// ActiveState by unit; a unit that is not here is `not-found`.
    units: RefCell<BTreeMap<String, String>>,
    /// Every change of a state: who watches hears of each, as from the real one's signals.
    changes: RefCell<Vec<(String, String)>>,
    /// Units whose orders fail.
    pub broken: RefCell<Vec<String>>,
    /// How often somebody began to watch a unit.
    pub watches: Cell<u32>,
}

impl FakeSystemd {
    /// A unit that is there, in this state.
    pub fn unit(&self, unit: &str, state: &str) -> &Self {
        let entry = (unit.to_owned(), state.to_owned());
        self.changes.borrow_mut().push(entry.clone());
        self.units.borrow_mut().extend([entry]);
        self
    }

    /// The unit's file is gone.
    pub fn forget_unit(&self, unit: &str) {
        self.units.borrow_mut().remove(unit);
    }

    fn state(&self, unit: &str) -> Option<String> {
        self.units.borrow().get(unit).cloned()
    }

    fn order(&self, verb: &str, unit: &str) -> Result<()> {
        self.log.borrow_mut().push(format!("{verb} {unit}"));
        let state = self.state(unit);
        let state = state.ok_or_else(|| anyhow!("systemctl {verb} {unit}: not found"))?;
        let broken = self.broken.borrow().iter().any(|u| u == unit);
        if broken || state == "failed" {
            return Err(anyhow!("systemctl {verb} {unit}: job ended with `failed`"));
        }
        self.unit(unit, "active");
        Ok(())
    }
}

impl Systemd for FakeSystemd {
    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move { self.order("start", unit) })
    }
    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move { self.order("restart", unit) })
    }
    fn reload_or_restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move { self.order("reload-or-restart", unit) })
    }
    fn reset_failed<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.log.borrow_mut().push(format!("reset-failed {unit}"));
            if self.state(unit).as_deref() == Some("failed") {
                self.unit(unit, "inactive");
            }
            Ok(())
        })
    }
    fn daemon_reload(&self) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            self.log.borrow_mut().push("daemon-reload".into());
            Ok(())
        })
    }
    fn active_state<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<String>> {
        Box::pin(async move { Ok(self.state(unit).unwrap_or_else(|| "not-found".into())) })
    }
    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>> {
        Box::pin(async move {
            self.watches.set(self.watches.get() + 1);
            let heard = self.changes.borrow().len();
            let state = self.active_state(unit).await?;
            if state != known {
                return Ok(state);
            }
            let is_news = |(whose, state): &&(String, String)| whose == unit && state != known;
            loop {
                if let Some((_, state)) = self.changes.borrow()[heard..].iter().find(is_news) {
                    return Ok(state.clone());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

/// kubeadm's look at a configuration that it is about to be run with, and at itself.
const LOOKS: [&str; 2] = ["kubeadm config validate", "kubeadm version"];

/// Commands with answers given beforehand; one that nobody foresaw ends the test.
#[derive(Debug, Default)]
pub struct FakeCommands {
    pub log: Log,
    /// The files behind `--config`, as they were when the command ran.
    pub configs: RefCell<Vec<ConfigFile>>,
    /// What each command's environment has besides the agent's own.
    pub environments: RefCell<Vec<Vec<(String, String)>>>,
    /// What commands were given on standard input, those that were given anything.
    pub inputs: RefCell<Vec<String>>,
    /// Answers by the begin of the command line, each used once in turn.
    answers: RefCell<VecDeque<(String, Result<Output>)>>,
    /// Commands that succeed without a word, whenever no answer is left for them.
    fine: RefCell<Vec<String>>,
    /// Files that commands write, by the begin of the command line.
    leftovers: RefCell<Vec<(String, std::path::PathBuf, String)>>,
    /// Commands that go on until they are told to end.
    lasting: RefCell<Vec<(String, Rc<Notify>)>>,
}

impl FakeCommands {
    /// Every command line that begins with these words succeeds without a word.
    pub fn succeed(&self, begin: &str) -> &Self {
        self.fine.borrow_mut().push(begin.into());
        self
    }

    /// The next command line that begins with these words ends like this.
    pub fn answer(&self, begin: &str, answer: Result<Output>) -> &Self {
        self.answers.borrow_mut().push_back((begin.into(), answer));
        self
    }

    /// Every command line that begins with these words leaves this file there, even one that fails.
    pub fn leaves(&self, begin: &str, path: std::path::PathBuf, text: &str) {
        let left = (begin.into(), path, text.into());
        self.leftovers.borrow_mut().push(left);
    }

    fn leave_files(&self, words: &str) {
        for (begin, path, text) in &*self.leftovers.borrow() {
            if begins_with(words, begin) {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
        }
    }

    /// The next command line that begins with these words goes on until this is notified, and succeeds.
    pub fn lasts(&self, begin: &str) -> Rc<Notify> {
        let end = Rc::new(Notify::new());
        self.lasting.borrow_mut().push((begin.into(), end.clone()));
        end
    }

    async fn wait_for_end(&self, words: &str) {
        let end = {
            let mut lasting = self.lasting.borrow_mut();
            let at = lasting
                .iter()
                .position(|(begin, _)| begins_with(words, begin));
            at.map(|at| lasting.remove(at).1)
        };
        if let Some(end) = end {
            end.notified().await;
        }
    }

    fn answer_to(&self, words: &str) -> Result<Output> {
        let mut answers = self.answers.borrow_mut();
        if let Some(at) = answers
            .iter()
            .position(|(begin, _)| begins_with(words, begin))
        {
            return answers.remove(at).unwrap().1;
        }
        let fine = self
            .fine
            .borrow()
            .iter()
            .any(|begin| begins_with(words, begin));
        assert!(fine, "nobody foresaw the command {words:?}");
        Ok(Output::default())
    }
}

/// Whole words, not a part of one.
fn begins_with(words: &str, begin: &str) -> bool {
    let rest = words.strip_prefix(begin);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

impl Commands for FakeCommands {
    fn run_watched<'a>(&'a self, cmd: Cmd, line: &'a dyn Fn(&str)) -> Boxed<'a, Result<Output>> {
        Box::pin(async move {
            let words = format!("{} {}", cmd.program, cmd.args.join(" "));
            self.environments.borrow_mut().push(cmd.env.clone());
            if !cmd.stdin.is_empty() {
                let input = String::from_utf8(cmd.stdin.clone()).unwrap();
                self.inputs.borrow_mut().push(input);
            }
            let is_look = LOOKS.iter().any(|look| begins_with(&words, look));
            if let Some(at) = cmd.args.iter().position(|a| a == "--config")
                && !is_look
            {
                let (path, text) = (
                    &cmd.args[at + 1],
                    std::fs::read_to_string(&cmd.args[at + 1]),
                );
                let name = format!("/run/{}", path.rsplit_once("/run/").unwrap().1);
                let mut configs = self.configs.borrow_mut();
                configs.push(ConfigFile::new(&name, text.unwrap()));
            }
            if !is_look && cmd.program != "systemctl" && cmd.program != "journalctl" {
                self.log.borrow_mut().push(format!("run {words}"));
            }
            self.leave_files(&words);
            self.wait_for_end(&words).await;
            let answer = self.answer_to(&words);
            if let Ok(out) = &answer {
                out.stdout.lines().for_each(line);
            }
            answer
        })
    }
}

/// A clock that stands still until somebody sleeps; sleeping takes no time.
#[derive(Debug)]
pub struct FakeClock(pub std::cell::Cell<u64>);

impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.0.get()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.get())
    }
    fn sleep(&self, time: Duration) -> Boxed<'_, ()> {
        self.0
            .set(self.0.get() + u64::try_from(time.as_millis()).unwrap());
        Box::pin(tokio::task::yield_now())
    }
}

/// A machine in a temporary directory.
#[derive(Debug)]
pub struct FakeMachine {
    /// What a phase is handed.
    pub cx: Context,
    pub systemd: Rc<FakeSystemd>,
    pub commands: Rc<FakeCommands>,
    pub clock: Rc<FakeClock>,
    /// Orders and commands in their order.
    pub log: Log,
    /// Deleted with the machine.
    _root: tempfile::TempDir,
    _network: Option<OwnNetwork>,
}

/// Effects for a thread of its own: haproxy and keepalived are active.
pub fn fake_sys(files: Files, clock: Rc<dyn Clock>) -> Sys {
    let systemd = FakeSystemd::default();
    for unit in ["haproxy.service", "keepalived.service"] {
        systemd.unit(unit, "active");
    }
    Sys {
        systemd: Rc::new(systemd),
        commands: Rc::new(FakeCommands::default()),
        clock,
        files,
        proxy: None,
    }
}

/// A machine that is this node.
pub fn fake_machine(node: NodeFile) -> FakeMachine {
    let network = OwnNetwork::of(&node);
    let root = tempfile::tempdir().unwrap();
    let files = Files::new(root.path());
    let log = Log::default();
    let systemd = Rc::new(FakeSystemd {
        log: log.clone(),
        ..FakeSystemd::default()
    });
    let commands = Rc::new(FakeCommands {
        log: log.clone(),
        ..FakeCommands::default()
    });
    // What is looked at beside kubeadm, and kubeadm's look at its configuration.
    for quiet in ["systemctl show", "journalctl"].into_iter().chain(LOOKS) {
        commands.succeed(quiet);
    }
    let clock = Rc::new(FakeClock(std::cell::Cell::new(1_700_000_000_000)));
    let sys = Sys {
        systemd: systemd.clone(),
        commands: commands.clone(),
        clock: clock.clone(),
        files: files.clone(),
        proxy: None,
    };
    let cx = Context {
        report: Reporter::new(&node, clock.clone(), files),
        node: std::sync::Arc::new(node),
        sys,
        clients: Rc::default(),
        cluster_seen_at: Rc::default(),
    };
    FakeMachine {
        cx,
        systemd,
        commands,
        clock,
        log,
        _root: root,
        _network: network,
    }
}

impl FakeMachine {
    /// Puts a file there.
    pub fn file(&self, name: &str, content: &str) {
        self.cx
            .sys
            .files
            .write(name, 0o644, content.as_bytes())
            .unwrap();
    }

    /// What was ordered and run so far, in order; forgotten then.
    pub fn orders(&self) -> Vec<String> {
        std::mem::take(&mut self.log.borrow_mut())
    }

    /// The events told so far.
    pub fn events(&self) -> Vec<Value> {
        let text = self
            .cx
            .sys
            .files
            .read(ha_wire::paths::EVENTS_FILE)
            .unwrap()
            .unwrap_or_default();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    pub fn status(&self) -> ha_wire::status::Status {
        serde_json::from_str(
            &self
                .cx
                .sys
                .files
                .read(ha_wire::paths::STATUS_FILE)
                .unwrap()
                .unwrap(),
        )
        .unwrap()
    }
}

pub fn ca_pem() -> String {
    crate::kube::testing::test_authority("kubernetes")
        .cert()
        .to_owned()
}
