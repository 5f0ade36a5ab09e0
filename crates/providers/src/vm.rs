//! What every virtual machine has in common, whoever runs it.

use std::path::Path;

use ha_cluster_file::cluster::{Arch, Vm};
use ha_host_base::text::shown_path;
use indicatif::BinaryBytes;

use crate::finding::Unfit;

/// The disk that all machines of a cluster share.
pub mod assets;
/// The Ignition config on its way through QEMU's fw_cfg.
pub(crate) mod fw_cfg;
/// Commands on a node by the QEMU guest agent.
pub mod guest;
/// The image below the nodes' disks.
pub(crate) mod image;
/// Whether this machine's KVM really runs guests.
pub(crate) mod kvm;
/// Tests in the lab's operator machine.
#[cfg(test)]
pub(crate) mod operator_machine;
/// A node's own disk over the image.
pub(crate) mod overlay;
/// Unix sockets whose names may be longer than the kernel takes.
pub(crate) mod socket;

/// The virtio port of the guest agent.
pub const GUEST_PORT: &str = "org.qemu.guest_agent.0";
/// Serial of the node's own disk: /dev/disk/by-id/virtio-root.
pub const ROOT_SERIAL: &str = "root";

/// QEMU's processor model for `cpu`. Without KVM `host` cannot be; then the model with which Go's TLS, JSON and hashes run
/// fastest under translation, less what makes it slow: five-level page walks (a fork takes twice as long) and `rep movsb`,
/// which is translated byte by byte (lab/README.md has the figures).
pub fn cpu_model(vm: &Vm, kvm: bool) -> &str {
    match (vm.cpu.as_str(), kvm, vm.arch) {
        ("host", false, Arch::X86_64) => "max,la57=off,erms=off,fsrm=off",
        // `max` computes pointer signatures in software.
        ("host", false, Arch::Arm64) => "cortex-a72",
        (model, ..) => model,
    }
}

/// Options of `-accel` without KVM: a buffer for translated code that kubelet and etcd fit into.
pub const TCG: &str = "tcg,thread=multi,tb-size=512";

/// A node's disk cannot hold the image.
pub fn disk_too_small(disk: u64, image: &Path, image_size: u64) -> Unfit {
    Unfit::new(
        format!(
            "the disk of {} is smaller than the image {} ({})",
            BinaryBytes(disk),
            shown_path(image),
            BinaryBytes(image_size)
        ),
        format!(
            "write e.g. `disk: {}GiB` in the cluster file",
            image_size.div_ceil(1 << 30)
        ),
    )
}
