//! A storage pool at one host, and the volumes in it. Files reach a host in no other way, so that a remote one is like ours.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::BinaryBytes;

use super::virsh::{Thing, Virsh, XML};
use super::xml::volume::{NewVolume, Volume};
use super::xml::{self, XmlEscaped};
use crate::finding::Unfit;

/// Where a pool of our own lies for the system's daemon: the one directory that SELinux and AppArmor expect images in.
const SYSTEM_DIR: &str = "/var/lib/libvirt/images";
/// The slowest line that an upload is waited for, in bytes a second.
const SLOWEST: u64 = 512 * 1024;
/// Kinds of pools whose volumes are files.
const FILES: [&str; 3] = ["dir", "fs", "netfs"];

/// A pool, which may not exist yet.
#[derive(Debug)]
pub struct Pool {
    virsh: Virsh,
    name: String,
    /// libvirt lists a pool anew after every upload: one at a time keeps lists and uploads apart.
    uploads: Mutex<()>,
}

/// What there is of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// It is started.
    pub active: bool,
    /// `dir`, `logical`, ...
    pub kind: String,
    /// Free bytes; 0 unless it is active.
    pub available: u64,
}

impl Pool {
    /// Looks at nothing yet.
    pub fn new(virsh: &Virsh, name: &str) -> Self {
        Self {
            virsh: virsh.clone(),
            name: name.into(),
            uploads: Mutex::new(()),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is such a pool.
    pub fn exists(&self) -> Result<bool> {
        self.virsh.exists(self.thing())
    }

    fn thing(&self) -> Thing<'_> {
        Thing::Pool(&self.name)
    }

    /// What is there; none: no such pool.
    pub fn look(&self) -> Result<Option<Seen>> {
        let Some(xml) = self.virsh.dump(self.thing())? else {
            return Ok(None);
        };
        let active = self.virsh.is_active(self.thing())?;
        self.read_seen(&xml, active).map(Some)
    }

    /// What its XML tells.
    pub fn read_seen(&self, xml: &str, active: bool) -> Result<Seen> {
        let document = xml::parse_xml(xml, &format!("pool {}", self.name))?;
        let kind = document.root_element().attribute("type");
        let available =
            xml::element_text(&document, "available").and_then(|text| text.parse().ok());
        Ok(Seen {
            active,
            kind: kind
                .with_context(|| format!("libvirt's XML of pool {} has no type", self.name))?
                .to_owned(),
            available: available.unwrap_or(0),
        })
    }

    /// What keeps images from it; none: fine.
    pub fn unfit(&self, seen: &Seen) -> Option<Unfit> {
        (!FILES.contains(&seen.kind.as_str())).then(|| {
            Unfit::new(
                format!(
                    "libvirt's pool {} is of type {}, whose volumes are not files",
                    self.name, seen.kind
                ),
                "name another with `pool: NAME` (one that is not there is made)",
            )
        })
    }

    /// Makes and starts it, whatever of that is needed. `ours`: we made it, perhaps by half.
    pub fn ensure(&self, ours: bool) -> Result<()> {
        if self.virsh.is_active(self.thing())? {
            return Ok(());
        }
        match self.look()? {
            None => self.define()?,
            Some(seen) => {
                if let Some(unfit) = self.unfit(&seen) {
                    return Err(unfit.into());
                }
                if !ours {
                    return self.start();
                }
            }
        }
        // Makes the directory if it is missing, never empties one.
        self.virsh.run(&["pool-build", &self.name])?;
        self.start()?;
        self.virsh.run(&["pool-autostart", &self.name]).map(drop)
    }

    fn start(&self) -> Result<()> {
        let start = ["pool-start", &self.name];
        self.virsh.start(self.thing(), &start)
    }

    fn define(&self) -> Result<()> {
        // A directory of its own: libvirt refuses two pools in one, and the usual `default` has the one above.
        let dir = if self.virsh.is_session() {
            let home = std::env::var("HOME").context("HOME is not set")?;
            format!("{home}/.local/share/libvirt/images/{}", self.name)
        } else {
            format!("{SYSTEM_DIR}/{}", self.name)
        };
        let xml = format!(
            "<pool type='dir'>\n  <name>{}</name>\n  <target><path>{}</path></target>\n</pool>\n",
            XmlEscaped(&self.name),
            XmlEscaped(&dir)
        );
        self.virsh.feed(&["pool-define", XML], &xml).map(drop)
    }

    /// Forgets a pool that we made, if nothing is in it. Its directory stays.
    pub fn drop_if_empty(&self) -> Result<()> {
        // One empty list may be a lost answer.
        if !self.volumes()?.is_empty() || !self.volumes()?.is_empty() {
            return Ok(());
        }
        if self.virsh.is_active(self.thing())? {
            self.virsh.run(&["pool-destroy", &self.name])?;
        }
        let undefine = ["pool-undefine", &self.name];
        self.virsh.remove(self.thing(), &undefine)
    }

    /// Name and path of every volume of the pool, which must be started.
    pub fn volumes(&self) -> Result<Vec<(String, String)>> {
        self.virsh.volumes(&self.name)
    }

    pub fn volume(&self, name: &str) -> Result<Option<Volume>> {
        let xml = self.virsh.dump(Thing::Volume(&self.name, name))?;
        xml.map(|xml| Volume::read(&xml, name)).transpose()
    }

    /// These volumes, which a list has just named; those that went since are left out.
    pub fn volumes_listed<'a>(&self, names: &[&'a str]) -> Result<Vec<(&'a str, Volume)>> {
        let things: Vec<_> = names
            .iter()
            .map(|name| Thing::Volume(&self.name, name))
            .collect();
        let shown = self.virsh.dump_all_listed(&things)?;
        let there = names.iter().zip(shown);
        let there = there.filter_map(|(name, xml)| Some((*name, xml?)));
        there
            .map(|(name, xml)| Ok((name, Volume::read(&xml, name)?)))
            .collect()
    }

    /// Makes a volume, which must not exist.
    pub fn create(&self, new: &NewVolume<'_>) -> Result<Volume> {
        self.virsh
            .feed(&["vol-create", &self.name, XML], &new.to_string())?;
        let thing = Thing::Volume(&self.name, new.name);
        let xml = self.virsh.dump_listed(thing)?.ok_or_else(|| {
            anyhow!(
                "{}: volume {} vanished as soon as it was made; launch again",
                self.virsh.uri(),
                new.name
            )
        })?;
        Volume::read(&xml, new.name)
    }

    /// Makes a volume with a file's content. Cut short, it leaves a shorter one; failing, none.
    pub fn upload(&self, new: &NewVolume<'_>, file: &Path) -> Result<Volume> {
        let _one = self
            .uploads
            .lock()
            .map_err(|_| anyhow!("another upload to {} has panicked", self.virsh.uri()))?;
        let size = file
            .metadata()
            .with_context(|| format!("cannot read {}", file.display()))?
            .len();
        self.has_room(size, file)?;
        self.create(new)?;
        let sent = self
            .send(new.name, file, size)
            .with_context(|| format!("cannot upload {}", file.display()));
        match sent {
            Ok(volume) => Ok(volume),
            Err(error) => {
                // Best effort: should the host be gone, the next launch sees that the volume is too short.
                let _ = self.delete(new.name);
                // A full file system has many ways to say so: it is asked itself.
                self.has_room(size, file)?;
                Err(error)
            }
        }
    }

    /// Asked before every upload: libvirtd 11.3 dies of one that meets a full file system.
    fn has_room(&self, size: u64, file: &Path) -> Result<()> {
        // libvirt counts anew only then; while something else is uploaded it refuses, and the old count must do.
        let _ = self.virsh.run(&["pool-refresh", &self.name]);
        let free = self.look()?.map_or(0, |seen| seen.available);
        if free < size {
            let message = format!(
                "libvirt's pool {} at {} has {} free, {} needs {}",
                self.name,
                self.virsh.uri(),
                BinaryBytes(free),
                file.display(),
                BinaryBytes(size)
            );
            let remedy = "make room there or name another `pool`, then launch again";
            return Err(Unfit::new(message, remedy).into());
        }
        Ok(())
    }

    fn send(&self, name: &str, file: &Path, size: u64) -> Result<Volume> {
        let path = file
            .to_str()
            .with_context(|| format!("{} is not valid UTF-8", file.display()))?;
        let patience = Duration::from_secs(60 + size / SLOWEST);
        self.virsh.run_within(
            &[
                "vol-upload",
                "--pool",
                &self.name,
                "--vol",
                name,
                "--file",
                path,
            ],
            patience,
        )?;
        let xml = self.virsh.dump_listed(Thing::Volume(&self.name, name))?;
        let xml = xml.with_context(|| format!("volume {name} has vanished"))?;
        let volume = Volume::read(&xml, name)?;
        if volume.physical != size {
            bail!(
                "volume {name} at {} holds {} bytes of {size}; launch again",
                self.virsh.uri(),
                volume.physical
            );
        }
        Ok(volume)
    }

    /// What a volume holds from `offset` on.
    pub fn read(&self, name: &str, offset: u64, to: &Path) -> Result<()> {
        let (offset, to) = (
            offset.to_string(),
            to.to_str()
                .context("the state directory's path is not valid UTF-8")?,
        );
        self.virsh
            .query(&[
                "vol-download",
                "--pool",
                &self.name,
                "--vol",
                name,
                "--file",
                to,
                "--offset",
                &offset,
            ])
            .map(drop)
    }

    /// Removes a volume; fine if it is not there.
    pub fn delete(&self, name: &str) -> Result<()> {
        let delete = ["vol-delete", "--pool", &self.name, name];
        self.virsh.remove(Thing::Volume(&self.name, name), &delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::virsh::PATIENCE;

    #[test]
    fn only_pools_of_files() {
        let pool = Pool::new(&Virsh::new("qemu:///system", PATIENCE), "vg0");
        let seen = |kind: &str| Seen {
            active: true,
            kind: kind.into(),
            available: 1,
        };
        assert_eq!(pool.unfit(&seen("dir")), None);
        assert!(
            pool.unfit(&seen("logical"))
                .unwrap()
                .message
                .contains("pool vg0 is of type logical")
        );
    }
}
