//! The hand-over to systemd-sysupdate: what fetches the bakery's newer images, and leaves them to the next boot.

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node, Sysext, Updates};

use super::build::ConfigBuilder;
use crate::assets;
use crate::bakery::{Artefacts, SysextSource};

/// The service that Flatcar's timer starts, each hour.
pub const SERVICE: &str = "systemd-sysupdate.service";
const TIMER: &str = "systemd-sysupdate.timer";
/// systemd-sysupdate without any transfer of the whole machine is an error (flatcar/sysext-bakery#88): one that finds nothing.
const NOOP: &str = "[Source]\nType=regular-file\nPath=/\nMatchPattern=invalid@v.raw\n\n[Target]\nType=regular-file\nPath=/\n";
/// What kured and Flatcar's own tools look at.
const REBOOT: &str = "/run/reboot-required";

/// Writes it if the cluster file says so, for what is the bakery's; nothing otherwise.
pub fn write_updates(
    build: &mut ConfigBuilder,
    cluster: &Cluster,
    node: &Node,
    sysexts: &Artefacts,
) -> Result<()> {
    if cluster.updates != Updates::Sysupdate {
        return Ok(());
    }
    let disk = assets::has_disk(cluster, sysexts);
    let mut any = false;
    for (name, sysext) in sysexts {
        let (Some(Sysext::Bakery { version }), SysextSource::Url { url, .. }) = (
            cluster.sysexts.get(name).or_else(|| node.sysexts.get(name)),
            &sysext.source,
        ) else {
            continue;
        };
        let path = format!("/etc/sysupdate.{name}.d/{name}.conf");
        build.file(&path, 0o644, &transfer_file(name, version, url, disk))?;
        build.dropin(SERVICE, &format!("{name}.conf"), &staging_drop_in(name));
        any = true;
    }
    if any {
        build.file("/etc/sysupdate.d/noop.conf", 0o644, NOOP)?;
        build.enable(TIMER);
    }
    Ok(())
}

/// The bakery's template. `Verify=` asks for a signature, which the bakery has not; the hashes of SHA256SUMS are checked.
/// What is on the disk is not among the installed, and would be fetched once more if it were the newest.
fn transfer_file(name: &str, version: &str, url: &str, disk: bool) -> String {
    // BASE/NAME-VERSION/FILE: all versions are listed in BASE/NAME.
    let base = url.rsplitn(3, '/').nth(2).unwrap_or_default();
    let patch = version
        .rsplit('.')
        .next()
        .and_then(|p| p.parse::<u32>().ok());
    let newer = match patch.filter(|_| disk) {
        Some(patch) => format!("MinVersion={}\n", patch.saturating_add(1)),
        None => String::new(),
    };
    format!(
        "[Transfer]\nVerify=false\n{newer}\n\
         [Source]\nType=url-file\nPath={base}/{name}/\nMatchPattern={}\n\n\
         [Target]\nInstancesMax=3\nType=regular-file\nPath=/opt/extensions/{name}\nCurrentSymlink=/etc/extensions/{name}.raw\n",
        match_pattern(name, version)
    )
}

/// Patches alone, of everything: a kubelet must not be newer than its apiserver, CRI-O goes with the kubelet's minor version,
/// and the balancer's configuration was tried with one branch of each.
fn match_pattern(name: &str, version: &str) -> String {
    match version.rsplit_once('.') {
        Some((minor, _)) => format!("{name}-{minor}.@v-%a.raw"),
        None => format!("{name}-@v-%a.raw"),
    }
}

/// Fetches, turns the link, says that a boot would change something, and no more: what runs stays what it is, and nothing is
/// restarted behind Kubernetes' back. `-`: one that cannot be fetched does not stop the others.
fn staging_drop_in(name: &str) -> String {
    let link = format!("/etc/extensions/{name}.raw");
    let seen = format!("/run/ha-sysupdate.{name}");
    format!(
        "[Service]\n\
         ExecStartPre=/usr/bin/sh -c \"readlink --canonicalize {link} > {seen}\"\n\
         ExecStartPre=-/usr/lib/systemd/systemd-sysupdate -C {name} update\n\
         ExecStartPre=/usr/bin/sh -c \"readlink --canonicalize {link} | cmp --silent - {seen} || touch {REBOOT}\"\n"
    )
}
