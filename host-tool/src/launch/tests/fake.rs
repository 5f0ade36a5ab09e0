//! Machines that only pretend, and a launch over them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::SystemTime;

use anyhow::{Context, bail};
use ha_cluster_file::cluster::Node;
use ha_flatcar_image::Bar;
use ha_kube::testing::external_etcd;
use ha_providers::{Finding, Made, Power, Unfit};
use ha_test_support::{DEMO, parse_cluster};

use super::super::*;
use crate::progress::{self, pull::SilentBar};
use crate::testing::AnsweringAt;

/// Machines that do nothing; what their agents say is given.
#[derive(Debug)]
pub struct FakeProvider {
    pub dir: PathBuf,
    pub fit: bool,
    pub broken: Option<&'static str>,
    pub machine: Machine,
    pub made: Made,
    pub says: &'static str,
    pub console: &'static str,
    pub deaf: bool,
    /// What nodes said that only their host knows yet; none: it does not hand it over.
    pub at_host: Option<&'static [(&'static str, &'static str)]>,
    /// Paths that exist on a node's disk, by its name.
    pub disks: &'static [(&'static str, &'static str)],
    /// What a node answers that is asked why it is silent; empty: nothing that is understood.
    pub silence: &'static str,
    /// Who answers at the addresses of the nodes' network.
    pub network: AnsweringAt,
    /// What happens while the host is looked at.
    pub meanwhile: Option<Meanwhile>,
    /// Whoever asks a node waits.
    pub hangs: bool,
    pub gate: Option<Gate>,
    pub calls: Mutex<Vec<String>>,
    pub removed: Mutex<BTreeSet<String>>,
}

/// Something that another ha-host does.
pub struct Meanwhile(pub Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

/// Where every machine in the making waits.
#[derive(Debug)]
pub struct Gate {
    pub entered: mpsc::Sender<String>,
    pub go_on: Mutex<mpsc::Receiver<()>>,
}

impl FakeProvider {
    fn note(&self, call: &str) {
        self.calls.lock().unwrap().push(call.to_owned());
    }

    /// The nodes whose machines were removed, in that order.
    pub fn removals(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let removed = calls.iter().filter_map(|c| c.strip_prefix("remove "));
        removed.map(str::to_owned).collect()
    }

    fn look_at_disk(&self, node: &Node, paths: &[&str]) -> Command {
        let has = |path: &&&str| self.disks.contains(&(node.name.as_str(), **path));
        let mut command = Command::new("printf");
        command.arg("%s\\n").args(paths.iter().filter(has));
        // Which the look asks for by what is in it.
        command.args(Some("/etc/kubernetes/kubelet.conf").iter().filter(has));
        command.arg("looked");
        command
    }
}

impl Provider for FakeProvider {
    fn preflight(&self) -> Result<Vec<Finding>> {
        if let Some(Meanwhile(happens)) = &self.meanwhile {
            happens();
        }
        match self.fit {
            true => Ok(Vec::new()),
            false => Ok(vec![Unfit::new("3 GiB free", "free some memory").into()]),
        }
    }
    fn prepare(&self) -> Result<()> {
        self.note("prepare");
        Ok(())
    }
    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made> {
        assert!(ignition.is_file());
        self.note(&format!("ensure {}", node.name));
        if let Some(gate) = &self.gate {
            gate.entered.send(node.name.clone()).unwrap();
            gate.go_on.lock().unwrap().recv().unwrap();
        }
        if self.broken == Some(node.name.as_str()) {
            bail!("no space left on device");
        }
        self.removed.lock().unwrap().remove(&node.name);
        if self.made != Made::Running {
            std::fs::write(self.console(node), self.console).unwrap();
        }
        if node.name == "node3" && self.made != Made::Running {
            std::fs::write(self.events(node), self.says).unwrap();
        }
        Ok(self.made.clone())
    }
    fn state(&self, node: &Node) -> Result<Machine> {
        Ok(match self.removed.lock().unwrap().contains(&node.name) {
            true => Machine::Absent,
            false => self.machine,
        })
    }
    fn power(&self, _node: &Node, _order: Power) -> Result<()> {
        Ok(())
    }
    fn remove(&self, node: &Node) -> Result<()> {
        self.note(&format!("remove {}", node.name));
        self.removed.lock().unwrap().insert(node.name.clone());
        Ok(())
    }
    fn reach(&self, inside: SocketAddr) -> SocketAddr {
        self.network.reach(inside)
    }
    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command> {
        self.note(&format!("exec {} {}", node.name, argv.join(" ")));
        if self.deaf {
            bail!("nobody there answers");
        }
        if self.hangs {
            let mut command = Command::new("sleep");
            command.arg("1000");
            return Ok(command);
        }
        if let ["sh", "-c", _, "sh", paths @ ..] = argv {
            return Ok(self.look_at_disk(node, paths));
        }
        if let (["sh", "-c", _, "silent"], false) = (argv, self.silence.is_empty()) {
            let mut command = Command::new("printf");
            command.arg(self.silence);
            return Ok(command);
        }
        if argv[0] == "systemctl" {
            // The agent begins anew and gives up anew.
            let mut events = std::fs::read_to_string(self.events(node)).unwrap();
            events += GAVE_UP;
            std::fs::write(self.events(node), events).unwrap();
        }
        let mut command = Command::new("echo");
        command.arg("ha-agent.service: Failed with result 'exit-code'.");
        Ok(command)
    }
    fn fetch_output(&self, node: &Node) -> Result<()> {
        let said = self.at_host.context("the host hands nothing over")?;
        for (_, text) in said.iter().filter(|(name, _)| *name == node.name) {
            std::fs::write(self.events(node), text)?;
        }
        Ok(())
    }
    fn events(&self, node: &Node) -> PathBuf {
        self.dir.join(format!("{}.events", node.name))
    }
    fn console(&self, node: &Node) -> PathBuf {
        self.dir.join(format!("{}.console", node.name))
    }
    fn destroy(&self) -> Result<()> {
        self.note("destroy");
        Ok(())
    }
}

/// Keeps the end and the warnings as people would see them.
#[derive(Default)]
struct KeptWords(Vec<String>);

impl Report for KeptWords {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        match happened {
            LaunchEvent::Warning(text) => self.0.push(format!("warning: {text}")),
            LaunchEvent::Ended(end) => self.0.push(progress::end_text(end)),
            _ => {}
        }
    }
    fn download_bar(&self) -> Box<dyn Bar> {
        Box::new(SilentBar)
    }
}

pub struct TestEnv {
    pub dir: tempfile::TempDir,
    pub source: Source,
}

/// For what has to be judged without the cluster.
pub fn no_provider(_: &Cluster) -> Result<Arc<dyn Provider>> {
    anyhow::bail!("nobody is to be asked")
}

impl TestEnv {
    /// The documentation's network; who answers there is given. Machines of no kind, so that no image is fetched for them.
    pub fn new() -> Self {
        Self::from_text(DEMO, tempfile::tempdir().unwrap())
    }

    /// The same with an etcd of somebody else's, which nobody asks.
    pub fn with_external_etcd() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let etcd = format!("cni: none, etcd: {}", external_etcd(dir.path()));
        Self::from_text(&DEMO.replace("cni: none", &etcd), dir)
    }

    fn from_text(text: &str, dir: tempfile::TempDir) -> Self {
        let text = text.replace("10.77.0.", "192.0.2.");
        let text = text.replace(
            "nodes:",
            "provider: {nspawn: {image: image}}\nsysexts: none\nnodes:",
        );
        let cluster = parse_cluster(&text, Path::new("/"));
        Self {
            dir,
            source: Source {
                path: "demo.yaml".into(),
                text,
                base: "/".into(),
                cluster,
                warnings: String::new(),
            },
        }
    }

    pub fn provider(&self) -> FakeProvider {
        let (dir, calls) = (self.dir.path().to_owned(), Mutex::default());
        FakeProvider {
            dir,
            fit: true,
            broken: None,
            machine: Machine::Running,
            made: Made::New { warning: None },
            says: "",
            console: "",
            deaf: false,
            at_host: Some(&[]),
            disks: &[],
            silence: "",
            network: AnsweringAt::nobody(),
            meanwhile: None,
            hangs: false,
            gate: None,
            calls,
            removed: Mutex::default(),
        }
    }

    pub fn state(&self) -> ClusterDir {
        StateRoot::new(Some(&self.dir.path().join("state")))
            .unwrap()
            .dir("demo")
    }

    pub fn try_launch(&self, provider: &Arc<FakeProvider>, timeout: u64) -> (Result<Exit>, String) {
        let mut kept = KeptWords::default();
        let options = Options {
            timeout: Duration::from_secs(timeout),
            parallel: 2,
            found: false,
        };
        let make_provider = |_: &Cluster| Ok(provider.clone() as Arc<dyn Provider>);
        let exit = Launch::begin(&self.source, self.state(), &make_provider, options)
            .and_then(|launch| launch.run(&mut kept));
        (exit, kept.0.join("\n"))
    }

    /// A launch that prepares everything and waits for nothing. Its machines may still be in the making; they write nothing.
    pub fn launch_in_vain(&self) {
        let provider = Arc::new(FakeProvider {
            made: Made::Running,
            ..self.provider()
        });
        assert_eq!(self.launch(&provider, 0).0, Exit::TimedOut);
    }

    /// Makes a node's stored config as old as this.
    pub fn age(&self, node: &str, age: Duration) {
        let path = self.state().ignition(node);
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    /// Whether the stored config of the first control plane permits it to found the cluster.
    pub fn permits_founding(&self) -> bool {
        let text = std::fs::read_to_string(self.state().ignition("node1")).unwrap();
        crate::ignition::without_founder(&text).unwrap().is_some()
    }

    pub fn launch(&self, provider: &Arc<FakeProvider>, timeout: u64) -> (Exit, String) {
        let (exit, end) = self.try_launch(provider, timeout);
        (exit.unwrap(), end)
    }
}

/// A node whose agent gives up joining.
pub const GAVE_UP: &str = concat!(
    r#"{"version":1,"seq":1,"timeMs":5,"node":"node3","event":"hello","agent":"0.1.0","role":"control-plane","boot":"x"}"#,
    "\n",
    r#"{"version":1,"seq":2,"timeMs":6,"node":"node3","event":"failed","phase":"join","attempt":3,"#,
    r#""error":"dial tcp 192.0.2.11:2379: i/o timeout","tail":["[etcd] Announced"],"retryMs":null}"#,
    "\n",
);
