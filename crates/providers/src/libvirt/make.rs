//! From nothing, from what an interrupted launch left, or from a disk whose domain somebody undefined, to a node that boots.
//!
//! A disk that is there is never removed: whether it was ever booted or not, a domain over it is the node. The domain comes last:
//! if it is there, all is.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Node;

use super::Libvirt;
use super::host::Host;
use super::image;
use super::names::VolumeRole;
use super::relay::open_output_files;
use super::sources::Shared;
use super::virsh::{Thing, XML, is_refusal};
use super::xml::domain::NewDomain;
use super::xml::volume::{self, Volume};
use crate::Made;
use crate::finding::Unfit;
use crate::vm::{self, fw_cfg};

/// A qcow2 file's header, tables and first cluster take more: what is shorter holds nothing, it was cut off at its beginning.
const SHORTEST_DISK: u64 = 64 << 10;

/// A node in the making.
#[derive(Debug)]
struct Making<'a> {
    provider: &'a Libvirt,
    host: &'a Host,
    node: &'a Node,
    /// Names and paths of the pool's volumes before anything was made.
    listed: Vec<(String, String)>,
    /// Volumes that this very call has made: without a node nothing was ever in them.
    made: Vec<String>,
    /// It has made the domain too.
    defined: bool,
}

/// Makes a node that has no domain, and starts it; the domain that was made comes back too.
pub fn make_node(
    provider: &Libvirt,
    host: &Host,
    node: &Node,
    ignition: &Path,
) -> Result<(Made, NewDomain)> {
    let warning = fw_cfg::check_size(ignition)?;
    // From here until a domain names them nobody's tidying takes away what the node is made from.
    let _lock = image::lock_shared(provider)?;
    let mut making = Making {
        provider,
        host,
        node,
        listed: host.pool.volumes()?,
        made: Vec::new(),
        defined: false,
    };
    // Its domain was not listed: seen twice, before anything of a node that may run is touched.
    host.assert_no_own_domain(&node.name)?;
    let kept = making.kept_disk(ignition)?;
    let was_there = kept.is_some();
    match making
        .build(kept, ignition)
        .and_then(|new| making.first_start(new))
    {
        Ok(domain) if was_there => Ok((Made::PoweredOn, domain)),
        Ok(domain) => Ok((Made::New { warning }, domain)),
        Err(error) => {
            // Of a call whose end is unknown nothing is removed: the next launch goes on with it.
            if is_refusal(&error) {
                making.remove_made();
            }
            Err(error)
        }
    }
}

impl Making<'_> {
    fn volume_name(&self, part: VolumeRole) -> String {
        self.host.names.volume(&self.node.name, part)
    }

    fn is_listed(&self, name: &str) -> bool {
        self.listed.iter().any(|(listed, _)| listed == name)
    }

    /// The node's disk, if it has one already. `ignition`: what a machine with another disk would be made from.
    fn kept_disk(&self, ignition: &Path) -> Result<Option<Volume>> {
        let name = self.volume_name(VolumeRole::Disk);
        if !self.is_listed(&name) {
            return Ok(None);
        }
        let Some(disk) = self.host.pool.volume(&name)? else {
            return Ok(None);
        };
        if disk.physical < SHORTEST_DISK {
            self.host.pool.delete(&name)?;
            return Ok(None);
        }
        if disk.format == "qcow2" && disk.backing.is_some() {
            return Ok(Some(disk));
        }
        let (node, uri) = (&self.node.name, self.host.virsh.uri());
        let message = format!(
            "{node} has no domain at {uri}, but a disk, {name}, that is not an overlay of an image ({}); it stays untouched",
            disk.format
        );
        let remedy = format!(
            "if nothing on it is needed, `ha-host remake {} {node} --ignition {}` removes it and makes the node anew",
            self.provider.names.cluster(),
            ignition.display()
        );
        Err(Unfit::new(message, remedy).into())
    }

    /// All volumes of the node, and the domain that they make.
    fn build(&mut self, kept: Option<Volume>, ignition: &Path) -> Result<NewDomain> {
        let (provider, host, node) = (self.provider, self.host, self.node);
        let (vm, names) = (&provider.options.vm, &host.names);
        let kvm = host.accel(vm)?.works;
        let paths: BTreeSet<&str> = self.listed.iter().map(|(_, path)| path.as_str()).collect();
        let shared = provider.share_unless_among(host, &paths)?;
        let owner = host.owner()?;
        let disk = match kept {
            Some(disk) => disk,
            None => self.make_disk(&shared, owner)?,
        };
        let config = self.upload_config(ignition, owner)?;
        let (events, console) = if provider.says_into_our_files(host) {
            (
                utf8_path(&provider.events_file(node))?,
                utf8_path(&provider.console_file(node))?,
            )
        } else {
            self.output_volumes()?
        };
        Ok(NewDomain {
            name: names.domain(&node.name),
            mark: host.mark(&node.name),
            kvm,
            arch: vm.arch,
            cpu: vm::cpu_model(vm, kvm).to_owned(),
            cpus: vm.cpus,
            memory: vm.memory,
            firmware: vm.firmware,
            boot: shared.boot,
            ignition: config.path,
            disk: disk.path,
            assets: shared.assets,
            plug: provider.wiring.plug(host),
            macs: node
                .mac
                .iter()
                .copied()
                .chain(node.interfaces.iter().map(|nic| nic.mac))
                .collect(),
            mtu: provider.network.mtu,
            events,
            console,
        })
    }

    fn make_disk(&mut self, shared: &Shared, owner: Option<(u32, u32)>) -> Result<Volume> {
        let name = self.volume_name(VolumeRole::Disk);
        let disk = self.host.pool.create(&volume::NewVolume {
            name: &name,
            capacity: self.provider.options.vm.disk,
            format: "qcow2",
            mode: 0o600,
            owner,
            backing: Some((&shared.base, shared.format)),
        })?;
        self.made.push(name);
        Ok(disk)
    }

    /// What an earlier attempt left may be cut short, and its identity may be over. A disk that was booted asks for none.
    fn upload_config(&mut self, ignition: &Path, owner: Option<(u32, u32)>) -> Result<Volume> {
        let name = self.volume_name(VolumeRole::Ignition);
        if self.is_listed(&name) {
            self.host.pool.delete(&name)?;
        }
        let new = volume::NewVolume {
            name: &name,
            capacity: 0,
            format: "raw",
            mode: 0o600,
            owner,
            backing: None,
        };
        let config = self.host.pool.upload(&new, ignition)?;
        self.made.push(name);
        Ok(config)
    }

    /// Paths of volumes that grow with what the node says: its events, its console.
    fn output_volumes(&mut self) -> Result<(String, String)> {
        let events = self.output_volume(VolumeRole::Events)?;
        Ok((events, self.output_volume(VolumeRole::Console)?))
    }

    fn output_volume(&mut self, part: VolumeRole) -> Result<String> {
        let name = self.volume_name(part);
        if let Some((_, path)) = self.listed.iter().find(|(listed, _)| *listed == name) {
            return Ok(path.clone());
        }
        let new = volume::NewVolume {
            name: &name,
            capacity: 0,
            format: "raw",
            mode: 0o600,
            owner: None,
            backing: None,
        };
        let path = self.host.pool.create(&new)?.path;
        self.made.push(name);
        Ok(path)
    }

    fn first_start(&mut self, domain: NewDomain) -> Result<NewDomain> {
        open_output_files(self.provider, self.node)?;
        self.define(&domain)?;
        let Err(error) = self.start(&domain) else {
            return Ok(domain);
        };
        if !is_refusal(&error) || !self.provider.says_into_our_files(self.host) {
            return Err(error);
        }
        // SELinux or AppArmor may keep the daemon out of our directory: into the pool it may write. If that was not the fault,
        // the second attempt says the same.
        self.host.undefine(&domain.name)?;
        let (events, console) = self.output_volumes()?;
        let domain = NewDomain {
            events,
            console,
            ..domain
        };
        self.define(&domain)?;
        self.start(&domain)?;
        Ok(domain)
    }

    fn define(&mut self, domain: &NewDomain) -> Result<()> {
        let virsh = &self.host.virsh;
        virsh.feed(&["define", XML], &domain.to_string())?;
        self.defined = true;
        if self.provider.options.autostart {
            virsh.run(&["autostart", &domain.name])?;
        }
        Ok(())
    }

    fn start(&self, domain: &NewDomain) -> Result<()> {
        let thing = Thing::Domain(&domain.name);
        self.host.virsh.start(thing, &["start", &domain.name])
    }

    /// Removes what this call has made of a node that never ran, so that the next launch makes it from a fresh config. Best
    /// effort: that one would go on with whatever is left.
    fn remove_made(&self) {
        let name = self.host.names.domain(&self.node.name);
        let gone = match self.defined {
            true => self.host.undefine(&name),
            false => Ok(()),
        };
        let gone = gone.and_then(|()| self.host.assert_no_own_domain(&self.node.name));
        if gone.is_ok() {
            for name in &self.made {
                let _ = self.host.pool.delete(name);
            }
        }
    }
}

fn utf8_path(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not valid UTF-8, which libvirt needs", path.display()))?;
    Ok(text.to_owned())
}
