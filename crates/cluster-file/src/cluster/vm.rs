//! Options of virtual machines: what libvirt and QEMU have in common, and what each has alone.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What every virtual machine of a cluster is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Vm {
    /// Memory of a machine in bytes.
    pub memory: u64,
    /// Virtual processors of a machine.
    pub cpus: u32,
    /// Size of the node's own disk in bytes; what the image lacks is grown on first boot.
    pub disk: u64,
    /// Processor model: `host` is the host's own (under TCG: a fixed, common one), else a model of QEMU's.
    pub cpu: String,
    /// Processor architecture of image and machine.
    pub arch: Arch,
    /// What starts the image.
    pub firmware: Firmware,
    /// Who runs the guest's instructions.
    pub accel: Accel,
    /// Image of the operating system.
    pub image: Image,
}

/// Options of `provider: {libvirt: {...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LibvirtOptions {
    /// Where libvirt answers for nodes that name no `uri` of their own.
    pub uri: String,
    /// What the machines are like.
    pub vm: Vm,
    /// What their first interface is plugged into.
    pub network: LibvirtNetwork,
    /// Storage pool: used if it is there, else made.
    pub pool: String,
    /// Started with the host.
    pub autostart: bool,
}

/// What libvirt domains are plugged into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum LibvirtNetwork {
    /// A NAT network of the cluster's own, made and removed with it.
    Own,
    /// A network that is there, by its name.
    Named(String),
    /// A bridge of the host.
    Bridge(String),
}

/// Options of `provider: {qemu: {...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct QemuOptions {
    /// What the machines are like.
    pub vm: Vm,
}

/// An operating system image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Image {
    /// Flatcar, from `ha-host image`'s store.
    Flatcar {
        /// `stable`, `beta`, `alpha` or `lts`.
        channel: String,
        /// None: the newest that is stored, else the newest there is.
        version: Option<String>,
    },
    /// A local disk image, qcow2 or raw; absolute. Never written to.
    File {
        /// The image file; absolute.
        path: PathBuf,
        /// Started by the hypervisor instead of the image's own boot loader.
        kernel: Option<Kernel>,
    },
}

/// A kernel outside the image, for images without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Kernel {
    /// The kernel file; absolute.
    pub path: PathBuf,
    /// The initramfs that belongs to it; absolute.
    pub initrd: PathBuf,
    /// The kernel's command line.
    pub append: String,
}

/// A processor architecture, by the bakery's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit x86, also called amd64.
    #[serde(rename = "x86-64")]
    X86_64,
    /// 64-bit ARM, also called aarch64.
    #[serde(rename = "arm64")]
    Arm64,
}

impl Arch {
    /// What this program was built for.
    pub const HOST: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm64
    } else {
        Self::X86_64
    };

    /// As systemd and the bakery write it: in `ARCHITECTURE=` and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        }
    }

    /// As the kernel, QEMU and libvirt write it.
    pub fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What starts an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Firmware {
    /// SeaBIOS; not on arm64, which has UEFI only.
    Bios,
    /// UEFI: the host's OVMF or AAVMF.
    Uefi,
}

/// Who runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Accel {
    /// KVM where it works (found out by starting a guest), else TCG.
    Auto,
    /// The processor itself, by KVM.
    Kvm,
    /// QEMU's own translator: works everywhere, some ten times slower.
    Tcg,
}

/// The Ethernet address of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// A node's address in QEMU's range, 52:54:00; FNV-1a of the names, `salt` tells apart what would meet.
    pub fn derived(cluster: &str, node: &str, salt: u8) -> Self {
        let text = format!("{cluster} {node} {salt}");
        let [a, b, c, d] = ha_wire::hash::fnv1a(&text).to_be_bytes();
        Self([0x52, 0x54, 0, a ^ d, b, c])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "an Ethernet address";
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong)?;
        }
        if parts.next().is_some() {
            return Err(wrong);
        }
        // The lowest bit of the first byte makes it a group's.
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err("a unicast Ethernet address");
        }
        Ok(Self(bytes))
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A further network interface of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Nic {
    /// What it is found by.
    pub mac: Mac,
    /// Address and prefix; none: by DHCP.
    pub address: Option<ipnet::IpNet>,
    /// Largest packet in bytes; none: the network's own.
    pub mtu: Option<u32>,
}

/// How sysexts (and, if wanted, container images) reach the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Assets {
    /// On one read-only disk that every virtual machine shares: nodes download nothing.
    Disk {
        /// Archives of container images (`docker save`, `ctr images export`), absolute; imported on first boot.
        images: Vec<PathBuf>,
    },
    /// Each node fetches them; local files are the provider's business.
    Download,
}

/// Who updates sysexts once a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Updates {
    /// Nobody: a person does.
    None,
    /// systemd-sysupdate, from the bakery, within the minor version.
    Sysupdate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_as_they_are_written() {
        let mac: Mac = "52:54:00:AB:0c:01".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:0c:01");
        for wrong in [
            "",
            "52:54:00:ab:0c",
            "52:54:00:ab:0c:1",
            "52:54:00:ab:0c:01:02",
            "g2:54:00:ab:0c:01",
            "01:00:5e:00:00:01",
        ] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn derived_macs_differ_by_cluster_node_and_salt() {
        let mac = Mac::derived("demo", "node1", 0);
        assert!(mac.to_string().starts_with("52:54:00:"));
        for other in [
            ("demo", "node2", 0),
            ("test", "node1", 0),
            ("demo", "node1", 1),
        ] {
            assert_ne!(mac, Mac::derived(other.0, other.1, other.2));
        }
    }
}
