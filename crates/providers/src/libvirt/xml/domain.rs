//! A node's domain.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use ha_cluster_file::cluster::{Arch, Firmware, Mac};
use ha_wire::devices::{ASSETS_SERIAL, EVENTS_PORT};
use roxmltree::Document;

use super::{Mark, XmlEscaped, parse_xml};
use crate::vm::{GUEST_PORT, ROOT_SERIAL, fw_cfg};

/// What the domain's interfaces are plugged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceSource {
    /// A network of libvirt's.
    Network(String),
    /// A bridge of the host.
    Bridge(String),
}

/// A kernel outside the image.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The kernel's path at the host.
    pub kernel: String,
    pub initrd: String,
    pub append: String,
}

/// Everything of a node's domain. All paths are the host's.
#[derive(Debug, Clone)]
pub struct NewDomain {
    pub name: String,
    pub mark: Mark,
    /// KVM, else TCG.
    pub kvm: bool,
    pub arch: Arch,
    /// As QEMU writes it, with features behind commas; `host` goes with KVM only.
    pub cpu: String,
    pub cpus: u32,
    /// In bytes.
    pub memory: u64,
    /// What starts the image.
    pub firmware: Firmware,
    /// A kernel outside the image.
    pub boot: Option<Boot>,
    pub ignition: String,
    /// The node's own disk, qcow2.
    pub disk: String,
    /// The shared read-only disk, raw.
    pub assets: Option<String>,
    /// What every interface is plugged into.
    pub plug: InterfaceSource,
    /// The interfaces' addresses, the first is the node's own.
    pub macs: Vec<Mac>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// The file that gets the events; grows.
    pub events: String,
    /// The file that gets the console; grows.
    pub console: String,
}

impl fmt::Display for NewDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kvm { "kvm" } else { "qemu" };
        writeln!(
            f,
            "<domain type='{kind}'>\n  <name>{}</name>\n  {}",
            XmlEscaped(&self.name),
            self.mark
        )?;
        writeln!(
            f,
            "  <memory unit='bytes'>{}</memory>\n  <vcpu>{}</vcpu>",
            self.memory, self.cpus
        )?;
        self.os(f)?;
        // Flatcar and QEMU agree on this name. The file is a volume: libvirt hands it to the hypervisor's user and no other.
        writeln!(
            f,
            "  <sysinfo type='fwcfg'><entry name='{}' file='{}'/></sysinfo>",
            fw_cfg::NAME,
            XmlEscaped(&self.ignition)
        )?;
        self.features(f)?;
        writeln!(f, "  {}", cpu_element(&self.cpu))?;
        writeln!(
            f,
            "  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>restart</on_reboot>\n  <on_crash>restart</on_crash>"
        )?;
        writeln!(f, "  <devices>")?;
        self.disks(f)?;
        self.interfaces(f)?;
        self.voices(f)?;
        writeln!(
            f,
            "    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
        )?;
        writeln!(
            f,
            "    <memballoon model='virtio'/>\n  </devices>\n</domain>"
        )
    }
}

impl NewDomain {
    fn os(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = match self.arch {
            Arch::X86_64 => "q35",
            Arch::Arm64 => "virt",
        };
        let efi = if self.firmware == Firmware::Uefi {
            " firmware='efi'"
        } else {
            ""
        };
        writeln!(
            f,
            "  <os{efi}>\n    <type arch='{}' machine='{machine}'>hvm</type>",
            self.arch.machine()
        )?;
        if self.firmware == Firmware::Uefi {
            // Flatcar's images are not signed with the keys that common firmware knows.
            writeln!(
                f,
                "    <firmware><feature enabled='no' name='secure-boot'/></firmware>"
            )?;
        }
        if let Some(boot) = &self.boot {
            writeln!(
                f,
                "    <kernel>{}</kernel>\n    <initrd>{}</initrd>",
                XmlEscaped(&boot.kernel),
                XmlEscaped(&boot.initrd)
            )?;
            writeln!(f, "    <cmdline>{}</cmdline>", XmlEscaped(&boot.append))?;
        } else {
            writeln!(f, "    <boot dev='hd'/>")?;
        }
        writeln!(f, "  </os>")
    }

    fn features(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apic = match self.arch {
            Arch::X86_64 => "<apic/>",
            Arch::Arm64 => "<gic/>",
        };
        // QEMU's own buffer for translated code is an eighth of the host's memory, for each machine.
        let tcg = if self.kvm {
            ""
        } else {
            "<tcg><tb-cache unit='MiB'>512</tb-cache></tcg>"
        };
        writeln!(f, "  <features><acpi/>{apic}{tcg}</features>")
    }

    fn disks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "    <disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='{}'/>\
             <target dev='vda' bus='virtio'/><serial>{ROOT_SERIAL}</serial></disk>",
            XmlEscaped(&self.disk)
        )?;
        if let Some(assets) = &self.assets {
            writeln!(
                f,
                "    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
                 <target dev='vdb' bus='virtio'/><serial>{ASSETS_SERIAL}</serial><readonly/><shareable/></disk>",
                XmlEscaped(assets)
            )?;
        }
        Ok(())
    }

    fn interfaces(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, source) = match &self.plug {
            InterfaceSource::Network(name) => ("network", name),
            InterfaceSource::Bridge(name) => ("bridge", name),
        };
        for mac in &self.macs {
            write!(
                f,
                "    <interface type='{kind}'><mac address='{mac}'/><source {kind}='{}'/><model type='virtio'/>",
                XmlEscaped(source)
            )?;
            if let Some(mtu) = self.mtu {
                write!(f, "<mtu size='{mtu}'/>")?;
            }
            writeln!(f, "</interface>")?;
        }
        Ok(())
    }

    /// What the node says: its console, its events, its guest agent.
    fn voices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "    <serial type='file'><source path='{}' append='on'/><target port='0'/></serial>",
            XmlEscaped(&self.console)
        )?;
        writeln!(
            f,
            "    <channel type='file'><source path='{}' append='on'/><target type='virtio' name='{EVENTS_PORT}'/></channel>",
            XmlEscaped(&self.events)
        )?;
        writeln!(
            f,
            "    <channel type='unix'><target type='virtio' name='{GUEST_PORT}'/></channel>"
        )
    }
}

/// QEMU's way to write a processor in libvirt's: `Nehalem,+aes,-avx,vmx=on`.
fn cpu_element(text: &str) -> String {
    let mut parts = text.split(',');
    let model = parts.next().unwrap_or_default();
    let features: String = parts.map(cpu_feature).collect();
    match model {
        "host" => format!("<cpu mode='host-passthrough' check='none'>{features}</cpu>"),
        "max" => format!("<cpu mode='maximum' check='none'>{features}</cpu>"),
        model => format!(
            "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{}</model>{features}</cpu>",
            XmlEscaped(model)
        ),
    }
}

fn cpu_feature(text: &str) -> String {
    let (name, on) = match (
        text.strip_prefix('+'),
        text.strip_prefix('-'),
        text.split_once('='),
    ) {
        (Some(name), ..) => (name, true),
        (_, Some(name), _) => (name, false),
        (.., Some((name, value))) => (name, value == "on"),
        _ => (text, true),
    };
    let policy = if on { "require" } else { "disable" };
    format!("<feature policy='{policy}' name='{}'/>", XmlEscaped(name))
}

/// A domain as libvirt tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Whose it is; none: not ours.
    pub mark: Option<Mark>,
    /// It has a process: it runs, boots or is paused.
    pub active: bool,
    /// Where its events go, if into a file.
    pub events: Option<String>,
    /// Where its console goes, if into a file.
    pub console: Option<String>,
    /// Every file that it is made of, as far as libvirt tells.
    pub paths: BTreeSet<String>,
}

impl Domain {
    pub fn read(xml: &str, name: &str) -> Result<Self> {
        let document = parse_xml(xml, &format!("domain {name}"))?;
        let root = document.root_element();
        let file = |wanted: &str| {
            let device = root
                .descendants()
                .find(|n| n.has_tag_name(wanted) && n.attribute("type") == Some("file"))?;
            let source = device.children().find(|n| n.has_tag_name("source"))?;
            source.attribute("path").map(String::from)
        };
        Ok(Self {
            mark: Mark::find(&document),
            active: root.has_attribute("id"),
            events: file("channel"),
            console: file("serial"),
            paths: file_paths(&document),
        })
    }
}

fn file_paths(document: &Document<'_>) -> BTreeSet<String> {
    let attributes = document
        .descendants()
        .flat_map(|n| n.attributes())
        .filter(|a| a.name() == "file" || a.name() == "path");
    let texts = document
        .descendants()
        .filter(|n| n.has_tag_name("kernel") || n.has_tag_name("initrd"))
        .filter_map(|n| n.text());
    attributes
        .map(|a| a.value())
        .chain(texts)
        .map(String::from)
        .collect()
}

#[cfg(test)]
mod tests;
