//! QEMU's command lines. Pure: files of the machine's own are named without a path, QEMU runs in its directory.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ha_cluster_file::cluster::{Arch, Kernel, Mac, Network, Vm};
use ha_wire::devices::{ASSETS_SERIAL, EVENTS_PORT};

use super::filter;
use super::layout::{NodeDir, QMP};
use super::ports::Ports;
use super::programs::{Emulator, Version};
use crate::vm::{self, GUEST_PORT, ROOT_SERIAL, fw_cfg};

#[derive(Debug)]
pub struct MachineArguments<'a> {
    /// `CLUSTER.NODE`, to be seen in lists of processes.
    pub name: &'a str,
    /// What it is like.
    pub vm: &'a Vm,
    /// Whether QEMU may be confined.
    pub sandbox: bool,
    /// Whether the processor runs it.
    pub kvm: bool,
    /// Started instead of the image's boot loader.
    pub kernel: Option<&'a Kernel>,
    /// UEFI's code; none: SeaBIOS.
    pub uefi: Option<&'a Path>,
    /// Whether there is an assets disk.
    pub assets: bool,
    /// Its interfaces, in order.
    pub macs: &'a [Mac],
}

impl MachineArguments<'_> {
    /// The whole command line, without the program.
    pub fn arguments(&self) -> Vec<String> {
        let mut all = Arguments::begin(self.sandbox);
        all.add(&["-rtc", "base=utc"]);
        all.option("-name", format!("guest={}", escape_commas(self.name)));
        self.processor(&mut all);
        self.start(&mut all);
        self.disks(&mut all);
        self.network(&mut all);
        self.ports(&mut all);
        all.option("-qmp", format!("unix:{QMP},server=on,wait=off"));
        all.0
    }

    fn processor(&self, all: &mut Arguments) {
        // Without what no node needs: each device is time at boot.
        let machine = match self.vm.arch {
            Arch::X86_64 => "q35,sata=off,smbus=off,usb=off,vmport=off,hpet=off",
            Arch::Arm64 => "virt,gic-version=max",
        };
        all.option("-machine", machine);
        all.option("-accel", if self.kvm { "kvm" } else { vm::TCG });
        all.option("-cpu", vm::cpu_model(self.vm, self.kvm));
        all.option("-smp", self.vm.cpus.to_string());
        all.option("-m", format!("{}M", self.vm.memory >> 20));
    }

    fn start(&self, all: &mut Arguments) {
        if let Some(code) = self.uefi {
            let code = escape_commas(&code.to_string_lossy());
            all.option(
                "-drive",
                format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"),
            );
            all.option(
                "-drive",
                format!("if=pflash,unit=1,format=raw,file={}", NodeDir::VARS),
            );
        }
        if let Some(kernel) = self.kernel {
            all.option("-kernel", kernel.path.to_string_lossy());
            all.option("-initrd", kernel.initrd.to_string_lossy());
            all.option("-append", kernel.append.as_str());
        }
        all.option(
            "-fw_cfg",
            format!("name={},file={}", fw_cfg::NAME, NodeDir::CONFIG),
        );
    }

    fn disks(&self, all: &mut Arguments) {
        let disk = NodeDir::DISK;
        all.option(
            "-drive",
            format!("if=none,id=root,format=qcow2,discard=unmap,detect-zeroes=unmap,file={disk}"),
        );
        all.option(
            "-device",
            format!("virtio-blk-pci,drive=root,serial={ROOT_SERIAL},bootindex=1"),
        );
        if self.assets {
            let file = NodeDir::ASSETS;
            all.option(
                "-drive",
                format!("if=none,id=assets,format=raw,readonly=on,file={file}"),
            );
            all.option(
                "-device",
                format!("virtio-blk-pci,drive=assets,serial={ASSETS_SERIAL}"),
            );
        }
    }

    fn network(&self, all: &mut Arguments) {
        for (at, mac) in self.macs.iter().enumerate() {
            let socket = NodeDir::cable(at);
            all.option(
                "-netdev",
                format!("stream,id=net{at},server=on,addr.type=unix,addr.path={socket}"),
            );
            all.option(
                "-device",
                format!("virtio-net-pci,netdev=net{at},mac={mac}"),
            );
        }
    }

    fn ports(&self, all: &mut Arguments) {
        all.add(&["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        for (id, name, back) in [
            (
                "events",
                EVENTS_PORT,
                format!("file,id=events,append=on,path={}", NodeDir::EVENTS),
            ),
            (
                "guest",
                GUEST_PORT,
                format!("socket,id=guest,server=on,wait=off,path={}", NodeDir::GUEST),
            ),
        ] {
            all.option("-chardev", back);
            all.option(
                "-device",
                format!("virtserialport,chardev={id},name={name}"),
            );
        }
        all.option(
            "-chardev",
            format!("file,id=console,append=on,path={}", NodeDir::CONSOLE),
        );
        all.option("-serial", "chardev:console");
    }
}

/// The hub of the user network: a number that no interface of a node reaches.
const OUTSIDE: usize = 1000;

/// The gateway: a QEMU without a machine. Its user network is the nodes' way out, the forwarded ports are the way in, and its
/// hubs are the segments.
pub fn gateway_arguments(
    network: &Network,
    dns: Ipv4Addr,
    ports: &Ports,
    plugs: &[GatewayPlug],
    qemu: Emulator,
) -> Vec<String> {
    let mut all = Arguments::begin(qemu.sandbox);
    all.add(&["-machine", "none"]);
    let mut user = format!(
        "user,id=nat,ipv6=off,net={},host={},dns={dns},dhcpstart={}",
        network.cidr,
        network.gateway,
        dhcp_start(network, dns)
    );
    for (inside, port) in ports.iter() {
        user.push_str(&format!(",hostfwd=tcp:127.0.0.1:{port}-{inside}"));
    }
    all.option("-netdev", user);
    let (again, after) = reconnect_option(qemu.version);
    // Apart from the nodes: see `filter`.
    all.option(
        "-netdev",
        format!("hubport,id=nat-hub,hubid={OUTSIDE},netdev=nat"),
    );
    for (side, hub) in [(filter::WAN, OUTSIDE), (filter::LAN, 0)] {
        all.option("-netdev", format!("stream,id={side},server=off,addr.type=unix,addr.path=../_filter/{side},{again}={after}"));
        all.option(
            "-netdev",
            format!("hubport,id={side}-hub,hubid={hub},netdev={side}"),
        );
    }
    for plug in plugs {
        let (cable, there) = (plug.cable(), plug.there());
        all.option(
            "-netdev",
            format!(
                "stream,id={cable},server=off,addr.type=unix,addr.path={there},{again}={after}"
            ),
        );
        all.option(
            "-netdev",
            format!(
                "hubport,id={},hubid={},netdev={cable}",
                plug.port(),
                plug.nic
            ),
        );
    }
    all.option("-qmp", format!("unix:{QMP},server=on,wait=off"));
    all.0
}

/// The gateway's end of a node's cable: the interface number `nic` is in hub number `nic`.
///
/// A stream, because a full datagram socket of a node that does not listen yet keeps the gateway busy with trying. The node is
/// the server, because QEMU 10 dies of a frame for a server that is about to listen, and a node has none to send by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPlug {
    pub node: String,
    /// Counts from 0.
    pub nic: usize,
}

impl GatewayPlug {
    /// Identifier of the cable; tests pull it by `set_link`. It begins with a letter, as QEMU wants it.
    pub fn cable(&self) -> String {
        format!("cable-{}.{}", self.node, self.nic)
    }

    /// Identifier of the hub's port.
    pub fn port(&self) -> String {
        format!("port-{}.{}", self.node, self.nic)
    }

    /// The node's socket, from the gateway's directory.
    pub fn there(&self) -> String {
        format!("../{}/{}", self.node, NodeDir::cable(self.nic))
    }
}

/// How often the gateway looks for a node that is off: QEMU 9.2 and later count in milliseconds.
pub fn reconnect_option(version: Version) -> (&'static str, u32) {
    if version >= (9, 2) {
        ("reconnect-ms", 250)
    } else {
        ("reconnect", 1)
    }
}

/// The nodes do not use DHCP, but QEMU insists on a range that holds neither gateway nor name server.
fn dhcp_start(network: &Network, dns: Ipv4Addr) -> IpAddr {
    let hosts = network.cidr.hosts().skip(14);
    let mut others = hosts.filter(|ip| *ip != network.gateway && *ip != IpAddr::V4(dns));
    others.next().unwrap_or_else(|| network.cidr.network())
}

/// QEMU parts options by commas.
fn escape_commas(text: &str) -> String {
    text.replace(',', ",,")
}

/// What a guest that has taken its QEMU over cannot do: start programs, become somebody else, take processors from others.
/// libvirt gives the same to all of its machines.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    /// What every QEMU of ours begins with.
    fn begin(sandbox: bool) -> Self {
        let mut all = Self::default();
        all.add(&["-nodefaults", "-no-user-config", "-display", "none"]);
        if sandbox {
            all.add(&["-sandbox", SANDBOX]);
        }
        all
    }

    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(ToString::to_string));
    }

    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.into(), value.into()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ha_cluster_file::cluster::{Accel, Arch, Firmware, Image};
    use ha_test_support as testing;
    use std::path::PathBuf;

    fn small_vm() -> Vm {
        Vm {
            memory: 2 << 30,
            cpus: 2,
            disk: 20 << 30,
            cpu: "host".into(),
            arch: Arch::X86_64,
            firmware: Firmware::Bios,
            accel: Accel::Auto,
            image: Image::File {
                path: PathBuf::from("/i/flatcar.img"),
                kernel: None,
            },
        }
    }

    fn machine_of<'a>(vm: &'a Vm, macs: &'a [Mac]) -> MachineArguments<'a> {
        MachineArguments {
            name: "demo.node1",
            vm,
            sandbox: true,
            kvm: true,
            kernel: None,
            uefi: None,
            assets: true,
            macs,
        }
    }

    /// One option a line.
    fn one_option_a_line(words: &[String]) -> String {
        let mut text = String::new();
        for word in words {
            let start = word.starts_with('-');
            text.push_str(if start && !text.is_empty() { "\n" } else { "" });
            text.push_str(if start { "" } else { " " });
            text.push_str(word);
        }
        text + "\n"
    }

    const MACS: [Mac; 2] = [Mac([0x52, 0x54, 0, 0, 0, 1]), Mac([0x52, 0x54, 0, 0, 0, 2])];

    #[test]
    fn a_machine() {
        let vm = small_vm();
        let text = one_option_a_line(&machine_of(&vm, &MACS).arguments());
        assert_eq!(text, include_str!("golden/machine.txt"));
    }

    #[test]
    fn a_machine_of_another_kind() {
        let vm = Vm {
            arch: Arch::Arm64,
            firmware: Firmware::Uefi,
            ..small_vm()
        };
        let kernel = Kernel {
            path: "/i/vmlinuz".into(),
            initrd: "/i/initrd.img".into(),
            append: "root=LABEL=ROOT rw".into(),
        };
        let machine = MachineArguments {
            kvm: false,
            kernel: Some(&kernel),
            uefi: Some(Path::new("/usr/share/AAVMF/odd,name.fd")),
            assets: false,
            ..machine_of(&vm, &MACS[..1])
        };
        assert_eq!(
            one_option_a_line(&machine.arguments()),
            include_str!("golden/machine-arm64.txt")
        );
    }

    #[test]
    fn the_gateway_of_two() {
        let cluster = testing::demo_cluster();
        let ports: Ports = serde_json::from_str(
            r#"{"version": 1, "ports": {"10.77.0.30:6444": 6444, "10.77.0.11:6443": 20000}}"#,
        )
        .unwrap();
        let plug = |node: &str, nic| GatewayPlug {
            node: node.into(),
            nic,
        };
        let plugs = [plug("node1", 0), plug("2", 0), plug("2", 1)];
        let dns = Ipv4Addr::new(10, 77, 0, 15);
        let gateway = |sandbox| {
            let qemu = Emulator {
                version: (10, 0),
                sandbox,
            };
            gateway_arguments(&cluster.network, dns, &ports, &plugs, qemu)
        };
        assert_eq!(
            one_option_a_line(&gateway(true)),
            include_str!("golden/gateway.txt")
        );
        assert!(!gateway(false).contains(&"-sandbox".to_owned()));
    }
}
