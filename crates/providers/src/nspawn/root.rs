//! A node's disk: the image below, never written to, and a layer of the node's own above.
//!
//! The keeper mounts it in a mount namespace of its own, so that nothing is ever mounted on the host and nothing stays
//! behind, however the node ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::files;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::syncfs;

use super::disk;
use super::layout::{DATA, NodeDir, make_dir};
use super::node_root::NodeRoot;

/// A node's own.
const RESOLV_CONF: &str = "etc/resolv.conf";
/// Directories that one of every Linux has, for a [`Window`].
const WINDOWS: [&str; 5] = ["/mnt", "/media", "/srv", "/opt", "/home"];

/// Makes the directories of a new node.
pub fn lay_out(dir: &NodeDir) -> Result<()> {
    let plain = [
        (NodeDir::UPPER, 0o755),
        (NodeDir::WORK, 0o755),
        (NodeDir::ROOT, 0o755),
        (NodeDir::REPORT, 0o755),
    ];
    make_dir(&dir.0, 0o700)?;
    for (name, mode) in plain {
        make_dir(&dir.join(name), mode)?;
    }
    for (name, _, mode) in DATA {
        make_dir(&dir.join(NodeDir::DATA).join(name), mode)?;
    }
    Ok(())
}

/// Mounts the disk for this process and its children alone. The working directory is the node's: the paths in the mount
/// options then hold nothing that would need quoting.
pub fn mount_here(image_root: &Path, is_new: bool) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace for the node")?;
    let here = std::env::current_dir().context("cannot find the node's directory")?;
    keep_to_ourselves(&here)?;
    if disk::is_image(Path::new("")) {
        disk::mount_image_here(is_new)?;
    }
    let layers = disk::layers_dir(Path::new(""));
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        quote_mount_option(image_root),
        layers.join(NodeDir::UPPER).display(),
        layers.join(NodeDir::WORK).display()
    );
    mount(Some("overlay"), NodeDir::ROOT, Some("overlay"), MsFlags::empty(), Some(options.as_str())).with_context(|| {
        format!(
            "cannot mount an overlay of {} in {}; the state directory must lie on a file system that carries one (ext4, \
             xfs, btrfs, tmpfs): set XDG_STATE_HOME",
            image_root.display(),
            here.display()
        )
    })
}

/// Mounts on the file system that holds `path` are seen by this process and its children alone. Only there: /run/netns must
/// go on being shared with the host, where the namespaces that the keeper makes are to be seen.
fn keep_to_ourselves(path: &Path) -> Result<()> {
    let text = std::fs::read_to_string("/proc/self/mountinfo")
        .context("cannot read /proc/self/mountinfo")?;
    let below = longest_prefix(&text, path);
    mount(
        None::<&str>,
        &below,
        None::<&str>,
        MsFlags::MS_SLAVE,
        None::<&str>,
    )
    .with_context(|| format!("cannot keep mounts on {} from the host", below.display()))
}

/// A second way to a directory, through parents that every user may pass; gone when dropped.
#[derive(Debug)]
pub struct Window(PathBuf);

impl Window {
    /// Opens `root` where it hides none of `needed`. Only in a mount namespace of our own.
    pub fn open(root: &Path, needed: &[&Path]) -> Result<Self> {
        let place = WINDOWS
            .iter()
            .map(Path::new)
            .find(|place| is_passable(place) && !needed.iter().any(|n| n.starts_with(place)));
        let place = place.with_context(|| {
            format!(
                "none of {} can be used as a mount point",
                WINDOWS.join(", ")
            )
        })?;
        keep_to_ourselves(place)?;
        mount(
            Some(root),
            place,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .with_context(|| format!("cannot show {} at {}", root.display(), place.display()))?;
        Ok(Self(place.into()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Fails only if it is gone already.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn is_passable(dir: &Path) -> bool {
    std::fs::metadata(dir).is_ok_and(|m| m.is_dir() && m.permissions().mode() & 0o001 != 0)
}

/// The node needs a name server entry: an empty file makes CoreDNS crash, an unreachable one costs seconds a look-up. The
/// gateway refuses at once.
pub fn settle_resolv_conf(root: &NodeRoot, servers: &[String]) -> Result<()> {
    // A link into /run is the node's own affair; whatever runs there fills it.
    if root.exists(RESOLV_CONF)? {
        return Ok(());
    }
    let text: String = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    root.write_new(RESOLV_CONF, &text)
}

/// Makes all that was written to the file system of `dir` survive a power cut.
pub fn sync_file_system(dir: &Path) -> Result<()> {
    std::fs::File::open(dir)
        .and_then(|dir| Ok(syncfs(dir)?))
        .with_context(|| format!("cannot write the file system of {} back", dir.display()))
}

/// The mount point that a path lies on.
fn longest_prefix(mountinfo: &str, path: &Path) -> PathBuf {
    mount_points(mountinfo)
        .filter(|point| path.starts_with(point))
        .max_by_key(|point| point.as_os_str().len())
        .unwrap_or_else(|| "/".into())
}

/// Every mount point, in the order of the mounts.
fn mount_points(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    let fields = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    fields.map(|point| PathBuf::from(unescape_mountinfo(point)))
}

/// mountinfo writes space, tab, newline and backslash in octal.
fn unescape_mountinfo(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_string(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

/// Removes a directory with all in it, first unmounting whatever is mounted below: never through a mount.
pub fn remove_dir(dir: &Path) -> Result<()> {
    for point in mounts_below(dir)? {
        umount2(&point, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", point.display()))?;
    }
    files::remove_dir(dir)
}

/// Mount points at or below a directory, the deepest first.
fn mounts_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let Ok(dir) = dir.canonicalize() else {
        return Ok(Vec::new());
    };
    let text = std::fs::read_to_string("/proc/self/mountinfo")
        .context("cannot read /proc/self/mountinfo")?;
    let points = mount_points(&text);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(&dir)).collect();
    below.reverse();
    Ok(below)
}

/// overlayfs parts its options by commas and its lower directories by colons.
fn quote_mount_option(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('\\', "\\\\")
        .replace(':', "\\:")
        .replace(',', "\\,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_on_its_deepest_mount() {
        let text =
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /var/my\\040lib rw - ext4 /dev/b rw\n";
        assert_eq!(
            longest_prefix(text, Path::new("/var/my lib/x")),
            Path::new("/var/my lib")
        );
        assert_eq!(
            longest_prefix(text, Path::new("/var/my library")),
            Path::new("/")
        );
    }

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(
            quote_mount_option(Path::new("/a:b,c\\d")),
            "/a\\:b\\,c\\\\d"
        );
    }

    #[test]
    fn resolv_conf_is_written_only_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let file = dir.path().join("etc/resolv.conf");
        let root = NodeRoot::open(dir.path()).unwrap();
        settle_resolv_conf(&root, &["10.0.0.1".into()]).unwrap();
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "nameserver 10.0.0.1\n"
        );
        settle_resolv_conf(&root, &["10.0.0.2".into()]).unwrap();
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "nameserver 10.0.0.1\n"
        );
    }
}
