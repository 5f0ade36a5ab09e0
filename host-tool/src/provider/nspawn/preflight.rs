//! Can this machine carry the cluster? Looks at everything that has broken one, changes nothing, and names the cure.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use ipnet::IpNet;
use nix::sys::statfs::{FsType, OVERLAYFS_SUPER_MAGIC, statfs};

use super::cgroup::{self, Kind};
use super::network::{self, Owner};
use super::{Nspawn, extensions, host_runs_systemd, ignition, start};
use crate::provider::command::which;
use crate::provider::{Finding, Machine};

/// Programs and the Debian package of each.
const PROGRAMS: [(&str, &str); 8] = [
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("sh", "dash"),
    ("cp", "coreutils"),
    ("timeout", "coreutils"),
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
/// From this version on systemd does not boot on cgroup version 1.
const SYSTEMD_WITHOUT_V1: u32 = 258;
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
    let mut findings = vec![root(), programs(provider), image(provider), extension_files(provider)];
    findings.push(memory(provider)?);
    findings.push(disk(provider)?);
    findings.push(state_file_system(provider)?);
    findings.push(limit("fs.inotify.max_user_instances", "inotify", INOTIFY_INSTANCES)?);
    findings.push(limit("fs.inotify.max_user_watches", "inotify watches", INOTIFY_WATCHES)?);
    findings.extend(cgroups(provider)?);
    if which("ip").is_some() {
        findings.push(addresses(provider)?);
    }
    Ok(findings)
}

fn good(seen: impl Into<String>) -> Finding {
    Finding { ok: true, seen: seen.into(), cure: String::new() }
}

fn bad(seen: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding { ok: false, seen: seen.into(), cure: cure.into() }
}

fn root() -> Finding {
    if nix::unistd::geteuid().is_root() {
        return good("root");
    }
    bad("provider nspawn needs root", "run it with sudo (and `-E` to keep XDG_STATE_HOME)")
}

fn programs(provider: &Nspawn) -> Finding {
    let mut needed = PROGRAMS.to_vec();
    if provider.unpack_reason().is_some() {
        needed.push(("unsquashfs", "squashfs-tools"));
    }
    if host_runs_systemd() {
        needed.push(("systemd-run", "systemd"));
    }
    let mut missing: Vec<_> = needed.into_iter().filter(|(program, _)| which(program).is_none()).collect();
    if ignition::find(&provider.image).is_none() {
        missing.push(("ignition", "ignition"));
    }
    if missing.is_empty() {
        return good("programs");
    }
    let (names, mut packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    packages.dedup();
    bad(format!("not installed: {}", names.join(", ")), format!("apt-get install {}", packages.join(" ")))
}

fn image(provider: &Nspawn) -> Finding {
    let image = &provider.image;
    if image.join("root/usr/lib/systemd/systemd").exists() {
        return good(format!("image {}", image.display()));
    }
    bad(
        format!("{} is no node image: it holds no root/usr/lib/systemd/systemd", image.display()),
        "make one (in this repository: `make image`) and name its directory in `provider: {nspawn: {image: }}`",
    )
}

fn extension_files(provider: &Nspawn) -> Finding {
    let (found, faults) = extensions::local(&provider.sysexts);
    if !faults.is_empty() {
        return bad(faults.join("; "), "mend `sysexts` in the cluster file, or build the files (here: `make sysext image`)");
    }
    match provider.unpack_reason() {
        None => good(format!("{} sysexts as images", found.len())),
        Some(reason) => good(format!("{} sysexts as directories: {reason}", found.len())),
    }
}

/// Nodes that do not run yet.
fn to_come(provider: &Nspawn, state: impl Fn(Machine) -> bool) -> u64 {
    provider.nodes.iter().filter(|node| state(start::state(&provider.dir(node)))).count() as u64
}

fn memory(provider: &Nspawn) -> Result<Finding> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let free = mem_available(&text).context("/proc/meminfo has no MemAvailable")? / 1024;
    let nodes = to_come(provider, |state| state != Machine::Running);
    let needed = if nodes == 0 { 0 } else { nodes * NODE_MEMORY_MIB + SPARE_MEMORY_MIB };
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
    meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.split_whitespace().next()?.parse().ok()
}

fn disk(provider: &Nspawn) -> Result<Finding> {
    let dir = existing(provider.layout.machines());
    let stat = nix::sys::statvfs::statvfs(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    let free = stat.blocks_available() * stat.fragment_size() / (1024 * 1024);
    let needed = to_come(provider, |state| state == Machine::Absent) * NODE_DISK_MIB;
    let seen = format!("{} disk", size(free));
    Ok(if free >= needed {
        good(seen)
    } else {
        bad(
            format!("{} free on the file system of {}, the nodes need {}", size(free), dir.display(), size(needed)),
            "make room there, or set XDG_STATE_HOME to a directory on a larger file system",
        )
    })
}

fn state_file_system(provider: &Nspawn) -> Result<Finding> {
    let dir = existing(provider.layout.machines());
    let kind = statfs(dir).with_context(|| format!("cannot look at {}", dir.display()))?.filesystem_type();
    Ok(match NO_OVERLAY.iter().find(|(magic, _)| *magic == kind) {
        None => good("overlay"),
        Some((_, name)) => bad(
            format!("{} lies on {name}, which cannot carry the nodes' disks (overlayfs)", dir.display()),
            "set XDG_STATE_HOME to a directory on ext4, xfs, btrfs or tmpfs",
        ),
    })
}

/// A path's deepest part that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/"))
}

fn limit(name: &str, short: &str, needed: u64) -> Result<Finding> {
    let file = format!("/proc/sys/{}", name.replace('.', "/"));
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let value: u64 = text.trim().parse().with_context(|| format!("{file} holds no number"))?;
    Ok(if value >= needed {
        good(format!("{short} {value}"))
    } else {
        bad(
            format!("{name} is {value}: with so few, kubelets die of \"too many open files\""),
            format!("sysctl -w {name}={needed}"),
        )
    })
}

fn cgroups(provider: &Nspawn) -> Result<Vec<Finding>> {
    let own = cgroup::of("self")?;
    let kind = cgroup::kind(&own);
    let missing = cgroup::missing(&own);
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let cure = "mount them (v1), or run ha-host where they are delegated: as root outside of a container, or in one with its \
                    own cgroup namespace";
        findings.push(bad(format!("cgroup controllers that kubelet needs are missing: {}", missing.join(", ")), cure));
    }
    if let Some(dir) = cgroup::blocked(&own).filter(|_| !host_runs_systemd()) {
        let seen = format!("the cgroup {} holds processes, so it cannot hand controllers down to nodes", dir.display());
        findings.push(bad(seen, cgroup::cure_for(&dir)));
    }
    let version = systemd_version(&provider.image.join("root"));
    if let Some(version) = version.filter(|version| kind == Kind::V1 && *version >= SYSTEMD_WITHOUT_V1) {
        findings.push(bad(
            format!("the image's systemd {version} does not boot on this host's cgroup version 1"),
            "boot the host with `systemd.unified_cgroup_hierarchy=1`, or take an image with systemd 257 or older",
        ));
    }
    if findings.is_empty() {
        findings.push(good(if kind == Kind::V1 { "cgroup v1" } else { "cgroup v2" }));
    }
    Ok(findings)
}

/// From the name of the library that all of systemd is linked to: `libsystemd-shared-257.so`, `-255.4-1.so`.
fn systemd_version(root: &Path) -> Option<u32> {
    let places = ["usr/lib/systemd", "usr/lib64/systemd", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/aarch64-linux-gnu/systemd"];
    let entries = places.iter().filter_map(|place| std::fs::read_dir(root.join(place)).ok()).flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).find_map(|name| {
        let rest = name.strip_prefix("libsystemd-shared-")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}

fn addresses(provider: &Nspawn) -> Result<Finding> {
    let (layout, cidr) = (&provider.layout, provider.network.cidr);
    let owner = provider.segment.owner();
    if owner == Owner::Other {
        let space = layout.bridge_namespace();
        return Ok(bad(
            format!("the network namespace {space} belongs to a cluster {} of another state directory", layout.cluster()),
            format!("destroy that one, give this one another name, or, if nobody needs it, `ip netns del {space}`"),
        ));
    }
    let link = layout.host_link();
    if owner == Owner::Nobody && network::exists(None, &link)? {
        let seen = format!("this machine has an interface {link} that is not this cluster's");
        return Ok(bad(seen, format!("give the cluster another name, or `ip link del {link}`")));
    }
    let routes = network::routes(provider.network.gateway)?;
    Ok(match overlap(&routes, cidr, &link)? {
        None => good(format!("{cidr} unused")),
        Some(route) => bad(
            format!("{cidr} overlaps with this machine's {route}"),
            "take another network in the cluster file (network.gateway, endpoint.vip, the nodes' addresses)",
        ),
    })
}

/// The first route of `ip -j route` that shares addresses with the cluster, in words.
fn overlap(routes: &str, cidr: IpNet, own_link: &str) -> Result<Option<String>> {
    let routes: Vec<serde_json::Value> = serde_json::from_str(routes).context("cannot read what `ip route` says")?;
    let text = |route: &serde_json::Value, key: &str| route.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_string();
    Ok(routes.iter().find_map(|route| {
        let (target, link) = (text(route, "dst"), text(route, "dev"));
        let net = target.parse::<IpNet>().or_else(|_| target.parse::<IpAddr>().map(IpNet::from)).ok()?;
        // A default route may be written as a prefix of no length.
        let shares = net.prefix_len() > 0 && (net.contains(&cidr) || cidr.contains(&net));
        if !shares || link == own_link {
            return None;
        }
        let what = if text(route, "type") == "local" { "address" } else { "route" };
        let device = if link.is_empty() { String::new() } else { format!(" dev {link}") };
        Some(format!("{what} {target}{device}"))
    }))
}

fn size(mib: u64) -> String {
    if mib >= 10 * 1024 { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = r#"[{"dst":"default","gateway":"192.168.1.1","dev":"eth0"},
        {"dst":"192.168.1.0/24","dev":"eth0"},{"dst":"10.77.0.11","dev":"ha-demo","scope":"link"},
        {"type":"local","dst":"10.99.0.7","dev":"wg0","table":"local"},{"type":"unreachable","dst":"172.16.0.0/12"}]"#;

    #[test]
    fn routes_that_overlap_are_named() {
        let see = |cidr: &str| overlap(ROUTES, cidr.parse().unwrap(), "ha-demo").unwrap();
        assert_eq!(see("10.77.0.0/24"), None);
        assert_eq!(see("192.168.1.128/25").unwrap(), "route 192.168.1.0/24 dev eth0");
        assert_eq!(see("10.99.0.0/16").unwrap(), "address 10.99.0.7 dev wg0");
        assert_eq!(see("172.20.0.0/24").unwrap(), "route 172.16.0.0/12");
        assert!(overlap(ROUTES, "10.77.0.0/24".parse().unwrap(), "ha-other").unwrap().is_some());
    }

    #[test]
    fn systemd_s_version_is_in_a_file_name() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(systemd_version(dir.path()), None);
        let place = dir.path().join("usr/lib/x86_64-linux-gnu/systemd");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("libsystemd-core-257.so"), "").unwrap();
        std::fs::write(place.join("libsystemd-shared-257.so"), "").unwrap();
        assert_eq!(systemd_version(dir.path()), Some(257));
    }

    #[test]
    fn free_memory() {
        assert_eq!(mem_available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2048));
        assert_eq!(size(512), "512 MiB");
        assert_eq!(size(24 * 1024), "24 GiB");
    }

    #[test]
    fn the_deepest_existing_part() {
        assert_eq!(existing(Path::new("/usr/no/such")), Path::new("/usr"));
    }
}
