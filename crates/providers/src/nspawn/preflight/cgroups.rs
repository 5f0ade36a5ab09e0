//! Whether this machine's cgroups can carry kubelets, and the image's systemd.

use std::path::Path;

use anyhow::Result;

use super::super::cgroup::{self, CgroupLayout};
use super::super::{Nspawn, host_runs_systemd};
use super::{bad_finding, good_finding};
use crate::Finding;

/// From this version on systemd does not boot on cgroup version 1.
const SYSTEMD_WITHOUT_V1: u32 = 258;

/// What stands in the way, or which version it is.
pub fn check_cgroups(provider: &Nspawn) -> Result<Vec<Finding>> {
    let own = cgroup::hierarchies_of("self")?;
    let kind = cgroup::cgroup_layout(&own);
    let missing = cgroup::missing_controllers(&own);
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let remedy = "mount them (v1), or run ha-host where they are delegated: as root outside of a container, or in one with its \
                    own cgroup namespace";
        findings.push(bad_finding(
            format!(
                "cgroup controllers that kubelet needs are missing: {}",
                missing.join(", ")
            ),
            remedy,
        ));
    }
    if let Some(dir) = cgroup::blocking_group(&own).filter(|_| !host_runs_systemd()) {
        let seen = format!(
            "the cgroup {} holds processes, so it cannot hand controllers down to nodes",
            dir.display()
        );
        findings.push(bad_finding(seen, cgroup::remedy_for(&dir)));
    }
    let version = systemd_version(&provider.image.join("root"));
    if let Some(version) =
        version.filter(|version| kind == CgroupLayout::V1 && *version >= SYSTEMD_WITHOUT_V1)
    {
        findings.push(bad_finding(
            format!("the image's systemd {version} does not boot on this host's cgroup version 1"),
            "boot the host with `systemd.unified_cgroup_hierarchy=1`, or take an image with systemd 257 or older",
        ));
    }
    if findings.is_empty() {
        findings.push(good_finding(if kind == CgroupLayout::V1 {
            "cgroup v1"
        } else {
            "cgroup v2"
        }));
    }
    Ok(findings)
}

/// From the name of the library that all of systemd is linked to: `libsystemd-shared-257.so`, `-255.4-1.so`.
fn systemd_version(root: &Path) -> Option<u32> {
    let places = [
        "usr/lib/systemd",
        "usr/lib64/systemd",
        "usr/lib/x86_64-linux-gnu/systemd",
        "usr/lib/aarch64-linux-gnu/systemd",
    ];
    let entries = places
        .iter()
        .filter_map(|place| std::fs::read_dir(root.join(place)).ok())
        .flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| {
            let rest = name.strip_prefix("libsystemd-shared-")?;
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
