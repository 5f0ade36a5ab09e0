//! Can this machine carry the cluster? Looks at everything that has broken one, changes nothing, and names the remedy.

use anyhow::{Context, Result};
use ha_host_base::command::find_program;
use ha_host_base::text::shown_path;
use nix::sys::statfs::{FsType, OVERLAYFS_SUPER_MAGIC, statfs};

use super::{Nspawn, extensions, host_runs_systemd, ignition, start};
use crate::finding::{bad_finding, good_finding};
use crate::shared::host_facts::{self, deepest_existing};
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
const NODE_MEMORY: u64 = 360 << 20;
/// See [`NODE_MEMORY`].
const SPARE_MEMORY: u64 = 1 << 30;
/// Logs, etcd and containers' layers of a node in its first days.
const NODE_DISK: u64 = 512 << 20;
/// File systems that cannot carry the writable half of an overlay, by their magic number.
const NO_OVERLAY: [(FsType, &str); 5] = [
    (OVERLAYFS_SUPER_MAGIC, "overlay"),
    (nix::sys::statfs::NFS_SUPER_MAGIC, "NFS"),
    (nix::sys::statfs::FUSE_SUPER_MAGIC, "FUSE"),
    (nix::sys::statfs::MSDOS_SUPER_MAGIC, "FAT"),
    (FsType(0x0102_1997), "9p"),
];

/// All findings, good ones too.
pub fn check_host(provider: &Nspawn) -> Result<Vec<Finding>> {
    let mut findings = vec![
        check_root(),
        check_programs(provider),
        check_image(provider),
        check_extensions(provider),
    ];
    findings.push(check_memory(provider)?);
    findings.push(check_disk(provider)?);
    findings.push(check_file_system(provider)?);
    findings.push(check_sysctl(
        "fs.inotify.max_user_instances",
        "inotify",
        INOTIFY_INSTANCES,
    )?);
    findings.push(check_sysctl(
        "fs.inotify.max_user_watches",
        "inotify watches",
        INOTIFY_WATCHES,
    )?);
    findings.extend(cgroups::check_cgroups(provider)?);
    findings.extend(loop_devices::check_loop_devices(provider)?);
    if find_program("ip").is_some() {
        findings.push(addresses::check_addresses(provider)?);
    }
    Ok(findings)
}

fn check_root() -> Finding {
    if nix::unistd::geteuid().is_root() {
        return good_finding("root");
    }
    bad_finding("provider nspawn needs root", "run it with sudo")
}

fn check_programs(provider: &Nspawn) -> Finding {
    let mut needed = PROGRAMS.to_vec();
    if provider.unpack_reason().is_some() {
        needed.push(("unsquashfs", "squashfs-tools"));
    }
    if provider.disks_as_images {
        needed.extend([("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")]);
    }
    if host_runs_systemd() {
        needed.push(("systemd-run", "systemd"));
    }
    let mut missing: Vec<_> = needed
        .into_iter()
        .filter(|(program, _)| find_program(program).is_none())
        .collect();
    if ignition::find_ignition(&provider.image).is_none() {
        missing.push(("ignition", "ignition"));
    }
    if missing.is_empty() {
        return good_finding("programs");
    }
    let (names, mut packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    packages.dedup();
    bad_finding(
        format!("not installed: {}", names.join(", ")),
        format!("apt-get install {}", packages.join(" ")),
    )
}

fn check_image(provider: &Nspawn) -> Finding {
    let image = &provider.image;
    if image.join("root/usr/lib/systemd/systemd").exists() {
        return good_finding(format!("image {}", shown_path(image)));
    }
    bad_finding(
        format!(
            "{} is not a node image: it has no root/usr/lib/systemd/systemd",
            shown_path(image)
        ),
        "make one (in this repository: `make lab-images`) and name its directory in `provider: {nspawn: {image: }}`",
    )
}

fn check_extensions(provider: &Nspawn) -> Finding {
    let (found, faults) = extensions::local_files(&provider.sysexts);
    if !faults.is_empty() {
        return bad_finding(
            faults.join("; "),
            "fix `sysexts` in the cluster file, or build the files (in this repository: `make sysext lab-sysexts`)",
        );
    }
    match provider.unpack_reason() {
        None => good_finding(format!("{} sysexts as images", found.len())),
        Some(reason) => good_finding(format!("{} sysexts as directories: {reason}", found.len())),
    }
}

/// Nodes that do not run yet.
fn count_nodes(provider: &Nspawn, state: impl Fn(Machine) -> bool) -> u64 {
    provider
        .nodes
        .iter()
        .filter(|node| state(start::machine_state(&provider.dir(node))))
        .count() as u64
}

fn check_memory(provider: &Nspawn) -> Result<Finding> {
    let nodes = count_nodes(provider, |state| state != Machine::Running);
    let free = host_facts::available_memory()?;
    Ok(host_facts::memory_finding(
        free,
        "",
        nodes,
        NODE_MEMORY,
        SPARE_MEMORY,
    ))
}

fn check_disk(provider: &Nspawn) -> Result<Finding> {
    let needed = count_nodes(provider, |state| state == Machine::Absent) * NODE_DISK;
    host_facts::disk_finding(provider.layout.machines.path(), needed)
}

fn check_file_system(provider: &Nspawn) -> Result<Finding> {
    let dir = deepest_existing(provider.layout.machines.path());
    let kind = statfs(dir)
        .with_context(|| format!("cannot look at {}", dir.display()))?
        .filesystem_type();
    Ok(match NO_OVERLAY.iter().find(|(magic, _)| *magic == kind) {
        None => good_finding("overlay"),
        Some((_, name)) => bad_finding(
            format!(
                "{} lies on {name}, which cannot carry the nodes' disks (overlayfs)",
                dir.display()
            ),
            "set XDG_STATE_HOME to a directory on ext4, xfs, btrfs or tmpfs",
        ),
    })
}

fn check_sysctl(name: &str, short: &str, needed: u64) -> Result<Finding> {
    let file = format!("/proc/sys/{}", name.replace('.', "/"));
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let value: u64 = text
        .trim()
        .parse()
        .with_context(|| format!("{file} does not contain a number"))?;
    Ok(if value >= needed {
        good_finding(format!("{short} {value}"))
    } else {
        bad_finding(
            format!("{name} is {value}: with so few, kubelets die of \"too many open files\""),
            format!("sysctl -w {name}={needed}"),
        )
    })
}
