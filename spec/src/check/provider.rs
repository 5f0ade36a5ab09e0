//! What each provider needs.

use super::Fault;
use super::syntax::version_parts;
use crate::file::{At, ClusterFile, ImageFile, ProviderFile, Size, VmFile};

/// kubeadm's preflight wants 1700 MB on control planes; the next round size.
const MIN_MEMORY: Size = Size(2 << 30);
/// kubeadm's preflight wants two CPUs on control planes.
const MIN_CPUS: u32 = 2;
/// Flatcar's image is 8.5 GiB; images and etcd need the rest.
const MIN_DISK: Size = Size(12 << 30);
/// Flatcar's release channels.
const CHANNELS: [&str; 4] = ["stable", "beta", "alpha", "lts"];

pub(super) fn rules(file: &ClusterFile, faults: &mut Vec<Fault>) {
    match file.provider.as_ref().map(|provider| &provider.value) {
        Some(ProviderFile::Libvirt(vm) | ProviderFile::Qemu(vm)) => machine(vm, faults),
        Some(ProviderFile::Nspawn(options)) => options
            .image
            .iter()
            .for_each(|image| super::files::local(image, faults)),
        Some(ProviderFile::None) | None => {}
    }
}

fn machine(vm: &VmFile, faults: &mut Vec<Fault>) {
    if let Some(cpus) = vm.cpus.as_ref().filter(|cpus| cpus.value < MIN_CPUS) {
        let message = format!(
            "{} is too few: kubeadm wants {MIN_CPUS} on a control plane",
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
    if let Some(uri) = vm.uri.as_ref().filter(|uri| !uri.value.contains("://")) {
        faults.push(uri.error(
            format!("`{}` is no libvirt URI", uri.value),
            "write e.g. qemu:///system",
        ));
    }
    image(&vm.image, faults);
}

fn image(image: &ImageFile, faults: &mut Vec<Fault>) {
    let channel = image.channel.as_ref();
    if let Some(channel) = channel.filter(|channel| !CHANNELS.contains(&channel.value.as_str())) {
        let meant = super::did_you_mean(&channel.value, CHANNELS);
        let message = format!("`{}` is no channel of Flatcar{meant}", channel.value);
        faults.push(channel.error(message, format!("write one of {}", CHANNELS.join(", "))));
    }
    if let Some(version) = image
        .version
        .as_ref()
        .filter(|version| version_parts(&version.value).is_none())
    {
        let message = format!("`{}` is no release of Flatcar", version.value);
        faults.push(version.error(
            message,
            "write three numbers, e.g. 4230.2.3, or leave it out for the newest",
        ));
    }
    let Some(path) = &image.path else { return };
    super::files::local(path, faults);
    let other: Option<&At<String>> = image
        .version
        .as_ref()
        .or_else(|| channel.filter(|channel| channel.given));
    if let Some(other) = other {
        let fault = path.error(
            "is one image too many",
            "name either a file, or a channel and a version",
        );
        faults.push(fault.also(other.place, other.path.clone()));
    }
}
