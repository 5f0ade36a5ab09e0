//! What each provider needs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::cluster::{Arch, Firmware, Mac};
use crate::diagnostic::Fault;
use crate::file::{
    AssetsFile, ClusterFile, ImageFile, LibvirtFile, NetworkChoice, ProviderFile, Size, Spanned,
    VmFile,
};
use crate::version::version_parts;

/// kubeadm's preflight wants 1700 MB on control planes; the next round size.
const MIN_MEMORY: Size = Size(2 << 30);
/// kubeadm's preflight wants two CPUs on control planes.
const MIN_CPUS: u32 = 2;
/// Flatcar's image is 8.5 GiB; images and etcd need the rest.
const MIN_DISK: Size = Size(12 << 30);
/// RFC 8200's least for IPv6; less than this breaks more than it mends.
const MIN_MTU: u32 = 1280;
/// The largest that IPv4 can say.
const MAX_MTU: u32 = 65_535;
/// The channels that Flatcar releases to.
const CHANNELS: [&str; 4] = ["stable", "beta", "alpha", "lts"];

pub(super) fn check_provider(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let provider = file.provider.as_ref().map(|provider| &provider.value);
    match provider {
        Some(ProviderFile::Libvirt(options)) => {
            check_libvirt(options, faults);
            check_hosts(file, options, faults);
        }
        Some(ProviderFile::Nspawn(options)) => options
            .image
            .iter()
            .for_each(|image| super::files::check_local_path(image, faults)),
        Some(ProviderFile::Qemu(_)) => check_qemus_network(file, faults),
        Some(ProviderFile::None) | None => {}
    }
    match provider.and_then(ProviderFile::vm) {
        Some(vm) => check_machine(vm, faults),
        None => check_not_virtual(file, faults),
    }
    if let Some(Spanned {
        value: AssetsFile::Disk(images),
        ..
    }) = &file.assets
    {
        images
            .iter()
            .for_each(|image| super::files::check_local_path(image, faults));
    }
}

/// What only virtual machines have.
fn check_not_virtual(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(provider) = &file.provider else {
        return;
    };
    if let Some(
        assets @ Spanned {
            value: AssetsFile::Disk(_),
            ..
        },
    ) = &file.assets
    {
        let help = "leave it out: containers get local files as they are, other machines fetch what `sysexts` names";
        faults.push(
            assets
                .error("is only valid with libvirt and qemu", help)
                .also(provider.place, "provider"),
        );
    }
}

/// QEMU's user network forwards ports of IPv4 alone.
fn check_qemus_network(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let (Some(vip), Some(provider)) = (&file.endpoint.vip, &file.provider) else {
        return;
    };
    if vip.value.is_ipv6() {
        let message = format!(
            "{} is an IPv6 address, and qemu's own network is IPv4",
            vip.value
        );
        let help = "use IPv4 for the whole cluster, or provider libvirt";
        let fault = vip.error(message, help);
        faults.push(fault.also(provider.place, "provider"));
        return;
    }
    let mut second = file
        .entries()
        .iter()
        .filter_map(|node| node.second_address.as_ref());
    if let Some(at) = second.next() {
        let message = format!(
            "{} is an IPv6 address, and qemu's own network is IPv4",
            at.value
        );
        let help = "use IPv4 alone, or provider libvirt, nspawn or none";
        faults.push(at.error(message, help).also(provider.place, "provider"));
    }
}

fn check_libvirt(libvirt: &LibvirtFile, faults: &mut Vec<Fault>) {
    libvirt
        .uri
        .iter()
        .for_each(|at| check_libvirt_uri(at, faults));
    if let Some(bridge) = &libvirt.network.bridge {
        super::network::check_interface_name(bridge, faults);
    }
    for name in libvirt.network.name.iter().chain(&libvirt.pool) {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let plain = !name.value.starts_with('-') && name.value.chars().all(fine);
        if name.value.is_empty() || !plain {
            let message = format!("`{}` is not a valid libvirt name", name.value);
            faults.push(name.error(message, "use letters, digits, `-`, `_` and `.`"));
        }
    }
}

fn check_libvirt_uri(uri: &Spanned<String>, faults: &mut Vec<Fault>) {
    if !uri.value.contains("://") {
        faults.push(uri.error(
            format!("`{}` is not a libvirt URI", uri.value),
            "write e.g. qemu:///system, or qemu+ssh://user@host/system",
        ));
    }
}

/// Nodes on several hosts: a NAT network is one host's.
fn check_hosts(file: &ClusterFile, libvirt: &LibvirtFile, faults: &mut Vec<Fault>) {
    let uris = file.entries().iter().filter_map(|node| node.uri.as_ref());
    let Some(first) = uris.clone().next() else {
        return;
    };
    uris.for_each(|at| check_libvirt_uri(at, faults));
    let own = libvirt
        .network
        .name
        .as_ref()
        .filter(|name| name.value == NetworkChoice::OWN);
    if let Some(network) = own {
        let message = "names another host, but the cluster's own network exists on one host only";
        let help = "write `network: {bridge: br0}` in the provider's options, with a bridge that every host has";
        let fault = first.error(message, help);
        let fault = if network.given {
            fault.also(network.place, network.path.clone())
        } else {
            fault
        };
        faults.push(fault);
    }
}

fn check_machine(vm: &VmFile, faults: &mut Vec<Fault>) {
    if let Some(cpus) = vm.cpus.as_ref().filter(|cpus| cpus.value < MIN_CPUS) {
        let message = format!(
            "{} is too few: kubeadm requires {MIN_CPUS} on a control plane",
            cpus.value
        );
        faults.push(cpus.error(message, format!("write {MIN_CPUS} or more")));
    }
    for (size, least) in [(&vm.memory, MIN_MEMORY), (&vm.disk, MIN_DISK)] {
        if let Some(size) = size.as_ref().filter(|size| size.value.0 < least.0) {
            let message = format!("{} is too little for a node", size.value);
            faults.push(size.error(message, format!("write {least} or more")));
        }
    }
    if let Some(cpu) = &vm.cpu {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.,+=".contains(c);
        if cpu.value.is_empty() || !cpu.value.chars().all(fine) {
            let message = format!("`{}` is not a QEMU processor model", cpu.value);
            faults.push(cpu.error(
                message,
                "write `host`, or a name of `qemu-system-x86_64 -cpu help`",
            ));
        }
    }
    let arm = vm
        .arch
        .as_ref()
        .is_some_and(|arch| arch.value == Arch::Arm64);
    if let Some(firmware) = vm
        .firmware
        .as_ref()
        .filter(|f| arm && f.value == Firmware::Bios)
    {
        faults.push(firmware.error("does not exist on arm64", "write `uefi` or leave it out"));
    }
    check_flatcar_image(&vm.image, faults);
}

fn check_flatcar_image(image: &ImageFile, faults: &mut Vec<Fault>) {
    let channel = image.channel.as_ref();
    if let Some(channel) = channel.filter(|channel| !CHANNELS.contains(&channel.value.as_str())) {
        let meant = crate::suggest::did_you_mean(&channel.value, CHANNELS);
        let message = format!("`{}` is not a Flatcar channel{meant}", channel.value);
        faults.push(channel.error(message, format!("write one of {}", CHANNELS.join(", "))));
    }
    if let Some(version) = image
        .version
        .as_ref()
        .filter(|version| version_parts(&version.value).is_none())
    {
        let message = format!("`{}` is not a Flatcar release", version.value);
        faults.push(version.error(
            message,
            "write three numbers, e.g. 4230.2.3, or leave it out for the newest",
        ));
    }
    check_kernel(image, faults);
    let Some(path) = &image.path else { return };
    super::files::check_local_path(path, faults);
    let other: Option<&Spanned<String>> = image
        .version
        .as_ref()
        .or_else(|| channel.filter(|channel| channel.given));
    if let Some(other) = other {
        let fault = path.error(
            "is a second image",
            "name either a file, or a channel and a version",
        );
        faults.push(fault.also(other.place, other.path.clone()));
    }
}

/// A kernel outside the image: `path`, `kernel` and `initrd` go together.
fn check_kernel(image: &ImageFile, faults: &mut Vec<Fault>) {
    let append = image.append.as_ref().filter(|append| append.given);
    let lone = |at: &Spanned<String>, lacks: &str| {
        let help = "a kernel outside the image needs `path`, `kernel` and `initrd`; Flatcar's images bring their own";
        at.error(format!("requires `{lacks}`"), help)
    };
    match (&image.path, &image.kernel, &image.initrd) {
        (None, Some(at), _) | (None, None, Some(at)) => faults.push(lone(at, "path")),
        (Some(_), Some(at), None) => faults.push(lone(at, "initrd")),
        (Some(_), None, Some(at)) => faults.push(lone(at, "kernel")),
        (_, None, None) => faults.extend(append.map(|at| lone(at, "kernel"))),
        (Some(_), Some(kernel), Some(initrd)) => {
            super::files::check_local_path(kernel, faults);
            super::files::check_local_path(initrd, faults);
        }
    }
}

/// Rules of nodes that depend on who makes them.
pub(super) fn check_node_options(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let provider = file.provider.as_ref().map(|at| &at.value);
    let libvirt = matches!(provider, Some(ProviderFile::Libvirt(_)) | None);
    for node in file.entries() {
        if let Some(uri) = node.uri.as_ref().filter(|_| !libvirt) {
            faults.push(uri.error("is only valid with `provider: libvirt`", "leave it out"));
        }
    }
    let mut seen: BTreeMap<Mac, &Spanned<Mac>> = BTreeMap::new();
    let macs = file.entries().iter().flat_map(|n| {
        n.mac
            .iter()
            .chain(n.interfaces.iter().filter_map(|i| i.mac.as_ref()))
    });
    for mac in macs {
        match seen.entry(mac.value) {
            Entry::Vacant(free) => {
                free.insert(mac);
            }
            Entry::Occupied(first) => {
                let (first, message) = (first.get(), format!("{} is given twice", mac.value));
                let help = "give each interface an address of its own";
                faults.push(
                    mac.error(message, help)
                        .also(first.place, first.path.clone()),
                );
            }
        }
    }
    check_mtus(file, faults);
}

fn check_mtus(file: &ClusterFile, faults: &mut Vec<Fault>) {
    for mtu in file.network.mtu.iter().chain(
        file.entries()
            .iter()
            .flat_map(|n| n.interfaces.iter().filter_map(|i| i.mtu.as_ref())),
    ) {
        if !(MIN_MTU..=MAX_MTU).contains(&mtu.value) {
            let message = format!("{} is not a valid MTU", mtu.value);
            faults.push(mtu.error(
                message,
                format!("write {MIN_MTU} to {MAX_MTU} bytes; 1500 is common"),
            ));
        }
    }
}
