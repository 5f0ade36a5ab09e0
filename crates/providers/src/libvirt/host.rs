//! One libvirt host with what this cluster has there.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::{Accel, Arch, Firmware, Vm};

use super::names::Names;
use super::pool::Pool;
use super::virsh::{Thing, Virsh, is_refusal};
use super::xml::domain::Domain;
use super::xml::{self, Mark};
use crate::finding::Unfit;
use crate::vm::kvm::{self, KvmVerdict};

#[derive(Debug)]
pub struct Host {
    pub virsh: Virsh,
    /// Where its volumes are.
    pub pool: Pool,
    /// What our things are called.
    pub names: Names,
    kvm: OnceLock<Kvm>,
    owner: OnceLock<Option<(u32, u32)>>,
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
    pub fn new(uri: &str, pool: &str, names: &Names, patience: Duration) -> Self {
        let virsh = Virsh::new(uri, patience);
        Self {
            pool: Pool::new(&virsh, pool),
            virsh,
            names: names.clone(),
            kvm: OnceLock::new(),
            owner: OnceLock::new(),
        }
    }

    /// The domain of a node's name.
    pub fn find(&self, node: &str) -> Result<Found> {
        let found = self.find_all(&[node])?;
        Ok(found.into_iter().next().unwrap_or(Found::Absent))
    }

    /// The domains of these nodes' names, in their order. One list tells which are there.
    pub fn find_all(&self, nodes: &[&str]) -> Result<Vec<Found>> {
        let listed = self.domains()?;
        self.find_listed(nodes, &listed)
    }

    /// The same with a list that was made just now.
    pub fn find_listed(&self, nodes: &[&str], listed: &[String]) -> Result<Vec<Found>> {
        let names: Vec<String> = nodes.iter().map(|node| self.names.domain(node)).collect();
        let there = names.iter().filter(|name| listed.contains(name));
        let there: Vec<Thing<'_>> = there.map(|name| Thing::Domain(name)).collect();
        let mut shown = self.virsh.dump_all_listed(&there)?.into_iter();
        let mut found = Vec::new();
        for (node, name) in nodes.iter().zip(&names) {
            let xml = match listed.contains(name) {
                true => shown.next().flatten(),
                false => None,
            };
            found.push(self.judge_domain(node, name, xml.as_deref())?);
        }
        Ok(found)
    }

    pub fn judge_domain(&self, node: &str, name: &str, xml: Option<&str>) -> Result<Found> {
        let Some(xml) = xml else {
            return Ok(Found::Absent);
        };
        let domain = Domain::read(xml, name)?;
        let mark = domain.mark.as_ref();
        if mark.is_some_and(|mark| self.is_ours(mark, node)) {
            return Ok(Found::Ours(domain));
        }
        let unfit = foreign_thing("domain", name, self.virsh.uri(), mark);
        Ok(Found::Foreign(unfit))
    }

    /// The cluster's domains, also of nodes that the cluster file has forgotten.
    pub fn own_domains(&self) -> Result<Vec<(String, Domain)>> {
        let begin = self.names.domain("");
        let listed = self.domains()?;
        let nodes: Vec<&str> = listed
            .iter()
            .filter_map(|n| n.strip_prefix(&begin))
            .collect();
        let found = self.find_listed(&nodes, &listed)?;
        let ours = nodes
            .iter()
            .zip(found)
            .filter_map(|(node, found)| match found {
                Found::Ours(domain) => Some((self.names.domain(node), domain)),
                Found::Absent | Found::Foreign(_) => None,
            });
        Ok(ours.collect())
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
        if let Some(owner) = self.owner.get() {
            return Ok(*owner);
        }
        let owner = base_label(&self.virsh.query(&["capabilities"])?)?;
        Ok(*self.owner.get_or_init(|| owner))
    }

    /// Whether nodes run by KVM, as far as the file leaves that open.
    pub fn accel(&self, vm: &Vm) -> Result<Kvm> {
        if vm.accel == Accel::Tcg {
            return self.judge_accel(vm, None);
        }
        match self.kvm.get() {
            Some(kvm) => Ok(kvm.clone()),
            None => self.judge_accel(vm, self.capabilities(vm.arch)?.as_deref()),
        }
    }

    /// The same by what the host's domains can be; none: it runs none of that architecture.
    pub fn judge_accel(&self, vm: &Vm, capabilities: Option<&str>) -> Result<Kvm> {
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
        let kvm = self.look_for_kvm(vm.arch, capabilities)?;
        Ok(self.kvm.get_or_init(|| kvm).clone())
    }

    fn look_for_kvm(&self, arch: Arch, capabilities: Option<&str>) -> Result<Kvm> {
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
        let document = xml::parse_xml(capabilities.unwrap_or("<none/>"), "its domains")?;
        // Asked for no kind, libvirt tells of the best that it has.
        if xml::element_text(&document, "domain") != Some("kvm") {
            let uri = self.virsh.uri();
            return Ok(no(
                format!("libvirt at {uri} has no KVM for {arch}"),
                KvmVerdict::Missing.remedy(),
            ));
        }
        if !self.virsh.is_local() || arch != Arch::HOST {
            return Ok(yes);
        }
        let Some(qemu) = xml::element_text(&document, "path") else {
            return Ok(yes);
        };
        Ok(match kvm::probe_kvm(std::path::Path::new(qemu), arch)? {
            // The daemon's users may be allowed what ours is not.
            KvmVerdict::Works | KvmVerdict::NotPermitted => yes,
            verdict => no(verdict.message(), verdict.remedy()),
        })
    }

    /// What the host's domains of an architecture can be; none: it cannot run them.
    pub fn capabilities(&self, arch: Arch) -> Result<Option<String>> {
        match self.virsh.query(&capabilities_command(arch)) {
            Ok(xml) => Ok(Some(xml)),
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
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
        self.virsh.remove(Thing::Domain(domain), &args)
    }

    /// Ends a domain's process; fine if it has none.
    pub fn pull_the_plug(&self, domain: &str) -> Result<()> {
        let thing = Thing::Domain(domain);
        match self.virsh.run(&["destroy", domain]) {
            // It did not run, or is gone. If that cannot be found out, the first fault is the one to tell.
            Err(_) if self.virsh.is_active(thing).is_ok_and(|active| !active) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Removes a node's domain and volumes, also half-made ones; fine if there is nothing. Never the volumes of a domain that
    /// is still there.
    pub fn remove(&self, node: &str) -> Result<()> {
        let name = self.names.domain(node);
        if let Found::Ours(_) = self.find(node)? {
            self.undefine(&name)?;
        }
        self.assert_no_own_domain(node)?;
        // Nothing of a node lies in a pool that is gone; one that is asleep is not asked in vain.
        if self.pool.look()?.is_none() {
            return Ok(());
        }
        self.pool.ensure(false)?;
        let of_node = |(name, _): &(String, String)| self.names.is_of_node(name, node);
        for (name, _) in self.pool.volumes()?.into_iter().filter(of_node) {
            self.pool.delete(&name)?;
        }
        match self.pool.volumes()?.into_iter().find(of_node) {
            Some((left, _)) => bail!("{}: volume {left} is still there", self.virsh.uri()),
            None => Ok(()),
        }
    }

    /// A second look: an error if a list still, or all of a sudden, names our domain of a node.
    pub fn assert_no_own_domain(&self, node: &str) -> Result<()> {
        if let Found::Ours(_) = self.find(node)? {
            let name = self.names.domain(node);
            bail!(
                "{}: domain {name} is there, though it was not a moment ago; nothing of it was touched, do that again",
                self.virsh.uri()
            );
        }
        Ok(())
    }
}

/// Asks what the domains of an architecture can be.
pub fn capabilities_command(arch: Arch) -> [&'static str; 5] {
    let machine = match arch {
        Arch::X86_64 => "q35",
        Arch::Arm64 => "virt",
    };
    [
        "domcapabilities",
        "--arch",
        arch.machine(),
        "--machine",
        machine,
    ]
}

/// Whether firmware that libvirt may choose by itself is there.
pub fn has_firmware(capabilities: &str, firmware: Firmware) -> Result<bool> {
    if firmware == Firmware::Bios {
        return Ok(true);
    }
    let document = xml::parse_xml(capabilities, "its domains")?;
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
fn base_label(capabilities: &str) -> Result<Option<(u32, u32)>> {
    let document = xml::parse_xml(capabilities, "its host")?;
    Ok(dac_label(&document))
}

fn dac_label(document: &roxmltree::Document<'_>) -> Option<(u32, u32)> {
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
        assert_eq!(base_label(xml).unwrap(), Some((64055, 994)));
        let none = base_label("<capabilities><host/></capabilities>");
        assert_eq!(none.unwrap(), None);
        assert!(base_label("no & answer").is_err());
    }

    #[test]
    fn foreign_things_are_named_with_the_remedy() {
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
