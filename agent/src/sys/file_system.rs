//! What the kernel says of file systems.

use nix::sys::stat::stat;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::files::Files;

/// A file system's size and what is left of it. What only root may still take counts as taken, as for `df`.
#[derive(Debug, Clone, Copy)]
pub struct FileSystem {
    /// The kernel's number of its device: two directories with the same one share the file system.
    pub device: u64,
    /// It takes nothing anyway.
    pub is_read_only: bool,
    /// All of it.
    pub size_kib: u64,
    /// What can still be written.
    pub free_kib: u64,
    /// How many files it may hold; 0: it does not say.
    pub inodes: u64,
    /// How many more it takes.
    pub free_inodes: u64,
}

/// The file system that holds this directory; none: it is not there, or the kernel does not say.
pub fn file_system_of(files: &Files, directory: &str) -> Option<FileSystem> {
    let path = files.path(directory);
    let (about, space) = (stat(&path).ok()?, statvfs(&path).ok()?);
    let kib = |blocks: u64| blocks * space.fragment_size() / 1024;
    Some(FileSystem {
        device: about.st_dev,
        is_read_only: space.flags().contains(FsFlags::ST_RDONLY),
        size_kib: kib(space.blocks()),
        free_kib: kib(space.blocks_available()),
        inodes: space.files(),
        free_inodes: space.files_available(),
    })
}
