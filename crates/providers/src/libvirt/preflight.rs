//! Can the hosts carry the cluster? Looks at everything that has broken one, changes nothing, and names the cure.

use anyhow::Result;
use ha_cluster_file::cluster::{Accel, Firmware};
use ha_host_base::command::which;
use indicatif::BinaryBytes;

use super::Libvirt;
use super::host::{Found, Host, has_firmware};
use super::image;
use super::node::Sources;
use super::virsh::PACKAGE;
use super::xml::domain::Domain;
use crate::finding::{bad, good};
use crate::shared::host_facts;
use crate::{Finding, Machine, Provider, address_probe};

/// The remedy of faults that bring none.
const RETRY: &str = "fix that, then launch again";
/// What a host should keep for itself.
const SPARE_MEMORY: u64 = 512 << 20;
/// What a node's disk holds once Kubernetes runs: container images, etcd, logs.
const NODE_DISK: u64 = 2 << 30;

/// All findings, good ones too.
pub fn check_host(provider: &Libvirt) -> Result<Vec<Finding>> {
    if which("virsh").is_none() {
        return Ok(vec![bad("virsh is not installed", PACKAGE)]);
    }
    let sources = Sources::find(provider);
    let mut findings = vec![match &sources {
        Ok(sources) => good(format!("image {}", sources.base.path.display())),
        Err(error) => Finding::of_error(error, RETRY),
    }];
    for host in provider.hosts.values() {
        match host.virsh.run(&["uri"]) {
            Err(error) => findings.push(Finding::of_error(&error, RETRY)),
            Ok(_) => {
                findings.push(good(host.virsh.uri()));
                findings.extend(check_capabilities(provider, host)?);
                findings.extend(check_names(provider, host)?);
                findings.extend(check_network(provider, host)?);
                findings.push(check_memory(provider, host)?);
                findings.push(check_pool(provider, host, sources.as_ref().ok())?);
            }
        }
    }
    if findings.iter().all(|f| f.ok) {
        findings.extend(check_addresses(provider)?);
    }
    Ok(findings)
}

/// Addresses that somebody else has, as far as this machine shares a segment with them. Those of nodes that run are theirs.
fn check_addresses(provider: &Libvirt) -> Result<Vec<Finding>> {
    let mut wanted = Vec::new();
    for node in &provider.nodes {
        if provider.state(node)? != Machine::Running {
            wanted.push((node.address, format!("the address of {}", node.name)));
        }
    }
    if wanted.len() == provider.nodes.len() {
        wanted.push((provider.vip, "the VIP".to_owned()));
    }
    address_probe::check_unused(&wanted)
}

/// Architecture, firmware, accelerator.
fn check_capabilities(provider: &Libvirt, host: &Host) -> Result<Vec<Finding>> {
    let (vm, uri) = (&provider.options.vm, host.virsh.uri());
    let Some(capabilities) = host
        .capabilities(vm.arch, "qemu")
        .or_else(|| host.capabilities(vm.arch, "kvm"))
    else {
        let package = match vm.arch {
            ha_cluster_file::cluster::Arch::X86_64 => "qemu-system-x86",
            ha_cluster_file::cluster::Arch::Arm64 => "qemu-system-arm",
        };
        return Ok(vec![bad(
            format!(
                "libvirt at {uri} runs no machines of architecture {}",
                vm.arch
            ),
            format!(
                "install its emulator there (apt-get install {package}), or fix `arch` in the cluster file"
            ),
        )]);
    };
    let mut findings = Vec::new();
    if !has_firmware(&capabilities, vm.firmware)? {
        debug_assert_eq!(vm.firmware, Firmware::Uefi);
        findings.push(bad(
            format!("libvirt at {uri} has no UEFI firmware for {}", vm.arch),
            "install it there (apt-get install ovmf, on arm64 qemu-efi-aarch64), or write `firmware: bios`",
        ));
    }
    let kvm = host.accel(vm)?;
    findings.push(match (kvm.works, vm.accel) {
        (false, Accel::Kvm) => bad(kvm.message, kvm.remedy),
        (false, Accel::Auto) => good(format!("TCG, some ten times slower: {}", kvm.message)),
        _ => good(kvm.message),
    });
    Ok(findings)
}

fn check_names(provider: &Libvirt, host: &Host) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for node in provider.nodes_of(host) {
        if let Found::Foreign(unfit) = host.find(&node.name)? {
            findings.push(unfit.into());
        }
    }
    Ok(findings)
}

fn check_network(provider: &Libvirt, host: &Host) -> Result<Vec<Finding>> {
    let faults = provider.wiring.look(host)?;
    if faults.is_empty() {
        return Ok(vec![good("network")]);
    }
    Ok(faults.into_iter().map(Finding::from).collect())
}

fn check_memory(provider: &Libvirt, host: &Host) -> Result<Finding> {
    let free = free_memory(&host.virsh.run(&["nodememstats"])?);
    let mut nodes = 0;
    for node in provider.nodes_of(host) {
        let runs = matches!(
            host.find(&node.name)?,
            Found::Ours(Domain { active: true, .. })
        );
        nodes += u64::from(!runs);
    }
    let place = format!(" at {}", host.virsh.uri());
    Ok(host_facts::memory_finding(
        free,
        &place,
        nodes,
        provider.options.vm.memory,
        SPARE_MEMORY,
    ))
}

/// Bytes that can be had: what is free, and what only caches files.
fn free_memory(stats: &str) -> u64 {
    let kib = |name: &str| -> u64 {
        let line = stats
            .lines()
            .find(|l| l.split(':').next().map(str::trim) == Some(name));
        line.and_then(|l| l.split(':').nth(1)?.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    (kib("free") + kib("buffers") + kib("cached")) * 1024
}

fn check_pool(provider: &Libvirt, host: &Host, sources: Option<&Sources>) -> Result<Finding> {
    let name = host.pool.name();
    let Some(seen) = host.pool.look()? else {
        return Ok(good(format!("pool {name} to be made")));
    };
    if let Some(unfit) = host.pool.unfit(&seen) {
        return Ok(unfit.into());
    }
    if !seen.active {
        return Ok(good(format!("pool {name} to be started")));
    }
    let mut needed = 0;
    for node in provider.nodes_of(host) {
        needed += if host.find(&node.name)? == Found::Absent {
            NODE_DISK
        } else {
            0
        };
    }
    for (what, file) in sources
        .filter(|_| needed > 0)
        .iter()
        .flat_map(|s| s.shared())
    {
        needed += image::bytes_to_send(host, what, file)?;
    }
    let free = BinaryBytes(seen.available);
    Ok(if seen.available >= needed {
        good(format!("pool {name}, {free} free"))
    } else {
        bad(
            format!(
                "pool {name} at {} has {free} free, image and new nodes need {}",
                host.virsh.uri(),
                BinaryBytes(needed)
            ),
            "make room there, or name another pool with `pool: NAME`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_can_be_had() {
        let stats = "total  :             24684092 KiB\nfree   :                 1024 KiB\nbuffers:                 1024 KiB\n\
                     cached :                 2048 KiB\n";
        assert_eq!(free_memory(stats), 4 << 20);
    }
}
