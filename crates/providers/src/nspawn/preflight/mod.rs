//! Can this machine carry the cluster? Looks at everything that has broken one, changes nothing, and names the cure.

use std::path::Path;

use anyhow::{Context, Result};
use ha_host_base::command::which;
use nix::sys::statfs::{FsType, OVERLAYFS_SUPER_MAGIC, statfs};

use super::{Nspawn, extensions, host_runs_systemd, ignition, start};
use crate::finding::{bad, good};
use crate::{Finding, Machine};

mod addresses;
mod cgroups;
mod loop_devices;

/// Programs and the Debian package of each.
const PROGRAMS: [(&str, &str); 7] = [
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("sh", "dash"),
    ("cp", "coreutils"),
    ("useradd", "passwd"),
    ("usermod", "passwd"),
];
/// Each node's systemd, containerd and kubelet take dozens: with the kernel's 128 the fourth kubelet dies.
const INOTIFY_INSTANCES: u64 = 8192;
/// A kubelet watches every cgroup and every pod's directory.
const INOTIFY_WATCHES: u64 = 65_536;
/// Memory that a node takes once Kubernetes runs (five took 1.6 GB), and what the machine itself should keep.
const NODE_MEMORY_MIB: u64 = 360;
/// See [`NODE_MEMORY_MIB`].
const SPARE_MEMORY_MIB: u64 = 1024;
/// Logs, etcd and containers' layers of a node in its first days.
const NODE_DISK_MIB: u64 = 512;
/// File systems that cannot carry the writable half of an overlay, by their magic number.
const NO_OVERLAY: [(FsType, &str); 5] = [
    (OVERLAYFS_SUPER_MAGIC, "overlay"),
    (nix::sys::statfs::NFS_SUPER_MAGIC, "NFS"),
    (nix::sys::statfs::FUSE_SUPER_MAGIC, "FUSE"),
    (nix::sys::statfs::MSDOS_SUPER_MAGIC, "FAT"),
    (FsType(0x0102_1997), "9p"),
];

/// All findings, good ones too.
pub fn look(provider: &Nspawn) -> Result<Vec<Finding>> {
    let mut findings = vec![
        root(),
        programs(provider),
        image(provider),
        extension_files(provider),
    ];
    findings.push(memory(provider)?);
    findings.push(disk(provider)?);
    findings.push(state_file_system(provider)?);
    findings.push(limit(
        "fs.inotify.max_user_instances",
        "inotify",
        INOTIFY_INSTANCES,
    )?);
    findings.push(limit(
        "fs.inotify.max_user_watches",
        "inotify watches",
        INOTIFY_WATCHES,
    )?);
    findings.extend(cgroups::look(provider)?);
    findings.extend(loop_devices::look(provider)?);
    if which("ip").is_some() {
        findings.push(addresses::look(provider)?);
    }
    Ok(findings)
}

fn root() -> Finding {
    if nix::unistd::geteuid().is_root() {
        return good("root");
    }
    bad(
        "provider nspawn needs root",
        "run it with sudo (and `-E` to keep XDG_STATE_HOME)",
    )
}

fn programs(provider: &Nspawn) -> Finding {
    let mut needed = PROGRAMS.to_vec();
    if provider.unpack_reason().is_some() {
        needed.push(("unsquashfs", "squashfs-tools"));
    }
    if host_runs_systemd() {
        needed.push(("systemd-run", "systemd"));
    }
    let mut missing: Vec<_> = needed
        .into_iter()
        .filter(|(program, _)| which(program).is_none())
        .collect();
    if ignition::find(&provider.image).is_none() {
        missing.push(("ignition", "ignition"));
    }
    if missing.is_empty() {
        return good("programs");
    }
    let (names, mut packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    packages.dedup();
    bad(
        format!("not installed: {}", names.join(", ")),
        format!("apt-get install {}", packages.join(" ")),
    )
}

fn image(provider: &Nspawn) -> Finding {
    let image = &provider.image;
    if image.join("root/usr/lib/systemd/systemd").exists() {
        return good(format!("image {}", image.display()));
    }
    bad(
        format!(
            "{} is no node image: it holds no root/usr/lib/systemd/systemd",
            image.display()
        ),
        "make one (in this repository: `make image`) and name its directory in `provider: {nspawn: {image: }}`",
    )
}

fn extension_files(provider: &Nspawn) -> Finding {
    let (found, faults) = extensions::local(&provider.sysexts);
    if !faults.is_empty() {
        return bad(
            faults.join("; "),
            "fix `sysexts` in the cluster file, or build the files (here: `make sysext image`)",
        );
    }
    match provider.unpack_reason() {
        None => good(format!("{} sysexts as images", found.len())),
        Some(reason) => good(format!("{} sysexts as directories: {reason}", found.len())),
    }
}

/// Nodes that do not run yet.
fn to_come(provider: &Nspawn, state: impl Fn(Machine) -> bool) -> u64 {
    provider
        .nodes
        .iter()
        .filter(|node| state(start::state(&provider.dir(node))))
        .count() as u64
}

fn memory(provider: &Nspawn) -> Result<Finding> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let free = mem_available(&text).context("/proc/meminfo has no MemAvailable")? / 1024;
    let nodes = to_come(provider, |state| state != Machine::Running);
    let needed = if nodes == 0 {
        0
    } else {
        nodes * NODE_MEMORY_MIB + SPARE_MEMORY_MIB
    };
    let seen = format!("{} free", size(free));
    Ok(if free >= needed {
        good(seen)
    } else {
        bad(
            format!("{seen} memory, {nodes} nodes need {}", size(needed)),
            "stop other programs, or take fewer nodes in the cluster file",
        )
    })
}

/// Kilobytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn disk(provider: &Nspawn) -> Result<Finding> {
    let dir = existing(provider.layout.machines());
    let stat = nix::sys::statvfs::statvfs(dir)
        .with_context(|| format!("cannot look at {}", dir.display()))?;
    let free = stat.blocks_available() * stat.fragment_size() / (1024 * 1024);
    let needed = to_come(provider, |state| state == Machine::Absent) * NODE_DISK_MIB;
    let seen = format!("{} disk", size(free));
    Ok(if free >= needed {
        good(seen)
    } else {
        bad(
            format!(
                "{} free on the file system of {}, the nodes need {}",
                size(free),
                dir.display(),
                size(needed)
            ),
            "make room there, or set XDG_STATE_HOME to a directory on a larger file system",
        )
    })
}

fn state_file_system(provider: &Nspawn) -> Result<Finding> {
    let dir = existing(provider.layout.machines());
    let kind = statfs(dir)
        .with_context(|| format!("cannot look at {}", dir.display()))?
        .filesystem_type();
    Ok(match NO_OVERLAY.iter().find(|(magic, _)| *magic == kind) {
        None => good("overlay"),
        Some((_, name)) => bad(
            format!(
                "{} lies on {name}, which cannot carry the nodes' disks (overlayfs)",
                dir.display()
            ),
            "set XDG_STATE_HOME to a directory on ext4, xfs, btrfs or tmpfs",
        ),
    })
}

/// A path's deepest part that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or_else(|| Path::new("/"))
}

fn limit(name: &str, short: &str, needed: u64) -> Result<Finding> {
    let file = format!("/proc/sys/{}", name.replace('.', "/"));
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let value: u64 = text
        .trim()
        .parse()
        .with_context(|| format!("{file} holds no number"))?;
    Ok(if value >= needed {
        good(format!("{short} {value}"))
    } else {
        bad(
            format!("{name} is {value}: with so few, kubelets die of \"too many open files\""),
            format!("sysctl -w {name}={needed}"),
        )
    })
}

fn size(mib: u64) -> String {
    if mib >= 10 * 1024 {
        format!("{} GiB", mib / 1024)
    } else {
        format!("{mib} MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory() {
        assert_eq!(
            mem_available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"),
            Some(2048)
        );
        assert_eq!(size(512), "512 MiB");
        assert_eq!(size(24 * 1024), "24 GiB");
    }

    #[test]
    fn the_deepest_existing_part() {
        assert_eq!(existing(Path::new("/usr/no/such")), Path::new("/usr"));
    }
}
