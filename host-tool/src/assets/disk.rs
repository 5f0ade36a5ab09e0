//! The file system on the disk: ext4, made by e2fsprogs without root. The same content gives the same bytes.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ha_host_base::command::{find_program, last_lines, run_for_stdout, run_within};
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_host_base::text::hex_digits;
use indicatif::BinaryBytes;
use nix::sys::statvfs::statvfs;
use tempfile::Builder;

use super::DiskItem;

/// How nodes may find the disk, beside its serial number.
const LABEL: &str = ha_wire::devices::ASSETS_SERIAL;
/// Size of a block.
const BLOCK: u64 = 4096;
/// What a file system needs besides its files: tables, directories, and a little room for e2fsprogs' own taste.
const EXTRA: u64 = 4 << 20;
/// For everything that grows with the files: one part in so many.
const SHARE: u64 = 50;
/// Spelt out, so that a host's mke2fs.conf decides nothing: all of these are as old as Linux 3.18. No journal: it is never
/// written to.
const FEATURES: &str = "none,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// The time of everything on the disk, in seconds since 1970; e2fsprogs takes 0 for none.
const TIME: &str = "1";
/// For debugfs: it writes little, but at its end waits for the disk to take gigabytes that were just copied.
const DEBUGFS_DEADLINE: Duration = Duration::from_secs(600);

/// Makes the disk, whole or not at all.
pub fn make_disk(path: &Path, items: &[DiskItem], id: &[u8; 32]) -> Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("/"));
    let stage = Builder::new()
        .prefix(".new-")
        .tempdir_in(dir)
        .with_context(|| format!("cannot write into {}", dir.display()))?;
    let size = file_system_size(items);
    check_free_space(dir, items, size)?;
    let root = stage.path().join("root");
    let lay = || format!("cannot gather the assets in {}", root.display());
    place_items(&root, items).with_context(lay)?;
    let image = stage.path().join("image");
    fill_file_system(&image, size, &root, items, id)?;
    std::fs::set_permissions(&image, Permissions::from_mode(0o644))?;
    File::open(&image)?.sync_all()?;
    std::fs::rename(&image, path).with_context(|| format!("cannot write {}", path.display()))?;
    files::sync_dir(dir)
}

fn file_system_size(items: &[DiskItem]) -> u64 {
    let content: u64 = items.iter().map(|i| i.bytes.div_ceil(BLOCK) * BLOCK).sum();
    (content + content / SHARE + EXTRA).div_ceil(BLOCK) * BLOCK
}

/// Files that cannot be linked are copied, so the worst case counts.
fn check_free_space(dir: &Path, items: &[DiskItem], size: u64) -> Result<()> {
    let there = statvfs(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    let free = there.blocks_available() * there.fragment_size();
    let here = device_of(dir);
    let copied = items.iter().filter(|i| device_of(&i.from) != here);
    let needed = size + copied.map(|i| i.bytes).sum::<u64>();
    if free < needed {
        return Err(Stop::bad_input(format!(
            "the assets disk needs {} in {}, and {} are free there: make room, or give another place with --state-dir",
            BinaryBytes(needed),
            dir.display(),
            BinaryBytes(free)
        )));
    }
    Ok(())
}

fn device_of(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|m| m.dev())
}

fn place_items(root: &Path, items: &[DiskItem]) -> Result<()> {
    for item in items {
        let to = root.join(&item.name);
        files::make_dir(to.parent().unwrap_or(root))?;
        match std::fs::hard_link(&item.from, &to) {
            Ok(()) => {}
            // Another file system, or a file of somebody else's: the reasons are many, a copy helps with all.
            Err(e) if e.kind() != ErrorKind::NotFound => {
                std::fs::copy(&item.from, &to)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn fill_file_system(
    image: &Path,
    size: u64,
    root: &Path,
    items: &[DiskItem],
    id: &[u8; 32],
) -> Result<()> {
    File::create(image)?.set_len(size)?;
    let (own, seed) = (uuid_of(&id[..16]), uuid_of(&id[16..]));
    let extended = format!("hash_seed={seed},root_owner=0:0,nodiscard,lazy_itable_init=0");
    let inodes = (items.len() + 32).to_string();
    let mut mke2fs = e2fs_tool("mke2fs")?;
    mke2fs
        .args([
            "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0",
        ])
        .args(["-O", FEATURES, "-L", LABEL, "-U", &own, "-E", &extended])
        .args(["-N", &inodes, "-d"])
        .args([root, image]);
    run_for_stdout(&mut mke2fs).context("cannot pack the assets disk")?;
    let script = image.with_file_name("script");
    std::fs::write(&script, owners_and_times(items))?;
    let mut debugfs = e2fs_tool("debugfs")?;
    debugfs
        .args(["-w", "-f"])
        .args([&script, &image.to_owned()]);
    run_debugfs(&mut debugfs, DEBUGFS_DEADLINE).context("cannot pack the assets disk")
}

/// mke2fs takes owners, modes and times from the files that it packs: whoever packed it must not be seen.
fn owners_and_times(items: &[DiskItem]) -> String {
    let dirs = items
        .iter()
        .filter_map(|i| i.name.rsplit_once('/').map(|(dir, _)| dir));
    let mut entries: Vec<(String, &str)> = ["", "lost+found"]
        .into_iter()
        .chain(dirs)
        .map(|dir| (dir.to_owned(), "040755"))
        .chain(items.iter().map(|i| (i.name.clone(), "0100644")))
        .collect();
    entries.sort();
    entries.dedup();
    let mut script = String::new();
    for (name, mode) in entries {
        let fields = [("mode", mode), ("uid", "0"), ("gid", "0")];
        let times = ["atime", "ctime", "mtime", "crtime"].map(|field| (field, "@1"));
        for (field, value) in fields.into_iter().chain(times) {
            script += &format!("set_inode_field /{name} {field} {value}\n");
        }
    }
    script
}

/// A program of e2fsprogs with the clock stopped.
fn e2fs_tool(name: &str) -> Result<Command> {
    let Some(path) = find_program(name) else {
        bail!("{name} is not there, and packs the assets disk: install the package e2fsprogs");
    };
    let mut command = Command::new(path);
    // The first is what e2fsprogs had before 1.47.1, the second since.
    command
        .env("E2FSPROGS_FAKE_TIME", TIME)
        .env("SOURCE_DATE_EPOCH", TIME);
    Ok(command)
}

/// debugfs succeeds whatever happens; after its name and version it speaks of faults alone.
fn run_debugfs(debugfs: &mut Command, deadline: Duration) -> Result<()> {
    let finished = run_within(debugfs, "", deadline)?;
    let lines = finished.stderr.lines();
    let faults: Vec<&str> = lines.filter(|line| !line.starts_with("debugfs ")).collect();
    let faults = faults.join("\n");
    finished.into_stdout()?;
    if !faults.is_empty() {
        bail!("debugfs: {}", last_lines(&faults));
    }
    Ok(())
}

/// A UUID of version 8, which is free for such use.
fn uuid_of(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex_digits(&bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_of(script: &str, deadline: Duration) -> Result<(), String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run_debugfs(&mut command, deadline).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn debugfs_is_judged_by_what_it_says_and_has_its_time() {
        let minute = Duration::from_secs(60);
        let version = "echo 'debugfs 1.47.2 (1-Jan-2025)' >&2";
        assert_eq!(said_of(version, minute), Ok(()));
        let error = said_of(&format!("{version}; echo '/a: not found' >&2"), minute).unwrap_err();
        assert_eq!(error, "debugfs: /a: not found");
        let error = said_of(&format!("{version}; exit 3"), minute).unwrap_err();
        assert!(error.contains("failed (exit status: 3)"), "{error}");
        let error = said_of("sleep 60", Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("did not end within 50ms"), "{error}");
    }
}
