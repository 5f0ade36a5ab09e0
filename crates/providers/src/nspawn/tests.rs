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
use crate::machine_tests::Evidence;

/// Set in the second life of a test.
const INSIDE: &str = "HA_TEST_INSIDE";

/// Runs `test` alone in the world.
fn alone(name: &str, test: fn(&mut Fixture)) {
    if std::env::var_os(INSIDE).is_some() {
        return test(&mut Fixture::new(name));
    }
    let script = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link set lo up && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg(format!("nspawn::tests::{name}"))
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed inside its namespaces");
}

/// A cluster of two and its provider; destroyed when dropped.
struct Fixture {
    dir: tempfile::TempDir,
    cluster: Cluster,
    provider: Nspawn,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let image = std::env::var("HA_IMAGE").expect("HA_IMAGE names a node image");
        let text = format!(
            "version: 1\nname: t-{}-{}\nkubernetes: {{version: 1.34.4}}\nendpoint: {{vip: 10.79.0.30}}\n\
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

    fn node(&self, at: usize) -> &Node {
        &self.cluster.nodes[at]
    }

    /// Ignition that names the node, wires it and lets it say something.
    fn config(&self, at: usize) -> PathBuf {
        let node = self.node(at);
        let file = |path: &str, text: &str| {
            let source = format!("data:;base64,{}", base64(text));
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

impl Drop for Fixture {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.evidence().show();
        }
        let destroyed = self.provider.destroy();
        if !std::thread::panicking() {
            destroyed.unwrap();
        }
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn a_life() {
    alone("a_life", |world| {
        assert_eq!(world.traces(), Vec::<String>::new());
        world.provider.prepare().unwrap();
        std::thread::scope(|scope| {
            for at in 0..2 {
                let world = &*world;
                scope.spawn(move || assert_eq!(world.ensure(at), NEW));
            }
        });
        world.wait_up(0);
        world.wait_up(1);
        assert_eq!(world.run(0, &["hostname"]), "one");
        world.run(0, &["ping", "-c", "1", "-W", "2", "10.79.0.12"]);
        world.run(1, &["ping", "-c", "1", "-W", "2", "10.79.0.1"]);
        assert_eq!(world.ensure(0), Made::Running);
        let events =
            || std::fs::read_to_string(world.provider.events(world.node(0))).unwrap_or_default();
        world.wait("the node's word", || events() == "{}\n");
        // nspawn passes the console on when it gets to run.
        let console = || std::fs::read_to_string(world.provider.console(world.node(0))).unwrap();
        world.wait("the end of the boot on the console", || {
            console().contains("multi-user.target")
        });
        switch(world);
        remake(world);
        world.provider.destroy().unwrap();
        assert_eq!(world.traces(), Vec::<String>::new());
        assert!(!world.provider.layout.machines.path().exists());
        world.provider.destroy().unwrap();
    });
}

/// Power-off, power-on, reboot.
fn switch(world: &Fixture) {
    let (provider, node) = (&world.provider, world.node(0));
    let id = world.run(0, &["cat", "/etc/machine-id"]);
    provider.power(node, Power::Off).unwrap();
    assert_eq!(world.state(0), Machine::Off);
    assert!(
        !provider.wiring(node).path().exists(),
        "a dead node's namespace would go on answering"
    );
    assert!(
        !world.traces().iter().any(|trace| trace.contains("/one")),
        "{:?}",
        world.traces()
    );
    assert!(
        provider
            .exec(node, &["true"])
            .unwrap_err()
            .to_string()
            .contains("does not run")
    );
    provider.power(node, Power::Off).unwrap();
    assert_eq!(world.ensure(0), Made::PoweredOn);
    world.wait_up(0);
    assert_eq!(world.run(0, &["cat", "/etc/machine-id"]), id);
    reboot(world, &id);
}

/// An orderly reboot, and a node that switches itself off.
fn reboot(world: &Fixture, id: &str) {
    let (provider, node) = (&world.provider, world.node(0));
    world.run(0, &["touch", "/run/before"]);
    provider.power(node, Power::Reboot).unwrap();
    world.wait_up(0);
    assert_eq!(
        world.run(
            0,
            &[
                "sh",
                "-c",
                "ls /run/before 2>/dev/null; cat /etc/machine-id"
            ]
        ),
        id
    );
    world.run(0, &["ping", "-c", "1", "-W", "2", "10.79.0.12"]);
    world.run(0, &["systemctl", "poweroff"]);
    world.wait("the node is off", || world.state(0) == Machine::Off);
    assert!(!provider.wiring(node).path().exists());
}

/// A node made again is another machine.
fn remake(world: &Fixture) {
    let (provider, node) = (&world.provider, world.node(0));
    provider.power(node, Power::On).unwrap();
    world.wait_up(0);
    let id = world.run(0, &["cat", "/etc/machine-id"]);
    provider.remove(node).unwrap();
    assert_eq!(world.state(0), Machine::Absent);
    assert_eq!(world.ensure(0), NEW);
    world.wait_up(0);
    assert_ne!(world.run(0, &["cat", "/etc/machine-id"]), id);
    assert_eq!(world.state(1), Machine::Running);
}

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn faults() {
    alone("faults", |world| {
        let (provider, node) = (&world.provider, world.node(0));
        let message = provider
            .ensure(node, &world.config(0))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("network") && message.contains("is gone"),
            "{message}"
        );
        assert_eq!(world.state(0), Machine::Absent);
        provider.prepare().unwrap();
        let broken = world.dir.path().join("broken.ign");
        std::fs::write(&broken, r#"{"ignition": {"version": "9.9.9"}}"#).unwrap();
        let message = provider.ensure(node, &broken).unwrap_err().to_string();
        assert!(
            message.starts_with("one: ") && message.contains("Ignition failed in stage"),
            "{message}"
        );
        assert_eq!(world.state(0), Machine::Absent);
        assert!(
            !provider.dir(node).join("ignition.work").exists(),
            "it may hold secrets"
        );
        assert_eq!(world.ensure(0), NEW, "a half-made disk is made anew");
        unwatched(world);
        // Somebody else cleans up half of it.
        Command::new("ip")
            .args(["netns", "del", &provider.layout.bridge_namespace()])
            .status()
            .unwrap();
        provider.destroy().unwrap();
        assert_eq!(world.traces(), Vec::<String>::new());
    });
}

/// Nodes whose keeper or nspawn was killed obey all the same.
fn unwatched(world: &Fixture) {
    let (provider, node) = (&world.provider, world.node(0));
    for victim in [NodeDir::KEEPER_PID, NodeDir::NSPAWN_PID] {
        murder(&provider.dir(node).join(victim));
        provider.power(node, Power::Off).unwrap();
        assert_eq!(world.state(0), Machine::Off);
        assert!(
            !world.traces().iter().any(|trace| trace.contains("one")),
            "{:?}",
            world.traces()
        );
        provider.power(node, Power::On).unwrap();
        world.wait_up(0);
    }
}

fn murder(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let pid = text.split(' ').next().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let ident = crate::process::ProcessIdentity::alive(file);
    assert!(ident.is_none_or(|ident| ident.gone_within(Duration::from_secs(5))));
}

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn what_is_not_ours_stays() {
    alone("what_is_not_ours_stays", |world| {
        let provider = &world.provider;
        let bad = || -> Vec<Finding> {
            provider
                .preflight()
                .unwrap()
                .into_iter()
                .filter(|f| !f.ok && !f.message.contains("inotify"))
                .collect()
        };
        assert_eq!(bad(), []);
        let ip = |line: &str| {
            assert!(
                Command::new("ip")
                    .args(line.split(' '))
                    .status()
                    .unwrap()
                    .success(),
                "ip {line}"
            )
        };
        ip("link add other type veth peer name other2");
        ip("link set other up");
        ip("addr add 10.79.0.77/25 dev other");
        assert!(
            bad()[0]
                .message
                .contains("10.79.0.0/24 overlaps with this machine's"),
            "{:?}",
            bad()
        );
        ip("link del other");
        provider.prepare().unwrap();
        assert_eq!(bad(), [], "its own routes are no overlap");
        same_name(world);
    });
}

/// A second state directory with a cluster of the same name.
fn same_name(world: &Fixture) {
    let provider = &world.provider;
    let elsewhere = tempfile::tempdir().unwrap();
    let cluster::ProviderOptions::Nspawn(options) = &world.cluster.provider else {
        panic!("provider nspawn")
    };
    let other = Nspawn::new(&world.cluster, options, elsewhere.path()).unwrap();
    assert!(
        other
            .prepare()
            .unwrap_err()
            .to_string()
            .contains("did not make it")
    );
    other.destroy().unwrap();
    assert!(
        Path::new(layout::NETNS_DIR)
            .join(provider.layout.bridge_namespace())
            .exists()
    );
}
