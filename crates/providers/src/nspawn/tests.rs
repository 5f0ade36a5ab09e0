//! The provider on this machine, for real: as root, with a node image named by HA_IMAGE (`make lab-images` makes one).
//!
//! Each test starts itself again in mount and network namespaces of its own, so that nothing of it is seen outside.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ha_cluster_file::cluster::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::NEW;
use crate::machine_tests::{self, Evidence};

mod faults;
mod lifecycle;
mod ownership;
mod power_cut;

/// Set in the second life of a test: the file that says that it has run.
const INSIDE: &str = "HA_TEST_INSIDE";

/// Runs `test`, a closure in a test's own function, alone in the world.
fn run_alone<T: Fn(&mut NspawnFixture)>(test: T) {
    let name = machine_tests::test_around::<T>();
    if let Some(has_run) = std::env::var_os(INSIDE) {
        std::fs::write(has_run, "").unwrap();
        let (_, short) = name.rsplit_once("::").unwrap();
        return test(&mut NspawnFixture::new(short));
    }
    let script = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link set lo up && exec \"$@\"";
    let dir = tempfile::tempdir().unwrap();
    let has_run = dir.path().join("has-run");
    let status = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", &name])
        .env(INSIDE, &has_run)
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed inside its namespaces");
    // The test program is content when it finds no test of that name.
    assert!(has_run.exists(), "{name} was not found");
}

/// A cluster of two and its provider; destroyed when dropped.
struct NspawnFixture {
    dir: tempfile::TempDir,
    cluster: Cluster,
    provider: Nspawn,
}

impl NspawnFixture {
    fn new(name: &str) -> Self {
        let image = std::env::var("HA_IMAGE").expect("HA_IMAGE names a node image");
        let text = format!(
            "version: 1\nname: t-{}-{}\nkubernetes: {{version: 1.36.3, cni: none}}\nendpoint: {{vip: 10.79.0.30}}\n\
             network: {{prefix: 24, gateway: 10.79.0.1}}\nnodes:\n\
             - {{name: one, role: control-plane, address: 10.79.0.11}}\n\
             - {{name: two, role: worker, address: 10.79.0.12}}\n\
             provider: {{nspawn: {{image: {image}}}}}\n",
            name.replace('_', "-"),
            std::process::id()
        );
        let (cluster, _) = ha_cluster_file::check::check_cluster_file(&text, Path::new("/"))
            .expect("a valid cluster file");
        let cluster::ProviderOptions::Nspawn(options) = &cluster.provider else {
            panic!("provider nspawn")
        };
        let dir = tempfile::tempdir().unwrap();
        let mut provider = Nspawn::new(&cluster, options, dir.path()).unwrap();
        // The test's own program is not ha-host; that one lies beside its directory.
        provider.keeper = provider.keeper.ancestors().nth(2).unwrap().join("ha-host");
        Self {
            dir,
            cluster,
            provider,
        }
    }

    /// Another ha-host with the same cluster, its state in `dir`.
    fn provider_at(&self, dir: &Path) -> Nspawn {
        let cluster::ProviderOptions::Nspawn(options) = &self.cluster.provider else {
            panic!("provider nspawn")
        };
        let mut provider = Nspawn::new(&self.cluster, options, dir).unwrap();
        provider.keeper.clone_from(&self.provider.keeper);
        provider
    }

    fn node(&self, at: usize) -> &Node {
        &self.cluster.nodes[at]
    }

    /// Ignition that names the node, wires it and lets it say something.
    fn config(&self, at: usize) -> PathBuf {
        let node = self.node(at);
        let file = |path: &str, text: &str| {
            let source = format!("data:;base64,{}", encode_base64(text));
            serde_json::json!({"path": path, "overwrite": true, "mode": 420, "contents": {"source": source}})
        };
        let network = format!(
            "[Match]\nName=eth0\n[Network]\nAddress={}/24\nGateway=10.79.0.1\n",
            node.address
        );
        let unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo {} >> /run/ha-host/events.jsonl'\n\
                    [Install]\nWantedBy=multi-user.target\n";
        let config = serde_json::json!({
            "ignition": {"version": "3.3.0"},
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA key"]}]},
            "storage": {"files": [file("/etc/hostname", &node.name), file("/etc/systemd/network/10-eth0.network", &network)]},
            "systemd": {"units": [{"name": "say.service", "enabled": true, "contents": unit}]},
        });
        let path = self.dir.path().join(format!("{}.ign", node.name));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn ensure(&self, at: usize) -> Made {
        self.provider
            .ensure(self.node(at), &self.config(at))
            .unwrap()
    }

    fn state(&self, at: usize) -> Machine {
        self.provider.state(self.node(at)).unwrap()
    }

    /// What a command on the node prints.
    fn run(&self, at: usize, argv: &[&str]) -> String {
        let output = self
            .provider
            .exec(self.node(at), argv)
            .unwrap()
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{argv:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().into()
    }

    /// Waits until systemd on the node has started everything.
    fn wait(&self, what: &str, done: impl FnMut() -> bool) {
        self.evidence().wait(what, done);
    }

    fn evidence(&self) -> Evidence {
        let files = self.cluster.nodes.iter().flat_map(|node| {
            let dir = self.provider.dir(node);
            [NodeDir::CONSOLE, NodeDir::KEEPER_LOG, NodeDir::IGNITION_LOG]
                .map(|name| dir.join(name))
        });
        Evidence(files.collect())
    }

    fn wait_up(&self, at: usize) {
        self.wait(&format!("{} is up", self.node(at).name), || {
            let command = self
                .provider
                .exec(self.node(at), &["systemctl", "is-system-running"]);
            let output = command.unwrap().output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
            text == "running" || text == "degraded"
        });
    }

    /// What of the cluster is to be seen on the machine.
    fn traces(&self) -> Vec<String> {
        let cluster = &self.cluster.name;
        let shell = format!(
            "ls /run/netns | grep '^ha-{cluster}'; ip -o link | grep -o ' {}[@:]'; grep -o '{cluster}[^ ]*' /proc/self/mountinfo; \
             find /sys/fs/cgroup -depth -name 'ha-{cluster}*'; \
             for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -o '^[^ ]*nspawn.*{cluster}.*\\|.*nspawn-keeper .*{}.*'; done",
            self.provider.layout.host_link(),
            self.dir.path().display(),
        );
        // The shell's own command line names the cluster too, but neither program first.
        let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| !line.contains("ls /run/netns"))
            .map(String::from)
            .collect()
    }
}

impl Drop for NspawnFixture {
    fn drop(&mut self) {
        self.evidence().destroy(&self.provider);
    }
}

fn encode_base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
