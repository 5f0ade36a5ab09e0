//! A node's root directory as the host may write into it: every path is resolved as the node would, so that a link to /x leads
//! to the node's /x and never to the host's.
//!
//! Looked at: cap-std (eight more crates, and it refuses absolute links instead of following them inside) and pathrs (openat2,
//! too, with an emulation for kernels before 5.6). nix, which is here anyway, has the call itself.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

#[cfg(test)]
mod tests;

/// The kernel gives up on a `..` in a link whenever something on this machine is renamed or mounted meanwhile.
const TRIES: u32 = 1000;

/// The root directory. Paths in it are written without a slash before them.
#[derive(Debug)]
pub struct NodeRoot {
    path: PathBuf,
    dir: OwnedFd,
}

impl NodeRoot {
    /// The root that is mounted or lies at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            path: path.into(),
            dir: dir.into(),
        })
    }

    /// Makes a directory with its parents, 0755.
    pub fn make_dirs(&self, path: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        for dir in ends.chain([path.len()]).map(|end| &path[..end]) {
            let made = self.in_parent(dir, |parent, name| {
                mkdirat(parent, name, Mode::from_bits_truncate(0o755))
            });
            match made {
                Ok(()) => {}
                Err(Errno::EEXIST) if self.find_dir(dir).is_ok() => {}
                Err(Errno::EEXIST) => bail!(
                    "{} of the node is neither a directory nor a link to one of the node's; mend the image or `ignition.merge`",
                    self.path.join(dir).display()
                ),
                Err(error) => return self.failed(Err(error), "make the directory", dir),
            }
        }
        Ok(())
    }

    /// Whether there is anything of this name, be it a link that leads nowhere.
    pub fn exists(&self, path: &str) -> Result<bool> {
        let found = self.in_parent(path, |parent, name| {
            fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        });
        match found {
            Err(Errno::ENOENT) => Ok(false),
            found => self.failed(found.map(|_| true), "look at", path),
        }
    }

    /// Writes a file that is not there yet, 0644.
    pub fn write_new(&self, path: &str, text: &str) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let opened = self.in_parent(path, |parent, name| {
            openat(parent, name, flags, Mode::from_bits_truncate(0o644))
        });
        let file = File::from(self.failed(opened, "make", path)?);
        (&file)
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.join(path).display()))
    }

    /// Makes a link that leads to `target` in the node.
    pub fn make_link(&self, path: &str, target: &str) -> Result<()> {
        let made = self.in_parent(path, |parent, name| symlinkat(target, parent, name));
        self.failed(made, "make the link", path)
    }

    /// Removes a file or link; fine if there is none.
    pub fn remove_file(&self, path: &str) -> Result<()> {
        let removed = self.in_parent(path, |parent, name| {
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)
        });
        match removed {
            Err(Errno::ENOENT) => Ok(()),
            removed => self.failed(removed, "remove", path),
        }
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: &str) -> Result<()> {
        let removed = self.in_parent(path, |parent, name| {
            unlinkat(parent, name, UnlinkatFlags::RemoveDir)
        });
        self.failed(removed, "remove the directory", path)
    }

    /// Does something with the last name of a path, in the directory that holds it.
    fn in_parent<T>(
        &self,
        path: &str,
        act: impl FnOnce(OwnedFd, &str) -> nix::Result<T>,
    ) -> nix::Result<T> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        act(self.find_dir(parent)?, name)
    }

    /// A directory, links followed as the node does.
    fn find_dir(&self, path: &str) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let mut attempts = (0..TRIES).map(|_| openat2(&self.dir, path, how));
        let found = attempts.find(|found| !matches!(found, Err(Errno::EAGAIN)));
        found.unwrap_or(Err(Errno::EAGAIN))
    }

    fn failed<T>(&self, done: nix::Result<T>, what: &str, path: &str) -> Result<T> {
        done.with_context(|| format!("cannot {what} {}", self.path.join(path).display()))
    }
}
