//! From valid options of a provider to the valid types, and what machines get without being asked for.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cluster::{
    Assets, Image, Kernel, LibvirtNetwork, LibvirtOptions, Mac, Node, NspawnOptions,
    ProviderOptions, QemuOptions, Vm,
};
use crate::file::{
    AssetsFile, DiskForm, ImageFile, LibvirtFile, NetworkChoice, ProviderFile, Spanned, SysextForm,
    VmFile,
};

/// The provider. Every `?` stands for a fault that was reported before.
pub(super) fn build_provider(file: ProviderFile, base: &Path) -> Option<ProviderOptions> {
    Some(match file {
        ProviderFile::Libvirt(options) => ProviderOptions::Libvirt(build_libvirt(*options, base)?),
        ProviderFile::Qemu(options) => ProviderOptions::Qemu(QemuOptions {
            vm: build_vm(*options, base)?,
        }),
        ProviderFile::Nspawn(options) => ProviderOptions::Nspawn(NspawnOptions {
            image: base.join(options.image?.value),
            sysexts_as_directories: options.sysexts?.value == SysextForm::Directory,
            disks_as_images: options.disks?.value == DiskForm::Image,
        }),
        ProviderFile::None => ProviderOptions::None,
    })
}

fn build_libvirt(file: LibvirtFile, base: &Path) -> Option<LibvirtOptions> {
    let network = match (file.network.bridge, file.network.name) {
        (Some(bridge), _) => LibvirtNetwork::Bridge(bridge.value),
        (None, name) => match name?.value {
            own if own == NetworkChoice::OWN => LibvirtNetwork::Own,
            name => LibvirtNetwork::Named(name),
        },
    };
    Some(LibvirtOptions {
        uri: file.uri?.value,
        vm: build_vm(file.vm, base)?,
        network,
        pool: file.pool?.value,
        autostart: file.autostart?.value,
    })
}

fn build_vm(file: VmFile, base: &Path) -> Option<Vm> {
    Some(Vm {
        memory: file.memory?.value.0,
        cpus: file.cpus?.value,
        disk: file.disk?.value.0,
        cpu: file.cpu?.value,
        arch: file.arch?.value,
        firmware: file.firmware?.value,
        accel: file.accel?.value,
        image: build_image(file.image, base)?,
    })
}

fn build_image(file: ImageFile, base: &Path) -> Option<Image> {
    let Some(path) = file.path else {
        return Some(Image::Flatcar {
            channel: file.channel?.value,
            version: file.version.map(|at| at.value),
        });
    };
    let kernel = match file.kernel {
        Some(kernel) => Some(Kernel {
            path: base.join(kernel.value),
            initrd: base.join(file.initrd?.value),
            append: file.append?.value,
        }),
        None => None,
    };
    Some(Image::File {
        path: base.join(path.value),
        kernel,
    })
}

/// Virtual machines share a disk, the others have ways of their own.
pub(super) fn build_assets(
    file: Option<Spanned<AssetsFile>>,
    provider: &ProviderOptions,
    base: &Path,
) -> Assets {
    match file.map(|at| at.value) {
        Some(AssetsFile::Disk(images)) => Assets::Disk {
            images: images.into_iter().map(|i| base.join(i.value)).collect(),
        },
        None if provider.vm().is_some() => Assets::Disk { images: Vec::new() },
        Some(AssetsFile::Download) | None => Assets::Download,
    }
}

/// Gives every virtual machine an Ethernet address: its own, or one derived from its name that nobody else here has.
pub(super) fn assign_macs(cluster: &str, nodes: &mut [Node]) {
    let further = nodes
        .iter()
        .flat_map(|n| n.interfaces.iter().map(|i| i.mac));
    let mut taken: BTreeSet<Mac> = nodes.iter().filter_map(|n| n.mac).chain(further).collect();
    for node in nodes.iter_mut().filter(|n| n.mac.is_none()) {
        let free = (0..=u8::MAX)
            .map(|salt| Mac::derived(cluster, &node.name, salt))
            .find(|mac| taken.insert(*mac));
        node.mac = free;
    }
}
