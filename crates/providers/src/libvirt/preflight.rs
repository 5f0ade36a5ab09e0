//! Can the hosts carry the cluster? Looks at everything that has broken one, changes nothing, and names the remedy.

use anyhow::Result;
use ha_cluster_file::cluster::{Accel, Firmware, Node};
use ha_host_base::command::find_program;
use ha_host_base::text::shown_path;
use indicatif::BinaryBytes;

use super::Libvirt;
use super::host::{Found, Host, has_firmware};
use super::node::is_running;
use super::sources::Sources;
use super::survey::Survey;
use super::virsh::PACKAGE;
use crate::finding::{bad_finding, good_finding};
use crate::shared::host_facts;
use crate::{Finding, address_probe};

/// The remedy of faults that bring none.
const RETRY: &str = "fix that, then launch again";
/// What a host should keep for itself.
const SPARE_MEMORY: u64 = 512 << 20;
/// What a node's disk holds once Kubernetes runs: container images, etcd, logs.
const NODE_DISK: u64 = 2 << 30;

/// All findings, good ones too.
pub fn check_host(provider: &Libvirt) -> Result<Vec<Finding>> {
    if find_program("virsh").is_none() {
        return Ok(vec![bad_finding("virsh is not installed", PACKAGE)]);
    }
    let sources = Sources::find(provider);
    let mut findings = vec![match &sources {
        Ok(sources) => good_finding(format!("image {}", shown_path(&sources.base.path))),
        Err(error) => Finding::of_error(error, RETRY),
    }];
    let surveys = provider.at_every_host(|host| Survey::make(provider, host));
    let mut running = Vec::new();
    for (host, survey) in surveys {
        match survey {
            Err(error) => findings.push(Finding::of_error(&error, RETRY)),
            Ok(survey) => {
                let at_host = provider.nodes_of(host).zip(&survey.domains);
                running.extend(
                    at_host
                        .filter(|(_, found)| is_running(found))
                        .map(|(n, _)| n),
                );
                findings.push(good_finding(host.virsh.uri()));
                findings.extend(judge_host(provider, host, &survey, sources.as_ref().ok())?);
            }
        }
    }
    if findings.iter().all(|f| f.ok) {
        findings.extend(check_addresses(provider, &running)?);
    }
    Ok(findings)
}

fn judge_host(
    provider: &Libvirt,
    host: &Host,
    survey: &Survey,
    sources: Option<&Sources>,
) -> Result<Vec<Finding>> {
    let mut findings = judge_capabilities(provider, host, survey)?;
    for found in &survey.domains {
        if let Found::Foreign(unfit) = found {
            findings.push(unfit.clone().into());
        }
    }
    let (wiring, network) = (&provider.wiring, survey.network.as_ref());
    match wiring.faults(host, network, survey.network_active) {
        none if none.is_empty() => findings.push(good_finding("network")),
        faults => findings.extend(faults.into_iter().map(Finding::from)),
    }
    findings.push(judge_memory(provider, host, survey));
    findings.push(judge_pool(provider, host, survey, sources)?);
    Ok(findings)
}

/// Addresses that somebody else has, as far as this machine shares a segment with them. Those of nodes that run are theirs.
fn check_addresses(provider: &Libvirt, running: &[&Node]) -> Result<Vec<Finding>> {
    let others = provider.nodes.iter().filter(|node| !running.contains(node));
    let wanted = others.flat_map(|node| {
        let all = node.addresses();
        all.map(move |at| (at, format!("the address of {}", node.name)))
    });
    let mut wanted: Vec<_> = wanted.collect();
    if running.is_empty() {
        wanted.extend(provider.vip.map(|vip| (vip, "the VIP".to_owned())));
    }
    address_probe::check_unused(&wanted)
}

/// Architecture, firmware, accelerator.
fn judge_capabilities(provider: &Libvirt, host: &Host, survey: &Survey) -> Result<Vec<Finding>> {
    let (vm, uri) = (&provider.options.vm, host.virsh.uri());
    let Some(capabilities) = &survey.capabilities else {
        let package = match vm.arch {
            ha_cluster_file::cluster::Arch::X86_64 => "qemu-system-x86",
            ha_cluster_file::cluster::Arch::Arm64 => "qemu-system-arm",
        };
        return Ok(vec![bad_finding(
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
    if !has_firmware(capabilities, vm.firmware)? {
        debug_assert_eq!(vm.firmware, Firmware::Uefi);
        findings.push(bad_finding(
            format!("libvirt at {uri} has no UEFI firmware for {}", vm.arch),
            "install it there (apt-get install ovmf, on arm64 qemu-efi-aarch64), or write `firmware: bios`",
        ));
    }
    let kvm = host.judge_accel(vm, Some(capabilities))?;
    findings.push(match (kvm.works, vm.accel) {
        (false, Accel::Kvm) => bad_finding(kvm.message, kvm.remedy),
        (false, Accel::Auto) => {
            good_finding(format!("TCG, some ten times slower: {}", kvm.message))
        }
        _ => good_finding(kvm.message),
    });
    Ok(findings)
}

fn judge_memory(provider: &Libvirt, host: &Host, survey: &Survey) -> Finding {
    let idle = survey.domains.iter().filter(|found| !is_running(found));
    host_facts::memory_finding(
        survey.free_memory,
        &format!(" at {}", host.virsh.uri()),
        idle.count() as u64,
        provider.options.vm.memory,
        SPARE_MEMORY,
    )
}

fn judge_pool(
    provider: &Libvirt,
    host: &Host,
    survey: &Survey,
    sources: Option<&Sources>,
) -> Result<Finding> {
    let name = host.pool.name();
    let Some(seen) = &survey.pool else {
        return Ok(good_finding(format!("pool {name} to be made")));
    };
    if let Some(unfit) = host.pool.unfit(seen) {
        return Ok(unfit.into());
    }
    if !seen.active {
        return Ok(good_finding(format!("pool {name} to be started")));
    }
    let new = survey.domains.iter().filter(|f| **f == Found::Absent);
    let mut needed = NODE_DISK * new.count() as u64;
    if let Some(sources) = sources.filter(|_| needed > 0) {
        // Whether the host has the image already is asked only if that matters.
        let all = sources.shared_size()?;
        needed += match seen.available >= needed + all {
            true => all,
            false => sources.bytes_to_send(host, &provider.machines)?,
        };
    }
    let free = BinaryBytes(seen.available);
    Ok(if seen.available >= needed {
        good_finding(format!("pool {name}, {free} free"))
    } else {
        bad_finding(
            format!(
                "pool {name} at {} has {free} free, image and new nodes need {}",
                host.virsh.uri(),
                BinaryBytes(needed)
            ),
            "make room there, or name another pool with `pool: NAME`",
        )
    })
}
