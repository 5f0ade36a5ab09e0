//! The first control plane of a cluster of containers made anew as a virtual machine on their network: it has a clock of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use ha_wire::devices::EVENTS_PORT;
use ha_wire::event::{Event, EventKind};
use ha_wire::phase::Phase;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::founding::{FOUNDER, with_permission};
use crate::ignition::file_in_config;
use crate::lab::Lab;
use crate::plan::MachineKind;
use crate::process::{RunningProcess, run_to_end};

/// Rendering packs a disk of 250 MiB.
const RENDER: Duration = Duration::from_secs(120);
/// A command of `ip` or `qemu-img`.
const SHORT: Duration = Duration::from_secs(20);
/// An emulated machine's boot, its containerd and a look for the cluster.
const DECISION: Duration = Duration::from_secs(240);

/// The cable of the virtual machine.
const TAP: &str = "founder";
/// The bridge of a cluster of containers, in the namespace `ha-CLUSTER`.
const BRIDGE: &str = "br0";

/// As `ha-host` calls QEMU, but for the cable and the clock.
const ARGUMENTS: &str = "-nodefaults -no-user-config -display none -L {firmware}/qemu -L {firmware}/seabios \
    -machine q35,sata=off,smbus=off,usb=off,vmport=off,hpet=off -accel tcg,thread=multi,tb-size=512 \
    -cpu max,la57=off,erms=off,fsrm=off -smp 2 -m 2048 -rtc base={since} -kernel {kernel} -initrd {initrd} \
    -fw_cfg name=opt/com.coreos/config,file=config.ign \
    -drive if=none,id=root,format=qcow2,file=disk.qcow2 -device virtio-blk-pci,drive=root,serial=root \
    -drive if=none,id=assets,format=raw,readonly=on,file={assets} -device virtio-blk-pci,drive=assets,serial=ha-assets \
    -netdev tap,id=net0,ifname={tap},script=no,downscript=no -device virtio-net-pci,netdev=net0,mac={mac} \
    -device virtio-rng-pci -device virtio-serial-pci -chardev file,id=events,path=events.jsonl \
    -device virtserialport,chardev=events,name={events} -chardev file,id=console,path=console.log -serial chardev:console";

/// How far a machine's clock is from this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Two hours ahead.
    Ahead,
    /// Two hours behind.
    Behind,
    /// As it is.
    Right,
}

impl Clock {
    fn now(self) -> SystemTime {
        const OFF: Duration = Duration::from_secs(2 * 3600);
        let now = SystemTime::now();
        match self {
            Self::Ahead => now + OFF,
            Self::Behind => now - OFF,
            Self::Right => now,
        }
    }
}

/// The machine, off or on; it ends with this value.
#[derive(Debug)]
pub struct VirtualFounder<'a> {
    cluster: &'a Cluster,
    lab: Lab,
    dir: PathBuf,
    /// Its Ignition config without a permission.
    config: String,
    running: Option<RunningProcess>,
}

impl<'a> VirtualFounder<'a> {
    /// Renders its config with the cluster's own keys, and lays its cable. The container in its place is switched off.
    pub fn new(cluster: &'a Cluster) -> Result<Self> {
        let lab = Lab::find(MachineKind::Qemu)?;
        let dir = cluster.dir().join("virtual-founder");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let mut founder = Self {
            cluster,
            lab,
            dir,
            config: String::new(),
            running: None,
        };
        founder.render()?;
        cluster.node(FOUNDER).power("off")?;
        let lay = format!(
            "ip tuntap add {TAP} mode tap && ip link set {TAP} master {BRIDGE} && ip link set {TAP} up"
        );
        let mut command = founder.enter();
        command.args(["sh", "-c", &lay]);
        run_to_end(command, SHORT)?.ok()?;
        Ok(founder)
    }

    /// Once with keys of its own, since a directory with keys alone is refused; then with the cluster's.
    fn render(&mut self) -> Result<()> {
        let file = self.dir.join("cluster.yaml");
        let plan = self.cluster.plan().clone().on(MachineKind::Qemu);
        fs::write(&file, plan.text(&self.lab))?;
        let state = self.dir.join("state");
        let out = self.dir.join("configs");
        let render = || {
            let mut command = self.cluster.operator().ha_host(["render", "--force"]);
            command.arg(&file).arg("--out").arg(&out);
            command.arg("--state-dir").arg(&state);
            run_to_end(command, RENDER)?.ok()
        };
        render()?;
        let own_keys = state.join(self.cluster.name()).join("pki");
        fs::remove_dir_all(&own_keys)?;
        let keys = self.cluster.state_dir().join("pki");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(keys).arg(&own_keys);
        run_to_end(copy, SHORT)?.ok()?;
        render()?;
        self.config = fs::read_to_string(out.join(format!("{FOUNDER}.ign")))?;
        Ok(())
    }

    /// Makes it anew, with an empty disk, a clock like this and a permission that has not ended by this clock.
    pub fn make(&mut self, clock: Clock) -> Result<()> {
        self.switch_off();
        fs::write(
            self.dir.join("config.ign"),
            with_permission(&self.config, clock.now())?,
        )?;
        let image = self.lab.vm().join("disk.qcow2").canonicalize()?;
        let image = image.to_str().context("a path in UTF-8")?;
        let disk = [
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            image,
            "disk.qcow2",
            "12G",
        ];
        let _ = fs::remove_file(self.dir.join("disk.qcow2"));
        run_to_end(self.qemu("qemu-img", &disk), SHORT)?.ok()?;
        self.switch_on(clock)
    }

    /// Boots it from its disk.
    pub fn switch_on(&mut self, clock: Clock) -> Result<()> {
        let _ = fs::remove_file(self.dir.join("events.jsonl"));
        let arguments = self.arguments(clock)?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.running = Some(RunningProcess::start(
            self.qemu("qemu-system-x86_64", &arguments),
        )?);
        Ok(())
    }

    /// As when the plug is pulled.
    pub fn switch_off(&mut self) {
        self.running = None;
    }

    /// A program of the lab's hypervisor in the cluster's network: this machine's own root needs none.
    fn qemu(&self, program: &str, arguments: &[&str]) -> Command {
        let root = self.lab.operator().join("root");
        let mut command = self.enter();
        command.arg(root.join("lib64/ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(root.join("usr/lib/x86_64-linux-gnu"));
        command
            .arg(root.join("usr/bin").join(program))
            .args(arguments);
        command
    }

    fn enter(&self) -> Command {
        let space = format!("--net=/run/netns/ha-{}", self.cluster.name());
        let mut enter = self.cluster.operator().command("nsenter");
        // To enter a mount namespace is to be at its root.
        enter.args([&space, "--", "env", "--chdir"]).arg(&self.dir);
        enter
    }

    fn arguments(&self, clock: Clock) -> Result<Vec<String>> {
        let link = file_in_config(&self.config, "/etc/systemd/network/10-eth0.link")?;
        let mac = link
            .lines()
            .find_map(|line| line.strip_prefix("MACAddress="));
        let since = OffsetDateTime::from(clock.now()).format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second]"
        ))?;
        let state = self.dir.join("state").join(self.cluster.name());
        let path = |path: PathBuf| path.display().to_string();
        let values = [
            ("{mac}", mac.context("its interface's address")?.to_owned()),
            ("{since}", since),
            (
                "{assets}",
                path(state.join("assets/current").canonicalize()?),
            ),
            (
                "{firmware}",
                path(self.lab.operator().join("root/usr/share")),
            ),
            ("{kernel}", path(self.lab.vm().join("vmlinuz"))),
            ("{initrd}", path(self.lab.vm().join("initrd.img"))),
            ("{tap}", TAP.to_owned()),
            ("{events}", EVENTS_PORT.to_owned()),
        ];
        let filled = |word: &str| {
            let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
            values.iter().fold(word.to_owned(), fill)
        };
        let mut all: Vec<String> = ARGUMENTS.split_whitespace().map(filled).collect();
        let append = fs::read_to_string(self.lab.vm().join("append"))?;
        all.extend(["-append".to_owned(), append.trim().to_owned()]);
        Ok(all)
    }

    /// What its agent said since it was switched on.
    pub fn events(&mut self) -> Result<Vec<Event>> {
        if let Some(qemu) = &mut self.running {
            ensure!(!qemu.has_ended()?, "QEMU has ended: {}", qemu.so_far());
        }
        let text = fs::read_to_string(self.dir.join("events.jsonl"))?;
        Ok(text
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect())
    }

    /// Made anew with a clock that is off it founds nothing, and says why it goes no further: before it looks for the cluster if
    /// its own keys begin later by this clock, else at the gate, which a founder has no other way to than a cluster that stands.
    pub fn waits_for_its_clock(&mut self, clock: Clock) -> Result<()> {
        let (at, words) = match clock {
            Clock::Ahead => (
                Phase::Gate,
                "this machine's clock is 120 min ahead of the cluster's",
            ),
            Clock::Behind => (Phase::Preflight, "time: the clock is "),
            Clock::Right => bail!("a clock that is right is not waited for"),
        };
        self.make(clock)?;
        wait_until("it says what is wrong with its clock", DECISION, || {
            let events = self.events()?;
            let says = |event: &Event| match &event.what {
                EventKind::Waiting {
                    phase,
                    what,
                    last_error,
                    ..
                } => *phase == at && format!("{what}: {last_error}").contains(words),
                _ => false,
            };
            ensure!(
                events.iter().any(says),
                "its last word: {:?}",
                events.last()
            );
            Ok(())
        })
    }
}
