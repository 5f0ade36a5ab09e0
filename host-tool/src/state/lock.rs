//! One ha-host at a time per cluster.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use ha_host_base::files::LockedFile;

/// The right to change a cluster's state; ends with the process at the latest.
#[derive(Debug)]
pub struct Lock {
    _file: LockedFile,
}

/// How often a lock file that was removed under our hands (`destroy`) is opened anew.
const TRIES: u32 = 10;

/// The longest process number there is has ten digits.
const PID_BYTES: u64 = 10;

impl Lock {
    /// Takes the lock, or says who holds it.
    pub fn take(path: &Path) -> Result<Self> {
        for _ in 0..TRIES {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(lock);
            }
        }
        bail!("cannot lock {}: it keeps changing", path.display())
    }

    /// None: the file that was locked is no longer the one at `path`.
    fn attempt(path: &Path) -> Result<Option<Self>> {
        let mut file = open_lock_file(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(held_by(file, path)),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let same = std::fs::metadata(path)
            .is_ok_and(|m| file.metadata().is_ok_and(|f| f.ino() == m.ino()));
        if !same {
            return Ok(None);
        }
        refuse_foreign_file(&mut file, path)?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(Some(Self {
            _file: LockedFile::new(file),
        }))
    }
}

/// Never through a link: as root that would be anybody's way to any file.
fn open_lock_file(path: &Path) -> Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(nix::libc::ELOOP) => not_a_lock(path, "it is a link"),
        _ => anyhow::Error::new(error).context(format!("cannot open {}", path.display())),
    })
}

/// What is written over must be a lock: a file of no other name that holds nothing, or a process number.
fn refuse_foreign_file(file: &mut File, path: &Path) -> Result<()> {
    let meta = file.metadata()?;
    if !meta.is_file() || meta.nlink() != 1 {
        return Err(not_a_lock(path, "it is not a file of its own"));
    }
    let mut text = Vec::new();
    file.rewind()?;
    file.take(PID_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > PID_BYTES || !text.iter().all(u8::is_ascii_digit) {
        return Err(not_a_lock(path, "something else is written in it"));
    }
    Ok(())
}

fn not_a_lock(path: &Path, why: &str) -> anyhow::Error {
    anyhow!(
        "{} is not ha-host's lock: {why}. It was not touched; move it away and try again",
        path.display()
    )
}

fn held_by(mut file: File, path: &Path) -> String {
    let mut pid = String::new();
    let who = match file.read_to_string(&mut pid) {
        Ok(n) if n > 0 => format!(
            "another ha-host (pid {}) is at work on this cluster",
            pid.trim()
        ),
        _ => "another ha-host is at work on this cluster".to_owned(),
    };
    format!(
        "{who}: wait for it to end, or stop it, and try again ({})",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_once_and_again_when_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path).unwrap();
        let me = std::process::id().to_string();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), me);
        let error = Lock::take(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {me})")), "{error}");
        drop(held);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn nothing_but_a_lock_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("lock"));
        let refused = |why: &str| {
            let error = Lock::take(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
            assert_eq!(
                std::fs::read_to_string(&victim).unwrap(),
                "root:*:1::::::\n"
            );
            std::fs::remove_file(&path).unwrap();
        };
        std::fs::write(&victim, "root:*:1::::::\n").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        refused("it is a link");
        std::fs::hard_link(&victim, &path).unwrap();
        refused("not a file of its own");
        std::fs::copy(&victim, &path).unwrap();
        refused("something else is written in it");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused("not a file of its own");
    }
}
