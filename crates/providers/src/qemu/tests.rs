//! The provider for real, in the lab's operator machine and as its ordinary user: a gateway without nodes, and a node's life.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use ha_test_support as testing;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::*;
use crate::NEW;
use crate::machine_tests::{self, Evidence};
use crate::process::ProcessIdentity;
use crate::vm::{guest, operator_machine};

mod gateway;
mod lifecycle;
mod segment;

/// A cluster of one in a directory of its own; destroyed when dropped.
struct QemuFixture {
    text: String,
    dir: PathBuf,
    provider: Qemu,
}

impl QemuFixture {
    /// The image is the stand-in's.
    fn new(dir: &str) -> Self {
        let vm = PathBuf::from(std::env::var_os("HA_VM").expect("in the operator machine"));
        let append = std::fs::read_to_string(vm.join("append")).unwrap();
        let text = format!(
            "version: 1\nname: t\nkubernetes: {{version: 1.36.3, cni: none}}\nendpoint: {{vip: 10.77.0.30}}\n\
             network: {{prefix: 24, gateway: 10.77.0.1, dns: [10.77.0.3]}}\nnodes:\n\
             - {{name: one, role: control-plane, address: 10.77.0.11}}\n\
             provider: {{qemu: {{memory: 2GiB, cpus: 2, disk: 12GiB, image: {{path: {vm}/disk.qcow2, kernel: {vm}/vmlinuz, \
             initrd: {vm}/initrd.img, append: \"{append}\"}}}}}}\n",
            vm = vm.display(),
            append = append.trim()
        );
        // Longer than a socket's name may be.
        let dir = operator_machine::shared_dir()
            .join(dir)
            .join("d".repeat(100));
        files::make_dir(&dir).unwrap();
        let provider = qemu_provider(&text, &dir);
        Self {
            text,
            dir,
            provider,
        }
    }

    /// Another ha-host with the same cluster.
    fn second_provider(&self) -> Qemu {
        qemu_provider(&self.text, &self.dir)
    }

    fn node(&self) -> &Node {
        &self.provider.cluster.nodes[0]
    }

    fn state(&self) -> Machine {
        self.second_provider().state(self.node()).unwrap()
    }

    fn gateway(&self) -> Option<ProcessIdentity> {
        spawn::running_process(&self.provider.layout.gateway())
    }

    fn wait(&self, what: &str, done: impl FnMut() -> bool) {
        self.evidence().wait(what, done);
    }

    fn evidence(&self) -> Evidence {
        let (node, gateway) = (
            self.provider.dir(self.node()),
            self.provider.layout.gateway(),
        );
        let files = [NodeDir::CONSOLE, NodeDir::EVENTS, layout::LOG];
        let files = files.map(|name| node.join(name)).into_iter();
        Evidence(files.chain([gateway.join(layout::LOG)]).collect())
    }

    fn monitor(&self, line: &str) -> String {
        let path = self.provider.layout.gateway().join(layout::QMP);
        qmp::Qmp::open(&path, qmp::PATIENCE)
            .unwrap()
            .human(line)
            .unwrap()
    }
}

impl Drop for QemuFixture {
    fn drop(&mut self) {
        self.evidence().destroy(&self.provider);
    }
}

fn qemu_provider(text: &str, dir: &Path) -> Qemu {
    let cluster = testing::parse_cluster(text, Path::new("/"));
    let cluster::ProviderOptions::Qemu(options) = cluster.provider.clone() else {
        panic!("provider qemu")
    };
    let mut qemu = Qemu::new(&cluster, &options, dir).unwrap();
    // This program is the tests; the real one lies beside them.
    let tests = &qemu.gateway.program;
    qemu.gateway.program = tests.ancestors().nth(2).unwrap().join("ha-host");
    qemu
}

fn send_kill(process: &ProcessIdentity) {
    kill(Pid::from_raw(process.pid()), Signal::SIGKILL).unwrap();
}

fn kill_and_wait(process: &ProcessIdentity) {
    send_kill(process);
    assert!(process.gone_within(Duration::from_secs(10)));
}

/// Ignition that names the node, wires it, and answers on port 6443 to whoever asks.
fn write_config(fixture: &QemuFixture) -> PathBuf {
    let file = |path: &str, text: &str| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        json!({"path": path, "overwrite": true, "mode": 420, "contents": {"source": format!("data:;base64,{text}")}})
    };
    let network = "[Match]\nName=eth0\n[Network]\nAddress=10.77.0.11/24\nGateway=10.77.0.1\n";
    let say = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'until [ -c $P ]; do sleep 0.2; done; echo {} > $P'\n\
               Environment=P=/dev/virtio-ports/org.flatcar-ha.events\n\
               [Install]\nWantedBy=multi-user.target\n";
    let answer = "[Service]\nExecStart=/usr/bin/cat /etc/hostname\nStandardInput=socket\nStandardOutput=socket\n";
    let listen = "[Socket]\nListenStream=6443\nAccept=yes\n[Install]\nWantedBy=sockets.target\n";
    // Not even `enabled: false`: that asks for a systemctl in the initramfs.
    let plain = |name: &str, text: &str| json!({"name": name, "contents": text});
    let wanted = |name: &str, text: &str| json!({"name": name, "enabled": true, "contents": text});
    let config = json!({
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [file("/etc/hostname", "one"), file("/etc/systemd/network/10-eth0.network", network)]},
        "systemd": {"units": [wanted("say.service", say), wanted("answer.socket", listen), plain("answer@.service", answer)]},
    });
    let path = fixture.dir.join("one.ign");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// What the node says by a forwarded port.
fn ask_port(at: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let mut text = String::new();
    stream.write_all(b"\n").ok()?;
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}
