//! The provider on a real libvirtd, in the lab's operator machine. Most nodes here boot a single sector that says a word on the
//! serial port: what the provider does with a domain does not depend on what runs in it. One boots the lab's Flatcar stand-in.

use std::path::Path;
use std::time::{Duration, Instant};

use ha_spec::cluster::Cluster;

use super::*;
use crate::provider::vm::guest::{Agent, Way};
use crate::provider::vm::operator;

/// A whole boot under TCG takes half a minute on an idle machine, and was seen to take six at a load of 13 on two processors.
const PATIENCE: Duration = Duration::from_secs(900);

/// Waits until something is so.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A cluster of two and its provider.
struct World {
    dir: tempfile::TempDir,
    cluster: Cluster,
    provider: Libvirt,
}

impl World {
    /// Starts libvirtd unless it runs.
    fn new(image: &str, more: &str) -> Self {
        start_libvirtd();
        let dir = tempfile::tempdir_in(operator::shared()).unwrap();
        let cluster = cluster(image, more);
        let provider = provider(&cluster, dir.path());
        Self {
            dir,
            cluster,
            provider,
        }
    }

    /// With the tiny image.
    fn tiny(more: &str) -> Self {
        Self::new(&format!("{{path: {}}}", tiny().display()), more)
    }

    fn node(&self, at: usize) -> &Node {
        &self.cluster.nodes[at]
    }

    fn ignition(&self) -> PathBuf {
        let path = self.dir.path().join("node.ign");
        std::fs::write(&path, r#"{"ignition":{"version":"3.3.0"}}"#).unwrap();
        path
    }

    fn ensure(&self, at: usize) -> Result<Made> {
        self.provider.ensure(self.node(at), &self.ignition())
    }

    fn console(&self, at: usize) -> String {
        std::fs::read_to_string(self.provider.console(self.node(at))).unwrap_or_default()
    }
}

fn cluster(image: &str, more: &str) -> Cluster {
    let text = format!(
        "version: 1\nname: t\nkubernetes: {{version: 1.34.4}}\nendpoint: {{vip: 10.79.0.30}}\n\
         network: {{prefix: 24, gateway: 10.79.0.1}}\nsysexts: {{}}\nnodes:\n\
         - {{name: one, role: control-plane, address: 10.79.0.11}}\n\
         - {{name: two, role: worker, address: 10.79.0.12}}\n\
         provider: {{libvirt: {{memory: 2GiB, accel: tcg, cpu: max, image: {image}{more}}}}}\n"
    );
    crate::testing::cluster(&text, Path::new("/"))
}

fn provider(cluster: &Cluster, dir: &Path) -> Libvirt {
    let cluster::Provider::Libvirt(options) = &cluster.provider else {
        panic!("provider libvirt")
    };
    Libvirt::new(cluster, options, dir).unwrap()
}

/// Writes "up" to the serial port for ever after: a domain whose console can be seen.
fn tiny() -> PathBuf {
    // mov dx, 0x3f8; mov al, 'u'; out dx, al; mov al, 'p'; out dx, al; mov al, 10; out dx, al; hlt; jmp to hlt
    let mut sector = vec![
        0xba, 0xf8, 0x03, 0xb0, b'u', 0xee, 0xb0, b'p', 0xee, 0xb0, 10, 0xee, 0xf4, 0xeb, 0xfd,
    ];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector.resize(1 << 20, 0);
    let path = operator::shared().join("tiny.img");
    if !path.exists() {
        std::fs::write(&path, sector).unwrap();
    }
    path
}

fn start_libvirtd() {
    let script = "virsh -c qemu:///system list 2>/dev/null && exit; mkdir -p /var/log/libvirt /run/libvirt; virtlogd -d; libvirtd -d; \
                  while ! virsh -c qemu:///system list 2>/dev/null; do sleep 0.1; done";
    let done = Command::new("sh")
        .args(["-c", script])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(done.unwrap().success());
}

fn virsh(line: &str) -> String {
    let output = Command::new("virsh")
        .args(["-q", "-c", "qemu:///system"])
        .args(line.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "virsh {line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn define(what: &str, xml: &str) {
    let path = operator::shared().join("foreign.xml");
    std::fs::write(&path, xml).unwrap();
    virsh(&format!("{what} {}", path.display()));
}

/// Everything that libvirt has.
fn everything() -> String {
    let pools = virsh("pool-list --all --name");
    let volumes: Vec<String> = pools
        .split_whitespace()
        .map(|pool| virsh(&format!("vol-list {pool}")))
        .collect();
    format!(
        "{} {} {pools} {}",
        virsh("list --all --name"),
        virsh("net-list --all --name"),
        volumes.join(" ")
    )
    .trim()
    .into()
}

fn bad(provider: &Libvirt) -> Vec<Finding> {
    provider
        .preflight()
        .unwrap()
        .into_iter()
        .filter(|finding| !finding.ok)
        .collect()
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_life() {
    operator::inside("provider::libvirt::tests::a_life", true, || {
        let world = World::tiny("");
        let (provider, node) = (&world.provider, world.node(0));
        let before = everything();
        assert_eq!(bad(provider), []);
        assert_eq!(everything(), before, "preflight changes nothing");
        provider.prepare().unwrap();
        std::thread::scope(|scope| {
            for at in 0..2 {
                let world = &world;
                scope.spawn(move || assert_eq!(world.ensure(at).unwrap(), Made::New));
            }
        });
        wait("both consoles", || {
            (0..2).all(|at| world.console(at).contains("up"))
        });
        assert_eq!(world.ensure(0).unwrap(), Made::Running);
        switch(&world);
        // Another process finds the same machines.
        let again = super::tests::provider(&world.cluster, world.dir.path());
        assert_eq!(again.state(node).unwrap(), Machine::Running);
        again.prepare().unwrap();
        provider.remove(node).unwrap();
        provider.remove(node).unwrap();
        assert_eq!(
            (
                provider.state(node).unwrap(),
                provider.state(world.node(1)).unwrap()
            ),
            (Machine::Absent, Machine::Running)
        );
        assert_eq!(world.ensure(0).unwrap(), Made::New);
        provider.destroy().unwrap();
        assert_eq!(everything(), before);
        assert!(!provider.machines.exists());
        provider.destroy().unwrap();
    });
}

/// Off and on: the disk stays, the console goes on.
fn switch(world: &World) {
    let (provider, node) = (&world.provider, world.node(0));
    let disk = provider.hosts["qemu:///system"].pool.volumes().unwrap();
    provider.power(node, Power::Off).unwrap();
    provider.power(node, Power::Off).unwrap();
    assert_eq!(provider.state(node).unwrap(), Machine::Off);
    assert!(
        provider
            .exec(node, &["true"])
            .unwrap_err()
            .to_string()
            .contains("does not run")
    );
    assert_eq!(world.ensure(0).unwrap(), Made::PoweredOn);
    provider.power(node, Power::On).unwrap();
    wait("a second word on the console", || {
        world.console(0).matches("up").count() >= 2
    });
    assert_eq!(
        provider.hosts["qemu:///system"].pool.volumes().unwrap(),
        disk
    );
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn what_is_not_ours_stays() {
    operator::inside(
        "provider::libvirt::tests::what_is_not_ours_stays",
        true,
        || {
            let world = World::tiny("");
            let provider = &world.provider;
            define(
                "net-define",
                "<network><name>ha-t</name><ip address='10.9.9.1' netmask='255.255.255.0'/></network>",
            );
            define(
                "define",
                "<domain type='qemu'><name>t-one</name><memory>1024</memory><os><type>hvm</type></os></domain>",
            );
            let before = everything();
            let seen: Vec<String> = bad(provider)
                .into_iter()
                .map(|finding| finding.seen)
                .collect();
            assert_eq!(seen.len(), 2, "{seen:?}");
            assert!(
                seen[0].contains("domain t-one that this cluster did not make"),
                "{seen:?}"
            );
            assert!(
                seen[1].contains("network ha-t that this cluster did not make"),
                "{seen:?}"
            );
            assert!(
                provider
                    .prepare()
                    .unwrap_err()
                    .to_string()
                    .contains("network ha-t")
            );
            assert!(
                world
                    .ensure(0)
                    .unwrap_err()
                    .to_string()
                    .contains("domain t-one")
            );
            assert_eq!(provider.state(world.node(0)).unwrap(), Machine::Absent);
            assert!(provider.power(world.node(0), Power::Off).is_err());
            provider.remove(world.node(0)).unwrap();
            provider.destroy().unwrap();
            assert_eq!(everything(), before);
            virsh("undefine t-one");
            virsh("net-undefine ha-t");
            two_of_a_name(&world);
        },
    );
}

/// A second state directory with a cluster of the same name shares the image, and nothing else.
fn two_of_a_name(world: &World) {
    let elsewhere = tempfile::tempdir_in(operator::shared()).unwrap();
    let second = provider(&world.cluster, elsewhere.path());
    world.provider.prepare().unwrap();
    world.ensure(0).unwrap();
    assert!(
        second
            .prepare()
            .unwrap_err()
            .to_string()
            .contains("another state directory")
    );
    second.destroy().unwrap();
    assert_eq!(
        world.provider.state(world.node(0)).unwrap(),
        Machine::Running
    );
    let other = cluster(
        &format!("{{path: {}}}", tiny().display()),
        ", network: default",
    );
    let other = Cluster {
        name: "u".into(),
        ..other
    };
    let third = tempfile::tempdir_in(operator::shared()).unwrap();
    let third = provider(&other, third.path());
    let host = &third.hosts["qemu:///system"];
    third.remember().unwrap();
    third.share(host).unwrap();
    let images = || virsh("vol-list default").matches("ha-host.image.").count() / 2;
    assert_eq!(images(), 1, "uploaded once for both");
    third.destroy().unwrap();
    assert_eq!(images(), 1, "in use");
    world.provider.destroy().unwrap();
    assert_eq!(everything(), "default");
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn networks_that_are_there() {
    operator::inside(
        "provider::libvirt::tests::networks_that_are_there",
        true,
        || {
            let world = World::tiny(", network: lan");
            let provider = &world.provider;
            let one = || {
                let mut bad = bad(provider);
                assert!(!bad.is_empty());
                bad.remove(0)
            };
            assert!(one().seen.contains("has no network lan"), "{:?}", one());
            let net = |range: &str| {
                define(
                    "net-define",
                    &format!(
                        "<network><name>lan</name><bridge name='lan0'/>\
                <ip address='10.79.0.1' prefix='24'><dhcp><range start='10.79.0.{range}' end='10.79.0.99'/></dhcp></ip></network>"
                    ),
                );
            };
            net("12");
            assert!(
                one().seen.contains("is not started") && one().cure.contains("net-start lan"),
                "{:?}",
                one()
            );
            virsh("net-start lan");
            let seen: Vec<String> = bad(provider)
                .into_iter()
                .map(|finding| finding.seen)
                .collect();
            assert_eq!(seen.len(), 2, "{seen:?}");
            assert!(
                seen[0].contains("two 10.79.0.12 lies in the DHCP range 10.79.0.12 to 10.79.0.99"),
                "{seen:?}"
            );
            assert!(seen[1].contains("the VIP 10.79.0.30"), "{seen:?}");
            assert!(provider.prepare().is_err());
            virsh("net-destroy lan");
            virsh("net-undefine lan");
            net("90");
            virsh("net-start lan");
            assert_eq!(bad(provider), []);
            provider.prepare().unwrap();
            assert_eq!(world.ensure(0).unwrap(), Made::New);
            provider.destroy().unwrap();
            assert!(
                everything().contains("lan"),
                "somebody else's network stays"
            );
        },
    );
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_bridge_that_is_missing() {
    operator::inside(
        "provider::libvirt::tests::a_bridge_that_is_missing",
        true,
        || {
            let world = World::tiny(", network: {bridge: nobr0}");
            world.provider.prepare().unwrap();
            let message = format!("{:#}", world.ensure(0).unwrap_err());
            assert!(
                message.contains("virsh start t-one") && message.contains("nobr0"),
                "{message}"
            );
            assert_eq!(
                world.provider.state(world.node(0)).unwrap(),
                Machine::Absent
            );
            assert!(
                !virsh("vol-list default").contains("t.one."),
                "nothing of a node that never ran"
            );
            let added = Command::new("ip")
                .args(["link", "add", "nobr0", "type", "bridge"])
                .status();
            assert!(added.unwrap().success());
            assert_eq!(world.ensure(0).unwrap(), Made::New);
            world.provider.destroy().unwrap();
        },
    );
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_launch_that_was_cut_off_goes_on() {
    operator::inside(
        "provider::libvirt::tests::a_launch_that_was_cut_off_goes_on",
        true,
        || {
            let world = World::tiny("");
            let (provider, node) = (&world.provider, world.node(0));
            provider.prepare().unwrap();
            let host = &provider.hosts["qemu:///system"];
            // An upload of the image and one of a node that ended too early.
            let image = host
                .pool
                .volumes()
                .unwrap()
                .into_iter()
                .find(|(name, _)| Names::is_shared(name))
                .unwrap();
            std::fs::File::options()
                .write(true)
                .open(&image.1)
                .unwrap()
                .set_len(1000)
                .unwrap();
            virsh("pool-refresh default");
            define(
                "vol-create default",
                &format!(
                    "<volume><name>{}</name><capacity>7</capacity></volume>",
                    host.names.volume("one", names::Part::Disk)
                ),
            );
            let second = super::tests::provider(&world.cluster, world.dir.path());
            assert_eq!(second.state(node).unwrap(), Machine::Absent);
            second.prepare().unwrap();
            assert_eq!(second.ensure(node, &world.ignition()).unwrap(), Made::New);
            wait("the console", || world.console(0).contains("up"));
            // The host's network and pool are asleep, as after a reboot of the host.
            second.power(node, Power::Off).unwrap();
            virsh("net-destroy ha-t");
            virsh("pool-destroy default");
            assert_eq!(
                second.ensure(node, &world.ignition()).unwrap(),
                Made::PoweredOn
            );
            // A domain that somebody removed: its disk is nobody's, the node is made anew.
            virsh("destroy t-one");
            virsh("undefine t-one");
            assert_eq!(second.ensure(node, &world.ignition()).unwrap(), Made::New);
            second.destroy().unwrap();
            assert_eq!(everything(), "default");
        },
    );
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_full_pool_is_one_message() {
    operator::inside(
        "provider::libvirt::tests::a_full_pool_is_one_message",
        true,
        || {
            let world = World::tiny(", pool: small");
            let small = operator::shared().join("small");
            std::fs::create_dir(&small).unwrap();
            let mount = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
                .arg(&small)
                .status();
            assert!(mount.unwrap().success());
            virsh(&format!(
                "pool-define-as small dir --target {}",
                small.display()
            ));
            let message = format!("{:#}", world.provider.prepare().unwrap_err());
            assert!(
                message.contains("pool small at qemu:///system has 0 MiB free")
                    && message.contains("make room"),
                "{message}"
            );
            let finding = bad(&world.provider).remove(0);
            assert!(
                finding
                    .seen
                    .starts_with("pool small at qemu:///system has 0 MiB free"),
                "{finding:?}"
            );
            world.provider.destroy().unwrap();
            assert!(
                virsh("pool-list --all").contains("small"),
                "it was there before"
            );
        },
    );
}

#[test]
#[ignore = "needs root and HA_OPERATOR; some minutes"]
fn the_stand_in_boots_and_speaks() {
    operator::inside(
        "provider::libvirt::tests::the_stand_in_boots_and_speaks",
        true,
        || {
            let vm = std::env::var("HA_VM").unwrap();
            let append = std::fs::read_to_string(format!("{vm}/append")).unwrap();
            let image = format!(
                "{{path: {vm}/disk.qcow2, kernel: {vm}/vmlinuz, initrd: {vm}/initrd.img, append: \"{}\"}}",
                append.trim()
            );
            let mut world = World::new(&image, "");
            // As if the host were remote: what the node says is brought home.
            world.provider.apart = true;
            let (provider, node) = (&world.provider, world.node(0));
            let unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'until [ -c $P ]; do sleep 0.2; done; echo {} > $P'\nEnvironment=P=/dev/virtio-ports/org.flatcar-ha.events\n\
                    [Install]\nWantedBy=multi-user.target\n";
            let config = serde_json::json!({
                "ignition": {"version": "3.3.0"},
                "storage": {"files": [{"path": "/etc/hostname", "mode": 420, "contents": {"source": "data:,one"}}]},
                "systemd": {"units": [{"name": "say.service", "enabled": true, "contents": unit}]},
            });
            let ignition = world.dir.path().join("one.ign");
            std::fs::write(&ignition, config.to_string()).unwrap();
            provider.prepare().unwrap();
            provider.ensure(node, &ignition).unwrap();
            wait("the node's word", || {
                std::fs::read_to_string(provider.events(node)).is_ok_and(|text| text.trim() == "{}")
            });
            let way = Way::Libvirt {
                uri: "qemu:///system".into(),
                domain: "t-one".into(),
            };
            let agent = Agent::new("one", way.open());
            wait("the guest agent", || agent.ping().is_ok());
            crate::provider::vm::guest::tests::prove(&agent);
            let mut before = Vec::new();
            let argv = ["sh", "-c", "hostname; echo seen > /dev/ttyS0"];
            agent
                .exec(&argv, &mut before, &mut Vec::new(), &false.into())
                .unwrap();
            assert_eq!(before, b"one\n");
            wait("the console", || world.console(0).contains("seen"));
            provider.power(node, Power::Reboot).unwrap();
            provider.destroy().unwrap();
            assert_eq!(everything(), "default");
        },
    );
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn words_come_home_from_a_daemon_that_cannot_write_here() {
    operator::inside(
        "provider::libvirt::tests::words_come_home_from_a_daemon_that_cannot_write_here",
        true,
        || {
            let world = World::tiny("");
            // From here on this test sees a state directory that the daemon does not: as good as forbidden.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = Command::new("mount")
                .args(["--make-rprivate", "/"])
                .status();
            assert!(private.unwrap().success());
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "tmpfs"])
                .arg(world.dir.path())
                .status();
            assert!(mounted.unwrap().success());
            world.provider.prepare().unwrap();
            assert_eq!(world.ensure(0).unwrap(), Made::New);
            wait("the console", || world.console(0).contains("up"));
            let events = world.provider.names.volume("one", names::Part::Events);
            assert!(virsh("vol-list default").contains(&events));
            world.provider.destroy().unwrap();
            assert_eq!(everything(), "default");
        },
    );
}
