//! Files below a root that tests replace. Writes are atomic and carry an explicit mode.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;

/// How the temporary files begin that a write goes by.
pub const TEMPORARY: &str = ".ha-agent.";

/// Files relative to a root; absolute names are taken below it.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// `/` on a node, a temporary directory in tests.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a name lies in the real file system.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        let name = name.as_ref();
        self.root.join(name.strip_prefix("/").unwrap_or(name))
    }

    /// The text of a file; none if it is not there. Bytes that are not UTF-8 are replaced.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        Ok(self
            .bytes(name)?
            .map(|b| String::from_utf8_lossy(&b).into_owned()))
    }

    /// Writes a file by way of a temporary one in the same directory (made if missing, 0755), with this mode, synced.
    /// Says whether the content differed from what was there.
    pub fn write(&self, name: &str, mode: u32, content: &[u8]) -> Result<bool> {
        let path = self.path(name);
        if self.bytes(name)?.is_some_and(|old| old == content) {
            set_mode(&path, mode)?;
            return Ok(false);
        }
        write_atomically(&path, mode, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(true)
    }

    /// Writes into a file that exists already (a kernel setting, a file that another program watches), or makes it
    /// 0644: one write of the whole content, no rename.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        file.and_then(|mut f| f.write_all(content))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// As [`Self::put`], but only if the file is not there yet; its directory is made if missing.
    pub fn put_new(&self, name: &str, content: &[u8]) -> Result<()> {
        if self.exists(name) {
            return Ok(());
        }
        if let Some((dir, _)) = name.rsplit_once('/') {
            self.make_dir(dir)?;
        }
        self.put(name, content)
    }

    /// Overwrites a secret, then removes it; fine if it is not there.
    pub fn wipe(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        let what = || format!("cannot wipe {}", path.display());
        let meta = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.with_context(what)?,
        };
        if meta.is_file() {
            overwrite_with_zeros(&path, meta.len()).with_context(what)?;
        }
        fs::remove_file(&path).with_context(what)?;
        sync_parent(&path).with_context(what)
    }

    /// Removes a file; fine if it is not there.
    pub fn remove_file(&self, name: &str) -> Result<()> {
        self.remove(name, |path| fs::remove_file(path))
    }

    /// Removes a directory with all that is in it; fine if it is not there. Links in the names above it are followed.
    pub fn remove_dir(&self, name: &str) -> Result<()> {
        self.remove(name, |path| fs::remove_dir_all(path))
    }

    fn remove(&self, name: &str, how: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
        let path = self.path(name);
        match how(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            other => other.with_context(|| format!("cannot remove {}", path.display())),
        }
    }

    /// Makes a directory with those above it; fine if it is there.
    pub fn make_dir(&self, name: &str) -> Result<()> {
        fs::create_dir_all(self.path(name))
            .with_context(|| format!("cannot make the directory {name}"))
    }

    /// Opens a file for reading.
    pub fn open(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        File::open(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Whether a kernel setting may be written. Nothing is; one that is not there comes with its feature.
    pub fn is_writable_or_missing(&self, name: &str) -> bool {
        let path = self.path(name);
        !path.exists() || OpenOptions::new().write(true).open(path).is_ok()
    }

    /// Appends to a file, made 0644 if missing. Above `limit` bytes it is begun anew; one old one is kept as `NAME.1`.
    pub fn append(&self, name: &str, content: &[u8], limit: u64) -> std::io::Result<()> {
        let path = self.path(name);
        if fs::metadata(&path).is_ok_and(|m| m.len() > limit) {
            fs::rename(&path, self.path(format!("{name}.1")))?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o644).open(&path)?;
        file.write_all(content)
    }

    /// Opens an existing file, fifo or device for appending, such that no write ever blocks; never made, or a missing port
    /// would become a file in /dev.
    pub fn open_nonblocking(&self, name: &str) -> std::io::Result<File> {
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let mut options = OpenOptions::new();
        options
            .append(true)
            .custom_flags(flags)
            .open(self.path(name))
    }

    /// The names in a directory, sorted; none if it is not there.
    pub fn names(&self, name: &str) -> Result<Vec<String>> {
        let path = self.path(name);
        let entries = match fs::read_dir(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let mut names: Vec<_> = entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Where a symbolic link points; none: it is not there, cannot be read or is something else.
    pub fn link_target(&self, name: &str) -> Option<PathBuf> {
        fs::read_link(self.path(name)).ok()
    }

    /// True if something has this name.
    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// The text of a file that a person named, wherever the program runs.
pub fn read_named_file(path: &Path) -> std::io::Result<String> {
    fs::read_to_string(path)
}

fn write_atomically(path: &Path, mode: u32, content: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(dir)?;
    let mut temp = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(dir)?;
    temp.write_all(content)?;
    temp.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|e| e.error)?;
    sync_parent(path)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn overwrite_with_zeros(path: &Path, len: u64) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), len), &mut file)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_write_says_whether_it_changed_anything_and_sets_the_mode() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        assert!(files.write("/etc/x/y.conf", 0o600, b"one").unwrap());
        assert_eq!(mode_of(&root.path().join("etc/x/y.conf")), 0o600);
        assert!(!files.write("/etc/x/y.conf", 0o644, b"one").unwrap());
        assert_eq!(mode_of(&root.path().join("etc/x/y.conf")), 0o644);
        assert!(files.write("/etc/x/y.conf", 0o644, b"two").unwrap());
        assert_eq!(files.read("/etc/x/y.conf").unwrap().as_deref(), Some("two"));
        assert_eq!(
            fs::read_dir(root.path().join("etc/x")).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        assert_eq!(files.read("/nothing/here").unwrap(), None);
        files.wipe("/nothing/here").unwrap();
        files.remove_file("/nothing/here").unwrap();
        files.remove_dir("/nothing/here").unwrap();
        assert!(!files.exists("/nothing"));
    }

    #[test]
    fn wiping_overwrites_every_link_to_the_secret() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        files.write("/key", 0o600, b"secret").unwrap();
        fs::hard_link(files.path("/key"), files.path("/other")).unwrap();
        files.wipe("/key").unwrap();
        assert!(!files.exists("/key"));
        assert_eq!(
            files.read("/other").unwrap().as_deref(),
            Some("\0\0\0\0\0\0")
        );
    }

    #[test]
    fn a_directory_behind_a_link_is_removed_and_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        files.write("/disk/member/wal/0", 0o600, b"x").unwrap();
        files.write("/disk/y", 0o600, b"x").unwrap();
        std::os::unix::fs::symlink(files.path("/disk"), files.path("/etcd")).unwrap();
        files.remove_dir("/etcd/member").unwrap();
        assert_eq!(files.names("/disk").unwrap(), ["y"]);
        files.remove_file("/etcd/y").unwrap();
        assert_eq!(files.names("/disk").unwrap(), [""; 0]);
        assert!(files.path("/etcd").is_symlink());
    }

    #[test]
    fn putting_keeps_the_file_that_others_watch() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        files.put("/health", b"0\n").unwrap();
        let before = fs::metadata(files.path("/health")).unwrap().ino();
        files.put("/health", b"-255\n").unwrap();
        assert_eq!(fs::metadata(files.path("/health")).unwrap().ino(), before);
        assert_eq!(files.read("/health").unwrap().as_deref(), Some("-255\n"));
    }
}
