//! A node's disk as one file with an ext4 file system in it (`disks: image`), for tests of power cuts. What a killed node had
//! written into directories of this machine stays, because the page cache is this machine's; of an image only what had been
//! written back is there after the cut, as on a machine of its own.
//!
//! containerd's directory stays outside: it holds what can be made again (images, containers), its databases are synced at each
//! change, and as hard links into the image's prepared store it costs neither time nor space. What containerd itself might lose
//! in a cut, the files of an image that it has just unpacked, is not seen here.
//!
//! The cut: all processes of the node are frozen, the file is copied while its file system is mounted, which writes nothing back,
//! the processes die, and the copy takes the file's place. Looked at: shutting the file system down (EXT4_IOC_SHUTDOWN needs
//! unsafe code or xfsprogs) and dm-flakey (not in every kernel). Direct I/O to the file is not needed: the copy reads the same
//! page cache of this machine that the loop device writes to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ha_host_base::command::run_for_stdout;
use nix::mount::{MsFlags, mount};

use super::layout::{DATA, NodeDir, make_dir};
use crate::shared::this_boot::{read_of_this_boot, write_for_this_boot};

/// Of which only what is written takes space on this machine.
const SIZE: u64 = 8 << 30;
/// A name in `data/` that is not on the image.
const OUTSIDE: &str = DATA[0].0;
/// How long processes may take to stand still: one that waits for its disk gets there first.
const FREEZING: Duration = Duration::from_secs(10);
/// The kernel commits a journal every 5 s at most: two copies at once that it disturbs are rare.
const COPIES: u32 = 20;

/// Makes the image of a new node.
pub fn make_image(dir: &NodeDir) -> Result<()> {
    let image = dir.join(NodeDir::DISK);
    std::fs::File::create(&image)
        .and_then(|file| file.set_len(SIZE))
        .with_context(|| format!("cannot make {}", image.display()))?;
    run_for_stdout(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))
        .context("cannot make the node's disk")?;
    make_dir(&dir.join(NodeDir::MOUNTED), 0o755)
}

/// Whether this node's disk is an image.
pub fn is_image(dir: &Path) -> bool {
    dir.join(NodeDir::DISK).exists()
}

/// The directory on whose file system the disk's own layers lie.
pub fn layers_dir(dir: &Path) -> PathBuf {
    let below = if is_image(dir) { NodeDir::MOUNTED } else { "" };
    dir.join(below)
}

/// Mounts the image and shows its directories in `data/`. The working directory is the node's, the mount namespace our own: when
/// its last process ends, file system and loop device are let go.
pub fn mount_image_here(is_new: bool) -> Result<()> {
    let device = run_for_stdout(Command::new("losetup").args(["--find", "--show", NodeDir::DISK]))
        .context("cannot get a loop device for the node's disk")?;
    let device = device.trim();
    // The mount options of a machine's own root: data=ordered, delayed allocation, a commit every 5 s.
    let mounted = mount(
        Some(device),
        NodeDir::MOUNTED,
        Some("ext4"),
        MsFlags::empty(),
        None::<&str>,
    )
    .with_context(|| format!("cannot mount {} by {device}", NodeDir::DISK));
    // Mounted, the device goes with the mount.
    run_for_stdout(Command::new("losetup").args(["--detach", device])).and(mounted)?;
    write_for_this_boot(Path::new(NodeDir::LOOP), device)?;
    let (image, here) = (Path::new(NodeDir::MOUNTED), Path::new(NodeDir::DATA));
    if is_new {
        make_dir(&image.join(NodeDir::UPPER), 0o755)?;
        make_dir(&image.join(NodeDir::WORK), 0o755)?;
    }
    for (name, _, mode) in DATA.into_iter().filter(|(name, ..)| *name != OUTSIDE) {
        let (from, to) = (image.join(NodeDir::DATA).join(name), here.join(name));
        if is_new {
            make_dir(&from, mode)?;
        }
        mount(
            Some(&from),
            &to,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .with_context(|| format!("cannot show {} at {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// Stops a running node at one instant and copies its disk as it is then; true if there is a copy, for [`take_copy`].
pub fn freeze_and_copy(dir: &NodeDir) -> Result<bool> {
    let (Some(groups), Some(device)) = (
        read_of_this_boot(&dir.join(NodeDir::CGROUPS)),
        read_of_this_boot(&dir.join(NodeDir::LOOP)),
    ) else {
        return Ok(false);
    };
    if !is_image(&dir.0) {
        return Ok(false);
    }
    let freezer = Freezer::among(&groups)?;
    let copied = freezer.freeze().and_then(|()| copy_unwritten(dir, &device));
    if copied.is_err() {
        freezer.order("cgroup.freeze", "0")?;
    }
    copied?;
    // None of them runs on for an instant: what it would write or say now has never been.
    freezer.order("cgroup.kill", "1")?;
    Ok(true)
}

/// The copy takes the disk's place. The old file is gone when the last mount of it is.
pub fn take_copy(dir: &NodeDir) -> Result<()> {
    std::fs::rename(dir.join(NodeDir::CUT), dir.join(NodeDir::DISK))
        .with_context(|| format!("cannot replace {}", dir.join(NodeDir::DISK).display()))
}

/// Copies the image without a write by the kernel's own threads meanwhile: those are not frozen.
fn copy_unwritten(dir: &NodeDir, device: &str) -> Result<()> {
    let name = Path::new(device)
        .file_name()
        .context("a device has a name")?;
    let stat = Path::new("/sys/block").join(name).join("stat");
    for _ in 0..COPIES {
        let before = read_writes(&stat)?;
        run_for_stdout(
            Command::new("cp")
                .args(["--sparse=auto", "--reflink=auto"])
                .args([dir.join(NodeDir::DISK), dir.join(NodeDir::CUT)]),
        )
        .context("cannot copy the node's disk")?;
        if before.in_flight == 0 && before == read_writes(&stat)? {
            return Ok(());
        }
    }
    bail!("{device} was written to during each of {COPIES} copies of a frozen node's disk")
}

/// What a block device has been told to write.
#[derive(Debug, PartialEq, Eq)]
struct Writes {
    done: u64,
    sectors: u64,
    in_flight: u64,
}

/// Of a device's `stat` file (Documentation/block/stat.rst).
fn read_writes(stat: &Path) -> Result<Writes> {
    let text =
        std::fs::read_to_string(stat).with_context(|| format!("cannot read {}", stat.display()))?;
    parse_writes(&text).with_context(|| format!("{} says {text:?}", stat.display()))
}

fn parse_writes(stat: &str) -> Option<Writes> {
    let mut numbers = stat.split_whitespace().map(|word| word.parse().ok());
    Some(Writes {
        done: numbers.nth(4)??,
        sectors: numbers.nth(1)??,
        in_flight: numbers.nth(1)??,
    })
}

/// The node's group in the tree of version 2, which hybrid hosts have, too: there frozen processes can be killed.
#[derive(Debug)]
struct Freezer(PathBuf);

impl Freezer {
    /// `groups` are pairs of lines, the cluster's group and the node's.
    fn among(groups: &str) -> Result<Self> {
        let mut nodes = groups.lines().skip(1).step_by(2).map(PathBuf::from);
        let found = nodes.find(|group| group.join("cgroup.kill").exists());
        Ok(Self(found.context(
            "a disk image can be cut only where the node has a cgroup of version 2 (a hybrid host does) and the kernel is of 5.14 \
             or later",
        )?))
    }

    fn order(&self, file: &str, value: &str) -> Result<()> {
        let file = self.0.join(file);
        std::fs::write(&file, value).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Until no process of the group runs.
    fn freeze(&self) -> Result<()> {
        self.order("cgroup.freeze", "1")?;
        let end = Instant::now() + FREEZING;
        loop {
            let events = std::fs::read_to_string(self.0.join("cgroup.events"))
                .with_context(|| format!("cannot read the events of {}", self.0.display()))?;
            if events.lines().any(|line| line == "frozen 1") {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "the processes in {} do not stand still: {events}",
                self.0.display()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_read_from_the_kernels_file() {
        let idle = "     361        0    19562       40     1210      833    53472      560        0      480      601        1        0   16    0       90      100\n";
        let seen = parse_writes(idle).unwrap();
        let expected = Writes {
            done: 1210,
            sectors: 53472,
            in_flight: 0,
        };
        assert_eq!(seen, expected);
        assert_eq!(parse_writes("1 2 3"), None);
    }

    #[test]
    fn a_node_without_an_image_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let node = NodeDir(dir.path().into());
        write_for_this_boot(&node.join(NodeDir::CGROUPS), "/no/such\n/no/such/node\n").unwrap();
        assert!(!freeze_and_copy(&node).unwrap());
        assert_eq!(layers_dir(&node.0), dir.path());
    }
}
