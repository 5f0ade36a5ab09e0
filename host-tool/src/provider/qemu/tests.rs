//! The provider for real, in the lab's operator machine and as its ordinary user: a gateway without nodes, and a node's life.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::*;
use crate::provider::process::Ident;
use crate::provider::vm::{guest, operator};
use crate::testing;

/// A cluster of one in a directory of its own; destroyed when dropped.
struct World {
    text: String,
    dir: PathBuf,
    provider: Qemu,
}

impl World {
    /// The image is the stand-in's.
    fn new(dir: &str) -> Self {
        let vm = PathBuf::from(std::env::var_os("HA_VM").expect("in the operator machine"));
        let append = std::fs::read_to_string(vm.join("append")).unwrap();
        let text = format!(
            "version: 1\nname: t\nkubernetes: {{version: 1.34.4, cni: none}}\nendpoint: {{vip: 10.77.0.30}}\n\
             network: {{prefix: 24, gateway: 10.77.0.1, dns: [10.77.0.3]}}\nnodes:\n\
             - {{name: one, role: control-plane, address: 10.77.0.11}}\n\
             provider: {{qemu: {{memory: 2GiB, cpus: 2, disk: 12GiB, image: {{path: {vm}/disk.qcow2, kernel: {vm}/vmlinuz, \
             initrd: {vm}/initrd.img, append: \"{append}\"}}}}}}\n",
            vm = vm.display(),
            append = append.trim()
        );
        // Longer than a socket's name may be.
        let dir = operator::shared().join(dir).join("d".repeat(100));
        files::make_dir(&dir).unwrap();
        let provider = provider(&text, &dir);
        Self {
            text,
            dir,
            provider,
        }
    }

    /// Another ha-host with the same cluster.
    fn again(&self) -> Qemu {
        provider(&self.text, &self.dir)
    }

    fn node(&self) -> &Node {
        &self.provider.cluster.nodes[0]
    }

    fn state(&self) -> Machine {
        self.again().state(self.node()).unwrap()
    }

    fn gateway(&self) -> Option<Ident> {
        spawn::running(&self.provider.layout.gateway())
    }

    fn monitor(&self, line: &str) -> String {
        let path = self.provider.layout.gateway().join(layout::QMP);
        qmp::Qmp::open(&path, qmp::PATIENCE)
            .unwrap()
            .human(line)
            .unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let destroyed = self.provider.destroy();
        if !std::thread::panicking() {
            destroyed.unwrap();
        }
    }
}

fn provider(text: &str, dir: &Path) -> Qemu {
    let cluster = testing::cluster(text, Path::new("/"));
    let cluster::Provider::Qemu(options) = cluster.provider.clone() else {
        panic!("provider qemu")
    };
    let mut qemu = Qemu::new(&cluster, &options, dir).unwrap();
    // This program is the tests; the real one lies beside them.
    let tests = &qemu.gateway.program;
    qemu.gateway.program = tests.ancestors().nth(2).unwrap().join("ha-host");
    qemu
}

fn murder(process: &Ident) {
    kill(Pid::from_raw(process.pid()), Signal::SIGKILL).unwrap();
    assert!(process.gone_within(Duration::from_secs(10)));
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(300);
    while !done() {
        assert!(Instant::now() < end, "not within five minutes: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs HA_OPERATOR"]
fn a_gateway_comes_back() {
    operator::inside("provider::qemu::tests::a_gateway_comes_back", false, || {
        let world = World::new("gateway");
        let vip: SocketAddr = "10.77.0.30:6444".parse().unwrap();
        assert_eq!(world.provider.reach(vip), vip, "nothing is forwarded yet");
        let bad: Vec<Finding> = world
            .provider
            .preflight()
            .unwrap()
            .into_iter()
            .filter(|f| !f.ok)
            .collect();
        assert_eq!(bad, []);
        // Somebody has the port that people would expect.
        let other = TcpListener::bind("127.0.0.1:6444").unwrap();
        world.provider.prepare().unwrap();
        let there = world.provider.reach(vip);
        assert_eq!(there.to_string(), "127.0.0.1:16444");
        assert_eq!(world.again().reach(vip), there, "another ha-host knows it");
        TcpStream::connect(there).unwrap();
        drop(other);
        let first = world.gateway().unwrap();
        world.again().prepare().unwrap();
        assert_eq!(
            world.gateway(),
            Some(first.clone()),
            "a second launch uses it"
        );
        joins(&world);
        murder(&first);
        world.again().prepare().unwrap();
        assert_eq!(world.again().reach(vip), there, "kubeconfigs stay right");
        promised(&world, there);
        world.provider.destroy().unwrap();
        assert!(world.gateway().is_none() && !world.provider.layout.machines().exists());
        world.provider.destroy().unwrap();
    });
}

/// A second launch with one more node plugs it into the gateway that runs.
fn joins(world: &World) {
    let more = "- {name: two, role: worker, address: 10.77.0.12, interfaces: [{mac: \"52:54:00:00:00:02\"}]}\n";
    let text = world.text.replace("provider:", &format!("{more}provider:"));
    let before = world.gateway();
    for _ in 0..2 {
        provider(&text, &world.dir).prepare().unwrap();
    }
    assert_eq!(world.gateway(), before);
    let network = world.monitor("info network");
    for plug in ["cable-one.0", "port-two.0", "cable-two.1"] {
        assert!(network.contains(plug), "{network}");
    }
}

/// Somebody takes the port that a kubeconfig names while the gateway is gone.
fn promised(world: &World, there: SocketAddr) {
    world.provider.gateway.stop().unwrap();
    let other = TcpListener::bind(there).unwrap();
    let error = format!("{:#}", world.again().prepare().unwrap_err());
    assert!(
        error.contains("port 16444") && error.contains("taken by another program"),
        "{error}"
    );
    let finding = world
        .again()
        .preflight()
        .unwrap()
        .into_iter()
        .find(|f| !f.ok)
        .unwrap();
    assert!(
        finding.seen.contains("port 16444") && finding.cure.contains("ss -ltnp"),
        "{finding:?}"
    );
    drop(other);
    world.again().prepare().unwrap();
}

/// Ignition that names the node, wires it, and answers on port 6443 to whoever asks.
fn config(world: &World) -> PathBuf {
    let file = |path: &str, text: &str| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        json!({"path": path, "overwrite": true, "mode": 420, "contents": {"source": format!("data:;base64,{text}")}})
    };
    let network = "[Match]\nName=eth0\n[Network]\nAddress=10.77.0.11/24\nGateway=10.77.0.1\n";
    let say = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo {} > /dev/virtio-ports/org.flatcar-ha.events'\n\
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
    let path = world.dir.join("one.ign");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// What the node says by a forwarded port.
fn heard(at: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let mut text = String::new();
    stream.write_all(b"\n").ok()?;
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

#[test]
#[ignore = "needs HA_OPERATOR"]
fn a_life() {
    operator::inside("provider::qemu::tests::a_life", false, || {
        let world = World::new("life");
        let (provider, node) = (&world.provider, world.node());
        assert_eq!(world.state(), Machine::Absent);
        provider.remove(node).unwrap();
        broken(&world);
        let ignition = config(&world);
        provider.prepare().unwrap();
        let begun = Instant::now();
        assert_eq!(provider.ensure(node, &ignition).unwrap(), Made::New);
        assert_eq!(
            world.again().ensure(node, &ignition).unwrap(),
            Made::Running
        );
        let events = || std::fs::read_to_string(provider.events(node)).unwrap();
        wait("the node's word", || events() == "{}\n");
        println!(
            "launch to the first event: {:.1} s",
            begun.elapsed().as_secs_f32()
        );
        let dir = provider.dir(node);
        let mode = |name: &str| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::metadata(dir.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(NodeDir::CONFIG), 0o600, "it holds keys");
        let agent = machine::agent(&dir, "one");
        wait("the guest agent", || agent.ping().is_ok());
        guest::tests::prove(&agent);
        let inside: SocketAddr = "10.77.0.11:6443".parse().unwrap();
        let there = provider.reach(inside);
        wait("an answer by the forwarded port", || {
            heard(there).as_deref() == Some("one")
        });
        // Without a gateway nothing is heard; with a new one the node's cable is in again.
        murder(&world.gateway().unwrap());
        world.again().prepare().unwrap();
        wait("an answer by a new gateway", || {
            heard(there).as_deref() == Some("one")
        });
        again(&world, &agent);
        assert_eq!(heard(there).as_deref(), None, "it is off");
    });
}

/// A half-made node is made anew, a bad config is one message.
fn broken(world: &World) {
    let (provider, node) = (&world.provider, world.node());
    let half = provider.layout.new_node("one");
    files::make_dir(&half.0).unwrap();
    std::fs::write(half.join(NodeDir::DISK), "half").unwrap();
    let large = world.dir.join("large.ign");
    std::fs::write(&large, vec![b' '; 300 << 10]).unwrap();
    let error = format!("{:#}", provider.ensure(node, &large).unwrap_err());
    assert!(
        error.starts_with("cannot make one: ") && error.contains("300 KiB"),
        "{error}"
    );
    assert_eq!(world.state(), Machine::Absent);
}

/// Reboot, a killed hypervisor, power-off from inside: always the same disk.
fn again(world: &World, agent: &guest::Agent) {
    let (provider, node) = (&world.provider, world.node());
    let dir = provider.dir(node);
    let run = |line: &str| {
        let mut out = Vec::new();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let code = agent.exec(&["sh", "-c", line], &mut out, &mut Vec::new(), &stop);
        (code.unwrap(), String::from_utf8(out).unwrap())
    };
    let id = run("cat /etc/machine-id; sync");
    run("touch /run/before");
    let process = spawn::running(&dir.0);
    provider.power(node, Power::Reboot).unwrap();
    wait("the node after its reboot", || {
        agent.ping().is_ok() && run("ls /run/before").0 != 0
    });
    assert_eq!(run("cat /etc/machine-id"), id);
    assert_eq!(spawn::running(&dir.0), process, "QEMU has lived through it");
    murder(&process.unwrap());
    assert_eq!(world.state(), Machine::Off);
    wait("the epitaph", || {
        let console = std::fs::read_to_string(provider.console(node)).unwrap();
        console.contains("QEMU has ended (signal: 9")
    });
    assert!(
        provider
            .exec(node, &["true"])
            .unwrap_err()
            .to_string()
            .contains("does not run")
    );
    let ignition = world.dir.join("one.ign");
    assert_eq!(
        world.again().ensure(node, &ignition).unwrap(),
        Made::PoweredOn
    );
    wait("the node after its death", || agent.ping().is_ok());
    assert_eq!(run("cat /etc/machine-id"), id);
    agent.start(&["systemctl", "poweroff"]).unwrap();
    wait("the node is off", || world.state() == Machine::Off);
    world.again().power(node, Power::On).unwrap();
    provider.power(node, Power::Off).unwrap();
    provider.power(node, Power::Off).unwrap();
    assert_eq!(world.state(), Machine::Off);
}

/// A node's end of its cable, played by the test: no operating system, only frames.
struct Plug {
    stream: UnixStream,
    mac: [u8; 6],
}

impl Plug {
    fn new(world: &World, name: &str, mac: u8) -> Self {
        let dir = world.provider.layout.node(name).0;
        files::make_dir(&dir).unwrap();
        // Socket names are limited, this directory's is longer.
        let short = operator::shared().join(name);
        let listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, dir.join(NodeDir::cable(0))).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mac = [0x52, 0x54, 0, 0, 0, mac];
        Self { stream, mac }
    }

    fn say(&mut self, frame: &[u8]) {
        self.stream
            .write_all(&(frame.len() as u32).to_be_bytes())
            .unwrap();
        self.stream.write_all(frame).unwrap();
    }

    fn hear(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        frame
    }

    /// Says who has the VIP: as an answer, or unasked as keepalived does.
    fn arp(&mut self, operation: u8, to: &[u8], asker: [u8; 4]) {
        let mut frame = [
            to,
            &self.mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation],
            &self.mac,
            &VIP,
        ]
        .concat();
        frame.extend([to, &asker].concat());
        frame.resize(60, 0);
        self.say(&frame);
    }

    /// Asks for the gateway and waits for its answer: then it has dealt with everything that was said before.
    fn settle(&mut self) {
        let me = [10, 77, 0, 200];
        let mut frame = [
            &[0xff; 6][..],
            &self.mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &self.mac,
            &me,
        ]
        .concat();
        frame.extend([0, 0, 0, 0, 0, 0, 10, 77, 0, 1]);
        frame.resize(60, 0);
        self.say(&frame);
        let answer =
            |frame: &[u8]| frame[12..14] == [8, 6] && frame[21] == 2 && frame[38..42] == me;
        while !answer(&self.hear()) {}
    }

    /// The Ethernet address that the next TCP packet is for; questions for the VIP are answered on the way, if `mine`.
    fn next_tcp(&mut self, mine: bool) -> Vec<u8> {
        loop {
            let frame = self.hear();
            match &frame[12..14] {
                [8, 0] if frame[23] == 6 => return frame[..6].to_vec(),
                [8, 6] if mine && frame[21] == 1 && frame[38..42] == VIP => {
                    let asker = [frame[28], frame[29], frame[30], frame[31]];
                    self.arp(2, &frame[22..28], asker);
                }
                _ => {}
            }
        }
    }
}

const VIP: [u8; 4] = [10, 77, 0, 30];

#[test]
#[ignore = "needs HA_OPERATOR"]
fn a_vip_moves() {
    operator::inside("provider::qemu::tests::a_vip_moves", false, || {
        let mut world = World::new("vip");
        let more = "- {name: two, role: worker, address: 10.77.0.12}\n";
        world.text = world.text.replace("provider:", &format!("{more}provider:"));
        world.provider = world.again();
        world.provider.prepare().unwrap();
        let there = world.provider.reach("10.77.0.30:6444".parse().unwrap());
        let (mut one, mut two) = (Plug::new(&world, "one", 1), Plug::new(&world, "two", 2));
        // The gateway takes the connection by itself and then asks for the VIP.
        let _first = TcpStream::connect(there).unwrap();
        assert_eq!(one.next_tcp(true), one.mac, "the holder is found by asking");
        assert_eq!(
            two.next_tcp(false),
            one.mac,
            "a hub: everybody hears everything"
        );
        two.arp(1, &[0xff; 6], VIP);
        two.settle();
        let _next = TcpStream::connect(there).unwrap();
        assert_eq!(two.next_tcp(false), two.mac, "the old holder is forgotten");
        cut(&world, &mut one, &mut two);
    });
}

/// A cable is pulled and plugged in again: what tests of partitions do.
fn cut(world: &World, one: &mut Plug, two: &mut Plug) {
    let frame = |number: u8| {
        [
            &[0xff; 6][..],
            &[0x52, 0x54, 0, 0, 0, 2],
            &[0x88, 0xb5, number],
            &[0; 45],
        ]
        .concat()
    };
    let marked = |frame: &[u8]| (frame[12..14] == [0x88, 0xb5]).then(|| frame[14]);
    world.monitor("set_link cable-one.0 off");
    two.say(&frame(1));
    two.settle();
    world.monitor("set_link cable-one.0 on");
    two.say(&frame(2));
    let first = std::iter::repeat_with(|| one.hear()).find_map(|frame| marked(&frame));
    assert_eq!(first, Some(2), "what was said meanwhile is lost, not late");
}
