//! The provider against a stand-in for `virsh` (`virsh.sh`) whose answers can be lost, one by one. Each test runs again in a
//! process of its own, whose PATH begins with the stand-in.

use std::os::unix::fs::PermissionsExt;

use ha_host_base::files;

use super::*;
use crate::machine_tests;

mod at_scale;
mod lost_answers;

/// Set in the second life of a test: the directory that the stand-in keeps its things in.
const DIR: &str = "HA_STAND_IN";
/// What virsh may be asked without changing anything.
const READS: [&str; 14] = [
    "uri",
    "list",
    "dumpxml",
    "capabilities",
    "domcapabilities",
    "nodememstats",
    "net-list",
    "net-dumpxml",
    "pool-list",
    "pool-dumpxml",
    "vol-list",
    "vol-dumpxml",
    "vol-download",
    "version",
];

/// Runs `test`, a closure in a test's own function, where `virsh` is the stand-in.
fn with_stand_in<T: Fn()>(test: T) {
    if std::env::var_os(DIR).is_some() {
        return test();
    }
    let name = machine_tests::test_around::<T>();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("virsh");
    std::fs::write(&program, include_str!("virsh.sh")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--include-ignored", "--nocapture", &name])
        .env("PATH", format!("{}:{path}", dir.path().display()))
        .env(DIR, dir.path())
        .status();
    assert!(status.unwrap().success(), "{name} failed");
    assert!(dir.path().join("n").exists(), "{name} was not found");
}

/// The file that holds calls; they go on when this is dropped.
struct Gate(PathBuf);

impl Drop for Gate {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// A host from nothing, with another cluster's running machine on it, and a cluster's provider.
struct StandInFixture {
    host: PathBuf,
    dir: tempfile::TempDir,
    cluster: Cluster,
    provider: Libvirt,
}

impl StandInFixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.img");
        std::fs::write(&image, [7; 4096]).unwrap();
        let cluster = libvirt_cluster(&format!("{{path: {}}}", image.display()), "");
        Self::of(cluster, dir)
    }

    fn of(cluster: Cluster, dir: tempfile::TempDir) -> Self {
        let host = PathBuf::from(std::env::var_os(DIR).unwrap());
        for part in [
            "dom",
            "run",
            "net",
            "netrun",
            "transient",
            "pool",
            "poolrun",
            "vol",
            "meta",
            "running",
        ] {
            files::remove_dir(&host.join(part)).unwrap();
            std::fs::create_dir(host.join(part)).unwrap();
        }
        for (file, text) in [
            ("n", "0"),
            ("calls", ""),
            ("cut", ""),
            ("side-by-side", ""),
            ("pool/default", ""),
            ("poolrun/default", ""),
            (
                "dom/foreign",
                "<domain type='kvm'><name>foreign</name><disk file='/pool/foreign.qcow2'/></domain>",
            ),
            ("run/foreign", ""),
            ("vol/foreign.qcow2", "a stranger's data"),
            ("meta/foreign.qcow2", "qcow2 -"),
        ] {
            std::fs::write(host.join(file), text).unwrap();
        }
        let provider = libvirt_provider(&cluster, &dir.path().join("state"));
        Self {
            host,
            dir,
            cluster,
            provider,
        }
    }

    /// The same with node one running, whose disk holds data.
    fn with_running_node() -> Self {
        let mut fixture = Self::new();
        fixture.launch().unwrap();
        fixture.write_data();
        fixture.provider = libvirt_provider(&fixture.cluster, &fixture.dir.path().join("state"));
        fixture
    }

    fn node(&self) -> &Node {
        &self.cluster.nodes[0]
    }

    fn ignition(&self) -> PathBuf {
        let path = self.dir.path().join("node.ign");
        std::fs::write(&path, r#"{"ignition":{"version":"3.3.0"}}"#).unwrap();
        path
    }

    fn ensure(&self) -> Result<Made> {
        self.provider.ensure(self.node(), &self.ignition())
    }

    /// As every launch does, in a process of its own.
    fn launch(&self) -> Result<Made> {
        let provider = libvirt_provider(&self.cluster, &self.dir.path().join("state"));
        provider.prepare()?;
        provider.ensure(self.node(), &self.ignition())
    }

    fn destroy(&self) -> Result<()> {
        libvirt_provider(&self.cluster, &self.dir.path().join("state")).destroy()
    }

    /// What the node wrote to its disk.
    fn write_data(&self) {
        std::fs::write(self.disk(), "the node's data").unwrap();
    }

    fn disk(&self) -> PathBuf {
        let disks = std::fs::read_dir(self.host.join("vol")).unwrap().flatten();
        let ours = |name: &str| name.starts_with("t.one.") && name.ends_with(".qcow2");
        let mut disks = disks.filter(|entry| ours(entry.file_name().to_str().unwrap()));
        disks.next().expect("node one has a disk").path()
    }

    fn read_data(&self) -> String {
        std::fs::read_to_string(self.disk()).unwrap()
    }

    /// From the next call on: so many answers go wrong, after so many that do not.
    fn lose_answers(&self, after: usize, count: usize, how: &str) {
        std::fs::write(self.host.join("n"), "0").unwrap();
        std::fs::write(self.host.join("calls"), "").unwrap();
        std::fs::write(
            self.host.join("cut"),
            format!("{} {count} {how}\n", after + 1),
        )
        .unwrap();
    }

    fn answer_all(&self) {
        self.lose_answers(0, 0, "whole");
    }

    /// Does some work whose calls begin and do not end until so many have; then the most that ran at once come back.
    fn most_at_once(&self, begun: usize, work: impl FnOnce() + Send) -> usize {
        let lines = || std::fs::read_to_string(self.host.join("side-by-side")).unwrap();
        std::fs::write(self.host.join("side-by-side"), "").unwrap();
        self.work_behind_gate("", work, || lines().lines().count() >= begun, || ());
        let counts = lines();
        let counts = counts.lines().map(|line| line.trim().parse().unwrap());
        counts.max().unwrap()
    }

    /// Does some work, and holds its call of one command as long as `meanwhile` takes.
    fn while_held(&self, command: &str, work: impl FnOnce() + Send, meanwhile: impl FnOnce()) {
        let waits = self.host.join("held");
        let _ = std::fs::remove_file(&waits);
        self.work_behind_gate(command, work, || waits.exists(), meanwhile);
    }

    fn work_behind_gate(
        &self,
        command: &str,
        work: impl FnOnce() + Send,
        ready: impl Fn() -> bool,
        meanwhile: impl FnOnce(),
    ) {
        let gate = Gate(self.host.join("gate"));
        std::fs::write(&gate.0, command).unwrap();
        std::thread::scope(move |scope| {
            // It opens also when `meanwhile` fails.
            let _gate = gate;
            let working = scope.spawn(work);
            while !ready() && !working.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
            meanwhile();
        });
    }

    /// All calls since the last cut or heal.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.host.join("calls")).unwrap();
        text.lines().map(String::from).collect()
    }

    /// The first command among them that may change something.
    fn first_change(&self) -> Option<usize> {
        let reads = |call: &String| {
            let mut commands = call.split(';').map(str::trim);
            commands.all(|c| READS.contains(&c.split(' ').next().unwrap_or_default()))
        };
        self.calls().iter().position(|call| !reads(call))
    }

    /// Everything at the host but the stranger's.
    fn ours(&self) -> Vec<String> {
        let parts = ["dom", "run", "net", "netrun", "vol"];
        let names = parts.iter().flat_map(|part| {
            let entries = std::fs::read_dir(self.host.join(part)).unwrap().flatten();
            entries.map(move |e| format!("{part}/{}", e.file_name().to_str().unwrap()))
        });
        names.filter(|name| !name.contains("foreign")).collect()
    }

    fn stranger_is_whole(&self) {
        let read = |file: &str| std::fs::read_to_string(self.host.join(file)).unwrap();
        assert_eq!(read("vol/foreign.qcow2"), "a stranger's data");
        assert!(self.host.join("run/foreign").exists() && self.host.join("dom/foreign").exists());
        assert!(self.host.join("poolrun/default").exists());
    }
}
