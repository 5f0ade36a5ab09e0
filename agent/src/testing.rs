//! Fakes that record what the agent would do, and nodes to do it on. Tests only.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use ha_wire::node::NodeFile;
use serde_json::{Value, json};

use crate::context::Context;
use crate::phases::ConfigFile;
use crate::report::Reporter;
use crate::sys::files::Files;
use crate::sys::{Boxed, Clock, Cmd, Commands, Output, Sys, Systemd};

/// The second of three control planes.
pub fn control_plane() -> NodeFile {
    node("node2", "control-plane", "10.77.0.12", None)
}

/// The first of three control planes, with the permission to found.
pub fn founder() -> NodeFile {
    node(
        "node1",
        "control-plane",
        "10.77.0.11",
        Some(json!({"until": 4_000_000_000_u64})),
    )
}

pub fn worker() -> NodeFile {
    node("node4", "worker", "10.77.0.14", None)
}

fn node(name: &str, role: &str, address: &str, founder: Option<Value>) -> NodeFile {
    let peers: Vec<Value> = (1..=3)
        .map(|i| json!({"name": format!("node{i}"), "address": format!("10.77.0.1{i}")}))
        .collect();
    let mut node = json!({
        "version": 1, "cluster": "demo", "name": name, "role": role, "address": address, "prefix": 24,
        "interface": "eth0", "controlPlanes": peers, "endpoint": {"vip": "10.77.0.30", "port": 6444},
        "loadBalancer": {"mode": "native", "stats": null, "extraPorts": [], "advertIntervalMs": 100},
        "vrid": 77,
        "kubernetes": {"version": "1.34.4", "podCIDR": "10.244.0.0/16", "serviceCIDR": "10.96.0.0/12",
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

/// systemd as a table of unit states.
#[derive(Debug, Default)]
pub struct FakeSystemd {
    pub log: Log,
    /// ActiveState by unit; a unit that is not here is `not-found`.
    pub units: RefCell<BTreeMap<String, String>>,
    /// Units whose orders fail.
    pub broken: RefCell<Vec<String>>,
    /// How often somebody began to watch a unit.
    pub watches: Cell<u32>,
}

impl FakeSystemd {
    fn order(&self, verb: &str, unit: &str, then: &str) -> Result<()> {
        self.log.borrow_mut().push(format!("{verb} {unit}"));
        if self.broken.borrow().iter().any(|u| u == unit) {
            return Err(anyhow!("systemctl {verb} {unit}: job ended with `failed`"));
        }
        self.units.borrow_mut().insert(unit.into(), then.into());
        Ok(())
    }
}

impl Systemd for FakeSystemd {
    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move { self.order("start", unit, "active") })
    }
    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move { self.order("restart", unit, "active") })
    }
    fn reload_or_restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move { self.order("reload-or-restart", unit, "active") })
    }
    fn reset_failed<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.log.borrow_mut().push(format!("reset-failed {unit}"));
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
        Box::pin(async move {
            Ok(self
                .units
                .borrow()
                .get(unit)
                .cloned()
                .unwrap_or_else(|| "not-found".into()))
        })
    }
    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>> {
        Box::pin(async move {
            self.watches.set(self.watches.get() + 1);
            loop {
                let state = self.active_state(unit).await?;
                if state != known {
                    return Ok(state);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

/// Commands with answers given beforehand; one that nobody foresaw succeeds without a word.
#[derive(Debug, Default)]
pub struct FakeCommands {
    pub log: Log,
    /// The files behind `--config`, as they were when the command ran.
    pub configs: RefCell<Vec<ConfigFile>>,
    /// Answers by the begin of the command line, each used once in turn.
    pub answers: RefCell<VecDeque<(String, Result<Output>)>>,
}

impl Commands for FakeCommands {
    fn run_watched<'a>(&'a self, cmd: Cmd, line: &'a dyn Fn(&str)) -> Boxed<'a, Result<Output>> {
        Box::pin(async move {
            if let Some(at) = cmd.args.iter().position(|a| a == "--config") {
                let (path, text) = (
                    &cmd.args[at + 1],
                    std::fs::read_to_string(&cmd.args[at + 1]),
                );
                let name = format!("/run/{}", path.rsplit_once("/run/").unwrap().1);
                let mut configs = self.configs.borrow_mut();
                configs.push(ConfigFile::new(&name, text.unwrap()));
            }
            let words = format!("{} {}", cmd.program, cmd.args.join(" "));
            self.log.borrow_mut().push(format!("run {words}"));
            let mut answers = self.answers.borrow_mut();
            let at = answers
                .iter()
                .position(|(begin, _)| words.starts_with(begin.as_str()));
            let answer = at
                .and_then(|at| answers.remove(at))
                .map_or_else(|| Ok(Output::default()), |(_, a)| a);
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
}

/// Effects for a thread of its own: haproxy and keepalived are active.
pub fn fake_sys(files: Files, clock: Rc<dyn Clock>) -> Sys {
    let systemd = FakeSystemd::default();
    for unit in ["haproxy.service", "keepalived.service"] {
        let mut units = systemd.units.borrow_mut();
        units.insert(unit.into(), "active".into());
    }
    Sys {
        systemd: Rc::new(systemd),
        commands: Rc::new(FakeCommands::default()),
        clock,
        files,
    }
}

/// A machine that is this node.
pub fn fake_machine(node: NodeFile) -> FakeMachine {
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
    let clock = Rc::new(FakeClock(std::cell::Cell::new(1_700_000_000_000)));
    let sys = Sys {
        systemd: systemd.clone(),
        commands: commands.clone(),
        clock: clock.clone(),
        files: files.clone(),
    };
    let cx = Context {
        report: Reporter::new(&node, clock.clone(), files),
        node: std::sync::Arc::new(node),
        sys,
        clients: Rc::default(),
    };
    FakeMachine {
        cx,
        systemd,
        commands,
        clock,
        log,
        _root: root,
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
