//! Files that survive a power cut: either as they were or as they should be, never between.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::{Builder, NamedTempFile, TempDir};

/// Mode of every directory that this program makes.
const DIR_MODE: u32 = 0o700;
/// Mode of every file that this program makes.
const FILE_MODE: u32 = 0o600;

/// Makes a directory and what is missing above it, 0700.
pub fn make_dir(path: &Path) -> Result<()> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Removes a directory with all in it; fine if it is not there.
pub fn remove_dir(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Reads a file; none if there is none.
pub fn read_optional(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The end of a file that may be of any size, at most so many bytes, from the beginning of a line; none if there is none.
pub fn read_tail(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    match read_last_bytes(path, most) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn read_last_bytes(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(most);
    // From one byte before, to see whether a line begins there.
    file.seek(SeekFrom::Start(skipped.saturating_sub(1)))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if skipped > 0 {
        let torn = bytes.iter().position(|b| *b == b'\n');
        bytes.drain(..torn.map_or(bytes.len(), |end| end + 1));
    }
    Ok(bytes)
}

/// Writes or replaces a file, 0600.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_file(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a new file, 0600, whole or not at all; an error if there is one already, which stays as it is.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let (file, dir) = write_scratch_file(path, bytes)?;
        file.persist_noclobber(path).map_err(|e| e.error)?;
        sync_dir(dir)
    };
    write().with_context(|| format!("cannot make {}", path.display()))
}

fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let (file, dir) = write_scratch_file(path, bytes)?;
    crate::failpoint::hit("write");
    file.persist(path).map_err(|e| e.error)?;
    sync_dir(dir)
}

/// The bytes on the disk, under a name of their own in the directory that the path is in.
fn write_scratch_file<'p>(path: &'p Path, bytes: &[u8]) -> Result<(NamedTempFile, &'p Path)> {
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    // tempfile makes its files 0600.
    let mut file = Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok((file, dir))
}

/// Makes what was renamed into or removed from a directory durable.
pub fn sync_dir(dir: &Path) -> Result<()> {
    Ok(File::open(dir)?.sync_all()?)
}

/// A directory in the making. It appears whole at [`Self::commit`], or not at all.
#[derive(Debug)]
pub struct NewDir {
    scratch: TempDir,
    target: PathBuf,
}

impl NewDir {
    /// Begins beside the target.
    pub fn begin(target: &Path) -> Result<Self> {
        let beside = target.parent().unwrap_or_else(|| Path::new("."));
        let mode = Permissions::from_mode(DIR_MODE);
        let scratch = Builder::new()
            .prefix(".new-")
            .permissions(mode)
            .tempdir_in(beside);
        let scratch = scratch.with_context(|| format!("cannot write into {}", beside.display()))?;
        Ok(Self {
            scratch,
            target: target.to_owned(),
        })
    }

    /// Adds a file; `name` may name one directory.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.scratch.path().join(name);
        if let Some(dir) = path.parent() {
            make_dir(dir)?;
        }
        let mut file = create_new(&path)?;
        file.write_all(bytes)?;
        Ok(file.sync_all()?)
    }

    /// Puts it in its place, which must be free.
    pub fn commit(self) -> Result<()> {
        for entry in std::fs::read_dir(self.scratch.path())? {
            let path = entry?.path();
            if path.is_dir() {
                sync_dir(&path)?;
            }
        }
        sync_dir(self.scratch.path())?;
        crate::failpoint::hit("new-dir");
        let scratch = self.scratch.keep();
        std::fs::rename(&scratch, &self.target)
            .with_context(|| format!("cannot make {}", self.target.display()))?;
        sync_dir(self.target.parent().unwrap_or_else(|| Path::new(".")))
    }
}

/// A new file, 0600; an error if there is one.
pub fn create_new(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path);
    file.with_context(|| format!("cannot make {}", path.display()))
}

/// Removes what an interrupted write left in a directory.
pub fn remove_scratch_files(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(".new-") {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// A file whose lock (`File::try_lock`) ends with this value. Closing the file would not be enough: a program that another
/// thread is starting has it open too until it runs, and then a lock that nobody holds is met.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Takes in a file that is locked.
    pub fn new(file: File) -> Self {
        Self(file)
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // It fails on no file that is locked, and closing is what is left then.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_there_whole_or_not_at_all_and_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node1.ign");
        write_new(&path, b"first").unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            FILE_MODE
        );
        let error = write_new(&path, b"second").unwrap_err();
        let cause = error.downcast_ref::<std::io::Error>().map(|e| e.kind());
        assert_eq!(cause, Some(ErrorKind::AlreadyExists), "{error:#}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing half-written is left"
        );
    }

    #[test]
    fn a_tail_is_whole_lines_of_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(read_tail(&path, 10).unwrap(), None);
        std::fs::write(&path, "one\ntwo\nthree").unwrap();
        for (most, expected) in [
            (100, "one\ntwo\nthree"),
            (13, "one\ntwo\nthree"),
            (12, "two\nthree"),
            (9, "two\nthree"),
            (8, "three"),
            (5, "three"),
            (4, ""),
            (0, ""),
        ] {
            let tail = read_tail(&path, most).unwrap().unwrap();
            assert_eq!(String::from_utf8(tail).unwrap(), expected, "{most}");
        }
        assert!(
            read_tail(dir.path(), 10).is_err(),
            "a directory is not a file"
        );
    }

    #[test]
    fn a_lock_ends_while_a_program_that_is_being_started_has_the_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("lock")).unwrap();
        let file = open();
        file.try_lock().unwrap();
        let of_a_child = file.try_clone().unwrap();
        drop(LockedFile::new(file));
        open().try_lock().unwrap();
        drop(of_a_child);
    }
}
