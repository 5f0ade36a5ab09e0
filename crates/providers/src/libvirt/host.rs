//! One libvirt host with what this cluster has there.

use std::sync::OnceLock;

use anyhow::Result;
use ha_cluster_file::cluster::{Accel, Arch, Firmware, Vm};

use super::names::{Names, VolumeRole};
use super::pool::Pool;
use super::virsh::{Thing, Virsh};
use super::xml::domain::Domain;
use super::xml::{self, Mark};
use crate::finding::Unfit;
use crate::vm::kvm::{self, Verdict};

#[derive(Debug)]
pub struct Host {
    pub virsh: Virsh,
    /// Where its volumes are.
    pub pool: Pool,
    /// What our things are called.
    pub names: Names,
    kvm: OnceLock<Kvm>,
}

/// Whether a host runs guests by KVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kvm {
    pub works: bool,
    /// What was seen.
    pub message: String,
    /// If it does not: what remedies it.
    pub remedy: String,
}

/// A domain of a node's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Absent,
    Ours(Domain),
    /// Somebody else's: what to say.
    Foreign(Unfit),
}

impl Host {
    /// Talks to nobody yet.
    pub fn new(uri: &str, pool: &str, names: &Names) -> Self {
        let virsh = Virsh::new(uri);
        Self {
            pool: Pool::new(&virsh, pool),
            virsh,
            names: names.clone(),
            kvm: OnceLock::new(),
        }
    }

    pub fn find(&self, node: &str) -> Result<Found> {
        let name = self.names.domain(node);
        let Some(xml) = self.domain_xml(&name)? else {
            return Ok(Found::Absent);
        };
        let domain = Domain::read(&xml, &name)?;
        Ok(
            if domain
                .mark
                .as_ref()
                .is_some_and(|mark| self.is_ours(mark, node))
            {
                Found::Ours(domain)
            } else {
                Found::Foreign(foreign_thing(
                    "domain",
                    &name,
                    self.virsh.uri(),
                    domain.mark.as_ref(),
                ))
            },
        )
    }

    /// What libvirt tells of a domain; none: there is none.
    pub fn domain_xml(&self, name: &str) -> Result<Option<String>> {
        self.virsh.find(Thing::Domain(name), &["dumpxml", name])
    }

    /// Whether a mark is this state directory's for this node (empty: for the network).
    pub fn is_ours(&self, mark: &Mark, node: &str) -> bool {
        *mark == self.mark(node)
    }

    /// The mark of what is made for a node (empty: for all).
    pub fn mark(&self, node: &str) -> Mark {
        Mark {
            cluster: self.names.cluster().into(),
            node: node.into(),
            state: self.names.state().into(),
        }
    }

    /// User and group of the hypervisor's processes; none: the daemon's own, or it does not tell.
    pub fn owner(&self) -> Result<Option<(u32, u32)>> {
        if self.virsh.is_session() {
            return Ok(None);
        }
        Ok(base_label(&self.virsh.run(&["capabilities"])?))
    }

    /// Whether nodes run by KVM, as far as the file leaves that open.
    pub fn accel(&self, vm: &Vm) -> Result<Kvm> {
        if vm.accel == Accel::Tcg {
            return Ok(Kvm {
                works: false,
                message: "TCG, as the cluster file says".into(),
                remedy: String::new(),
            });
        }
        if let Some(kvm) = self.kvm.get() {
            return Ok(kvm.clone());
        }
        let kvm = self.look_for_kvm(vm.arch)?;
        Ok(self.kvm.get_or_init(|| kvm).clone())
    }

    fn look_for_kvm(&self, arch: Arch) -> Result<Kvm> {
        let no = |message: String, remedy: &str| Kvm {
            works: false,
            message,
            remedy: remedy.into(),
        };
        let yes = Kvm {
            works: true,
            message: "KVM".into(),
            remedy: String::new(),
        };
        let Some(able) = self.capabilities(arch, "kvm") else {
            let uri = self.virsh.uri();
            return Ok(no(
                format!("libvirt at {uri} has no KVM for {arch}"),
                Verdict::Missing.remedy(),
            ));
        };
        if !self.virsh.is_local() || arch != Arch::HOST {
            return Ok(yes);
        }
        let document = xml::parse(&able, "its domains")?;
        let Some(qemu) = xml::text(&document, "path") else {
            return Ok(yes);
        };
        Ok(match kvm::probe_kvm(std::path::Path::new(qemu), arch)? {
            // The daemon's users may be allowed what ours is not.
            Verdict::Works | Verdict::NotPermitted => yes,
            verdict => no(verdict.message(), verdict.remedy()),
        })
    }

    /// What the host's domains of a kind can be; none: it cannot run them.
    pub fn capabilities(&self, arch: Arch, kind: &str) -> Option<String> {
        let machine = match arch {
            Arch::X86_64 => "q35",
            Arch::Arm64 => "virt",
        };
        let args = [
            "domcapabilities",
            "--virttype",
            kind,
            "--arch",
            arch.machine(),
            "--machine",
            machine,
        ];
        // libvirt says no in many words; whether it can be reached was asked before.
        self.virsh.run(&args).ok()
    }

    /// Names of all domains.
    pub fn domains(&self) -> Result<Vec<String>> {
        self.virsh.names(&["list", "--all", "--name"])
    }

    /// Pulls the plug and forgets a domain, with all that libvirt keeps beside it; fine if it is not there.
    pub fn undefine(&self, domain: &str) -> Result<()> {
        self.pull_the_plug(domain)?;
        let flags = [
            "--nvram",
            "--managed-save",
            "--snapshots-metadata",
            "--checkpoints-metadata",
        ];
        let args: Vec<&str> = ["undefine", domain].into_iter().chain(flags).collect();
        self.virsh.find(Thing::Domain(domain), &args).map(drop)
    }

    /// Ends a domain's process; fine if it has none.
    pub fn pull_the_plug(&self, domain: &str) -> Result<()> {
        match self.virsh.run(&["destroy", domain]) {
            // It did not run, or is gone. If that cannot be found out, the first fault is the one to tell.
            Err(_)
                if self
                    .virsh
                    .is_active(Thing::Domain(domain))
                    .is_ok_and(|active| !active) =>
            {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Removes a node's domain and volumes, also half-made ones; fine if there is nothing.
    pub fn remove(&self, node: &str) -> Result<()> {
        if let Found::Ours(_) = self.find(node)? {
            self.undefine(&self.names.domain(node))?;
        }
        // Nothing of a node lies in a pool that is gone; one that is asleep is not asked in vain.
        if self.pool.look()?.is_some() {
            self.pool.ensure()?;
            for part in VolumeRole::ALL {
                self.pool.delete(&self.names.volume(node, part))?;
            }
        }
        Ok(())
    }
}

/// Whether firmware that libvirt may choose by itself is there.
pub fn has_firmware(capabilities: &str, firmware: Firmware) -> Result<bool> {
    if firmware == Firmware::Bios {
        return Ok(true);
    }
    let document = xml::parse(capabilities, "its domains")?;
    let choices = document
        .descendants()
        .filter(|n| n.has_tag_name("enum") && n.attribute("name") == Some("firmware"));
    let mut values = choices.flat_map(|choice| choice.children());
    Ok(values.any(|value| value.text() == Some("efi")))
}

/// What a thing of our name is that we did not make, and what to do.
pub fn foreign_thing(what: &str, name: &str, uri: &str, mark: Option<&Mark>) -> Unfit {
    let whose = mark.map_or_else(String::new, |m| {
        format!(
            " (it belongs to cluster {} of another state directory, {})",
            m.cluster, m.state
        )
    });
    let remove = match what {
        "network" => {
            format!("virsh -c {uri} net-destroy {name}; virsh -c {uri} net-undefine {name}")
        }
        _ => format!("virsh -c {uri} undefine {name} --nvram"),
    };
    Unfit::new(
        format!(
            "{uri} has a {what} {name} that this cluster did not make{whose}, and it stays untouched"
        ),
        format!("give the cluster another name, or, if nobody needs it, remove it:  {remove}"),
    )
}

/// `+64055:+64055` of the security model dac.
fn base_label(capabilities: &str) -> Option<(u32, u32)> {
    let document = xml::parse(capabilities, "its host").ok()?;
    let dac = document
        .descendants()
        .filter(|n| n.has_tag_name("secmodel"))
        .find(|n| {
            n.children()
                .any(|c| c.has_tag_name("model") && c.text() == Some("dac"))
        })?;
    let label = dac
        .children()
        .find(|n| n.has_tag_name("baselabel"))?
        .text()?;
    let (user, group) = label.split_once(':')?;
    let id = |text: &str| text.trim().trim_start_matches('+').parse().ok();
    Some((id(user)?, id(group)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hypervisors_user() {
        let xml = "<capabilities><host><secmodel><model>apparmor</model><doi>0</doi></secmodel>\
                   <secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+994</baselabel>\
                   <baselabel type='qemu'>+64055:+994</baselabel></secmodel></host></capabilities>";
        assert_eq!(base_label(xml), Some((64055, 994)));
        assert_eq!(base_label("<capabilities><host/></capabilities>"), None);
    }

    #[test]
    fn foreign_things_are_named_with_the_cure() {
        let mark = Mark {
            cluster: "demo".into(),
            node: "n1".into(),
            state: "bb22".into(),
        };
        let unfit = foreign_thing("domain", "demo-n1", "qemu:///system", Some(&mark));
        assert!(unfit.message.contains("bb22"), "{unfit}");
        let undefine = "virsh -c qemu:///system undefine demo-n1";
        assert!(unfit.remedy.contains(undefine), "{unfit}");
        let network = foreign_thing("network", "ha-demo", "u", None);
        assert!(network.remedy.contains("net-undefine ha-demo"), "{network}");
    }

    #[test]
    fn firmware_is_one_of_the_choices() {
        let with = |value: &str| {
            format!(
                "<domainCapabilities><os><enum name='firmware'>{value}</enum></os></domainCapabilities>"
            )
        };
        let has = |xml: &str| has_firmware(xml, Firmware::Uefi).unwrap();
        assert!(has(&with("<value>bios</value><value>efi</value>")));
        assert!(!has(&with("<value>bios</value>")) && !has(&with("")));
        assert!(has_firmware("", Firmware::Bios).unwrap());
    }
}
