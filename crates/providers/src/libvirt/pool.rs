//! A storage pool at one host, and the volumes in it. Files reach a host in no other way, so that a remote one is like ours.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::BinaryBytes;

use super::virsh::{Thing, Virsh, XML};
use super::xml::volume::{New, Volume};
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

    /// What is there; none: no such pool.
    pub fn look(&self) -> Result<Option<Seen>> {
        let thing = Thing::Pool(&self.name);
        let Some(xml) = self.virsh.find(thing, &["pool-dumpxml", &self.name])? else {
            return Ok(None);
        };
        let document = xml::parse(&xml, &format!("pool {}", self.name))?;
        let active = self.virsh.is_active(thing)?;
        let available = xml::text(&document, "available")
            .and_then(|t| t.parse().ok())
            .unwrap_or(0);
        let kind = document
            .root_element()
            .attribute("type")
            .unwrap_or_default()
            .to_owned();
        Ok(Some(Seen {
            active,
            kind,
            available,
        }))
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

    /// Makes and starts it, whatever of that is needed.
    pub fn ensure(&self) -> Result<()> {
        match self.look()? {
            None => self.make(),
            Some(seen) => {
                if let Some(unfit) = self.unfit(&seen) {
                    return Err(unfit.into());
                }
                if seen.active {
                    return Ok(());
                }
                self.virsh.run(&["pool-start", &self.name]).map(drop)
            }
        }
    }

    fn make(&self) -> Result<()> {
        let dir = if self.virsh.is_session() {
            let home = std::env::var("HOME").context("HOME is not set")?;
            format!("{home}/.local/share/libvirt/images")
        } else {
            SYSTEM_DIR.to_owned()
        };
        let xml = format!(
            "<pool type='dir'>\n  <name>{}</name>\n  <target><path>{}</path></target>\n</pool>\n",
            XmlEscaped(&self.name),
            XmlEscaped(&dir)
        );
        self.virsh.feed(&["pool-define", XML], &xml)?;
        // Makes the directory if it is missing, never empties one.
        self.virsh.run(&["pool-build", &self.name])?;
        self.virsh.run(&["pool-start", &self.name])?;
        self.virsh.run(&["pool-autostart", &self.name]).map(drop)
    }

    /// Forgets a pool that we made, if nothing is in it. Its directory stays.
    pub fn drop_if_empty(&self) -> Result<()> {
        if !self.volumes()?.is_empty() {
            return Ok(());
        }
        if self.look()?.is_some_and(|seen| seen.active) {
            self.virsh.run(&["pool-destroy", &self.name])?;
        }
        let undefine = ["pool-undefine", &self.name];
        self.virsh
            .find(Thing::Pool(&self.name), &undefine)
            .map(drop)
    }

    /// Name and path of every volume; none if there is no pool.
    pub fn volumes(&self) -> Result<Vec<(String, String)>> {
        self.virsh.volumes(&self.name)
    }

    pub fn volume(&self, name: &str) -> Result<Option<Volume>> {
        let dump = ["vol-dumpxml", "--pool", &self.name, name];
        let xml = self.virsh.find(Thing::Volume(&self.name, name), &dump)?;
        xml.map(|xml| Volume::read(&xml, name)).transpose()
    }

    /// Makes a volume, which must not exist.
    pub fn create(&self, new: &New<'_>) -> Result<Volume> {
        self.virsh
            .feed(&["vol-create", &self.name, XML], &new.to_string())?;
        self.volume(new.name)?.ok_or_else(|| {
            anyhow!(
                "{}: volume {} vanished as soon as it was made; launch again",
                self.virsh.uri(),
                new.name
            )
        })
    }

    /// Makes a volume with a file's content. Cut short, it leaves a shorter one; failing, none.
    pub fn upload(&self, new: &New<'_>, file: &Path) -> Result<Volume> {
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
        let volume = self
            .volume(name)?
            .with_context(|| format!("volume {name} has vanished"))?;
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
            .run(&[
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
        self.virsh
            .find(Thing::Volume(&self.name, name), &delete)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pools_of_files() {
        let pool = Pool::new(&Virsh::new("qemu:///system"), "vg0");
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
