//! Can this machine carry the cluster? Looks at everything, changes nothing, and names the remedy.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use ha_cluster_file::cluster::{Accel, Arch, Firmware, Image, Sysext};
use ha_host_base::command::run_for_stdout;
use ha_host_base::text::shown_path;
use indicatif::BinaryBytes;

use super::{Qemu, gateway, machine, programs};
use crate::finding::{bad_finding, good_finding};
use crate::shared::host_facts::{self, available_memory};
use crate::vm::kvm::KvmVerdict;
use crate::vm::{disk_too_small, image, overlay};
use crate::{Finding, Machine};

/// The remedy of faults that bring none.
const FIX_FILE: &str = "fix the cluster file";
/// The same for faults of an image.
const FIX_IMAGE: &str = "fix `image` in the cluster file";
/// The first QEMU whose `-netdev stream` connects again. The one before, 7.2, also translates wrongly: under TCG guests with
/// Linux 6.12 die of double faults.
const OLDEST: (u32, u32) = (8, 0);
/// What a node's disk takes in its first days: logs, etcd, containers.
const NODE_DISK: u64 = 2 << 30;

/// All findings, good ones too.
pub fn check_host(provider: &Qemu) -> Result<Vec<Finding>> {
    let arch = provider.options.vm.arch;
    let mut findings = vec![check_network(provider)];
    let system = programs::find_system(arch);
    match (&system, programs::find_img(arch)) {
        (Ok(_), Ok(qemu_img)) => {
            findings.extend(check_emulator(provider)?);
            findings.push(check_image(provider, &qemu_img));
        }
        (Err(error), _) => findings.push(Finding::of_error(error, FIX_FILE)),
        (_, Err(error)) => findings.push(Finding::of_error(&error, FIX_FILE)),
    }
    findings.extend(check_files(provider));
    findings.push(check_memory(provider)?);
    findings.push(check_disk(provider)?);
    findings.push(check_ports(provider));
    Ok(findings)
}

fn check_emulator(provider: &Qemu) -> Result<Vec<Finding>> {
    let arch = provider.options.vm.arch;
    let program = programs::find_system(arch)?;
    let qemu = programs::probe_emulator(&program)?;
    let version = qemu.version;
    let devices =
        run_for_stdout(Command::new(&program).args(["-machine", "none", "-netdev", "help"]))?;
    let lacking = ["user", "stream"]
        .into_iter()
        .find(|kind| !devices.lines().any(|line| line.trim() == *kind));
    let own = if version < OLDEST {
        bad_finding(
            format!(
                "QEMU {}.{} is too old, {}.{} is needed",
                version.0, version.1, OLDEST.0, OLDEST.1
            ),
            "take a newer one (Debian 12: from bookworm-backports)",
        )
    } else if let Some(kind) = lacking {
        bad_finding(
            format!("{} is built without `-netdev {kind}`", program.display()),
            format!(
                "take your distribution's full one; {}",
                programs::packages_to_install(arch)
            ),
        )
    } else {
        let open = match qemu.sandbox {
            true => "",
            false => ", built without seccomp: its processes are not confined",
        };
        good_finding(format!("QEMU {}.{}{open}", version.0, version.1))
    };
    Ok(vec![own, check_accelerator(provider)?])
}

fn check_accelerator(provider: &Qemu) -> Result<Finding> {
    let vm = &provider.options.vm;
    let slow = "TCG, some ten times slower";
    if vm.accel == Accel::Tcg {
        return Ok(good_finding(slow));
    }
    if vm.arch != Arch::HOST {
        let seen = format!("{} machines on {}: {slow}", vm.arch, Arch::HOST);
        return Ok(match vm.accel {
            Accel::Kvm => bad_finding(
                seen,
                "write `accel: auto`, or take images of this machine's architecture",
            ),
            _ => good_finding(seen),
        });
    }
    let verdict = provider.verdict()?;
    Ok(match (verdict, vm.accel) {
        (KvmVerdict::Works, _) => good_finding("KVM"),
        (other, Accel::Kvm) => bad_finding(
            other.message(),
            format!("{}; or write `accel: auto`", other.remedy()),
        ),
        (other, _) => good_finding(format!("{slow}: {} ({})", other.message(), other.remedy())),
    })
}

fn check_image(provider: &Qemu, qemu_img: &Path) -> Finding {
    let vm = &provider.options.vm;
    let look = || -> Result<Finding> {
        let base = image::base_image(vm)?;
        let info = overlay::image_info(qemu_img, &base)?;
        if info.virtual_size > vm.disk {
            return Ok(disk_too_small(vm.disk, &base, info.virtual_size).into());
        }
        Ok(good_finding(format!(
            "image {} ({})",
            shown_path(&base),
            info.format
        )))
    };
    look().unwrap_or_else(|error| Finding::of_error(&error, FIX_IMAGE))
}

/// Kernel, firmware and sysexts.
fn check_files(provider: &Qemu) -> Vec<Finding> {
    let vm = &provider.options.vm;
    let mut findings = Vec::new();
    if let Image::File {
        kernel: Some(kernel),
        ..
    } = &vm.image
    {
        for file in [&kernel.path, &kernel.initrd] {
            if let Err(error) = std::fs::File::open(file) {
                let seen = format!("cannot read {}: {error}", shown_path(file));
                findings.push(bad_finding(seen, FIX_IMAGE));
            }
        }
    }
    if vm.firmware == Firmware::Uefi {
        match programs::find_firmware(Path::new("/usr/share"), vm.arch) {
            Ok(_) => findings.push(good_finding("UEFI")),
            Err(error) => findings.push(Finding::of_error(&error, FIX_FILE)),
        }
    }
    let other = match vm.arch {
        Arch::X86_64 => Arch::Arm64,
        Arch::Arm64 => Arch::X86_64,
    };
    for (name, sysext) in provider.cluster.all_sysexts() {
        let Sysext::File(file) = sysext else { continue };
        if file.to_string_lossy().ends_with(&format!("-{other}.raw")) {
            findings.push(bad_finding(
                format!(
                    "sysext {name}: {} is made for {other}, the machines are {}",
                    shown_path(file),
                    vm.arch
                ),
                format!("take the one for {}, or write `arch: {other}`", vm.arch),
            ));
        }
    }
    findings
}

/// Nodes in such a state.
fn count_nodes(provider: &Qemu, wanted: impl Fn(Machine) -> bool) -> u64 {
    let nodes = provider.cluster.nodes.iter();
    nodes
        .filter(|node| wanted(machine::machine_state(&provider.dir(node))))
        .count() as u64
}

fn check_memory(provider: &Qemu) -> Result<Finding> {
    let free = available_memory()?;
    let nodes = count_nodes(provider, |state| state != Machine::Running);
    Ok(memory_for(nodes, provider.options.vm.memory, free))
}

/// Guests seldom touch all they have, so up to twice what is free may be given.
fn memory_for(nodes: u64, each: u64, free: u64) -> Finding {
    let needed = nodes * each;
    if needed <= free {
        return good_finding(format!("{} memory free", BinaryBytes(free)));
    }
    let seen = format!(
        "{nodes} nodes of {} may take {}, {} memory is free",
        BinaryBytes(each),
        BinaryBytes(needed),
        BinaryBytes(free)
    );
    if needed <= 2 * free {
        return good_finding(format!("{seen} (tight)"));
    }
    bad_finding(
        seen,
        "stop other programs, or take fewer nodes or less `memory` in the cluster file",
    )
}

fn check_disk(provider: &Qemu) -> Result<Finding> {
    let needed = count_nodes(provider, |state| state == Machine::Absent) * NODE_DISK;
    host_facts::disk_finding(provider.layout.machines.path(), needed)
}

fn check_network(provider: &Qemu) -> Finding {
    let cluster = &provider.cluster;
    let addresses = cluster.nodes.iter().map(|node| node.address);
    if let Some(ip) = addresses
        .chain([cluster.endpoint.vip])
        .find(IpAddr::is_ipv6)
    {
        return bad_finding(
            format!("{ip}: the nodes' network of provider qemu is IPv4 only"),
            "write IPv4 addresses; services and pods follow",
        );
    }
    match gateway::name_server(cluster) {
        Ok(dns) => good_finding(format!("name server {dns}")),
        Err(error) => Finding::of_error(&error, FIX_FILE),
    }
}

fn check_ports(provider: &Qemu) -> Finding {
    match provider.gateway.foresee() {
        Ok(table) => {
            let vip = provider.cluster.endpoint.vip;
            let shown = table.iter().filter(|(inside, _)| inside.ip() == vip);
            let shown: Vec<String> = shown
                .map(|(inside, port)| format!("127.0.0.1:{port} is {inside}"))
                .collect();
            good_finding(shown.join(", "))
        }
        Err(error) => Finding::of_error(&error, FIX_FILE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_may_be_overcommitted_once() {
        let gib = 1 << 30;
        assert!(
            memory_for(3, 2 * gib, 6 * gib).message.contains("6.00 GiB")
                || memory_for(3, 2 * gib, 6 * gib).ok
        );
        let tight = memory_for(3, 4 * gib, 6 * gib);
        assert!(
            tight.ok && tight.message.contains("12.00 GiB") && tight.message.ends_with("(tight)"),
            "{tight:?}"
        );
        assert!(!memory_for(4, 4 * gib, 6 * gib).ok);
        assert!(memory_for(0, 4 * gib, 0).ok);
    }
}
