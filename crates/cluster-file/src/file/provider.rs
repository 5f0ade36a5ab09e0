//! `provider` as written.

use super::reader::Fields;
use super::scalars::{Scalar, Size, parse_keyword};
use super::spanned::Spanned;
use crate::cluster::{Accel, Arch, Firmware};

/// The system libvirt daemon: VMs that outlive the session.
pub const LIBVIRT_URI: &str = "qemu:///system";
/// libvirt's own name for the pool that most hosts have.
pub const POOL: &str = "default";
/// Room for etcd, the apiserver and a few pods.
pub const MEMORY: Size = Size(4 << 30);
/// kubeadm refuses a control plane with fewer.
pub const CPUS: u32 = 2;
/// Flatcar's partitions take 8 GiB; images and etcd the rest.
pub const DISK: Size = Size(20 << 30);
/// The host's own processor.
pub const CPU: &str = "host";
/// Flatcar's channel for everybody.
pub const CHANNEL: &str = "stable";
/// What a kernel outside the image is told if the file says nothing: a root by label, the console, Ignition on first boot.
pub const APPEND: &str = "root=LABEL=ROOT rw console=ttyS0 ignition.firstboot=1 ignition.platform.id=qemu net.ifnames=0 quiet";

/// `provider`: who makes the machines.
#[derive(Debug, Clone)]
pub enum ProviderFile {
    /// `libvirt`, the default: domains of a libvirt daemon.
    Libvirt(Box<LibvirtFile>),
    /// `qemu`: processes of the user who launches.
    Qemu(Box<VmFile>),
    /// `nspawn`: systemd-nspawn containers.
    Nspawn(NspawnFile),
    /// `none`: configs are rendered, machines are made by somebody else.
    None,
}

/// Options of virtual machines.
#[derive(Debug, Clone)]
pub struct VmFile {
    /// Memory of a machine; default [`MEMORY`].
    pub memory: Option<Spanned<Size>>,
    /// Virtual processors of a machine; default [`CPUS`].
    pub cpus: Option<Spanned<u32>>,
    /// Size of a machine's disk; default [`DISK`].
    pub disk: Option<Spanned<Size>>,
    /// Processor model; default [`CPU`].
    pub cpu: Option<Spanned<String>>,
    /// Processor architecture; default: the host's own.
    pub arch: Option<Spanned<Arch>>,
    /// BIOS on x86-64, UEFI on arm64.
    pub firmware: Option<Spanned<Firmware>>,
    /// KVM where it works.
    pub accel: Option<Spanned<Accel>>,
    /// The newest of [`CHANNEL`].
    pub image: ImageFile,
}

/// Options of libvirt domains.
#[derive(Debug, Clone)]
pub struct LibvirtFile {
    /// Where libvirt answers; default [`LIBVIRT_URI`].
    pub uri: Option<Spanned<String>>,
    /// One of the cluster's own.
    pub network: NetworkChoice,
    /// Storage pool of disks and images; default [`POOL`].
    pub pool: Option<Spanned<String>>,
    /// Not started with the host.
    pub autostart: Option<Spanned<bool>>,
    /// What the machines are like.
    pub vm: VmFile,
}

/// `network` of libvirt: `own`, the name of a network, or `{bridge: NAME}`.
#[derive(Debug, Clone)]
pub struct NetworkChoice {
    /// `own`, or a network that is there.
    pub name: Option<Spanned<String>>,
    /// A bridge of the host instead.
    pub bridge: Option<Spanned<String>>,
}

/// A Flatcar image: by channel (and version), or a local file.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// `stable`, `beta`, `alpha` or `lts`.
    pub channel: Option<Spanned<String>>,
    /// A release of Flatcar; left out: the channel's newest.
    pub version: Option<Spanned<String>>,
    /// A local file instead.
    pub path: Option<Spanned<String>>,
    /// With `path`: a kernel outside the image.
    pub kernel: Option<Spanned<String>>,
    /// With `kernel`: its initramfs.
    pub initrd: Option<Spanned<String>>,
    /// With `kernel`: its command line; default [`APPEND`].
    pub append: Option<Spanned<String>>,
}

/// Options of systemd-nspawn containers.
#[derive(Debug, Clone)]
pub struct NspawnFile {
    /// Needed: there is no public node image to fall back on.
    pub image: Option<Spanned<String>>,
    /// `raw` where loop devices work.
    pub sysexts: Option<Spanned<SysextForm>>,
    /// `directory`; an image is for tests of power cuts.
    pub disks: Option<Spanned<DiskForm>>,
}

/// How sysexts reach a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SysextForm {
    /// As images; the provider falls back to directories where loop devices cannot be had, and says so.
    Raw,
    /// As directories, also where loop devices work.
    Directory,
}

/// What a container's disk is on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskForm {
    /// Directories: what a killed node had written stays.
    Directory,
    /// A file with a file system in it: what a killed node had not synced is lost.
    Image,
}

impl Scalar for DiskForm {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [("directory", Self::Directory), ("image", Self::Image)];
        parse_keyword(text, "a form of disks", &table)
    }
}

impl Scalar for SysextForm {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [("raw", Self::Raw), ("directory", Self::Directory)];
        parse_keyword(text, "a sysext form", &table)
    }
}

impl Scalar for Arch {
    fn read(text: &str) -> Result<Self, (String, String)> {
        // What other tools call them.
        match text {
            "amd64" | "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Arm64),
            _ => parse_keyword(
                text,
                "an architecture",
                &[("x86-64", Self::X86_64), ("arm64", Self::Arm64)],
            ),
        }
    }
}

impl Scalar for Firmware {
    fn read(text: &str) -> Result<Self, (String, String)> {
        parse_keyword(
            text,
            "a firmware",
            &[("bios", Self::Bios), ("uefi", Self::Uefi)],
        )
    }
}

impl Scalar for Accel {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [("auto", Self::Auto), ("kvm", Self::Kvm), ("tcg", Self::Tcg)];
        parse_keyword(text, "an accelerator", &table)
    }
}

impl ProviderFile {
    pub(super) fn read(f: &mut Fields<'_>) -> Option<Spanned<Self>> {
        let (word, options) = f.choice("provider", &["libvirt", "qemu", "nspawn", "none"], "")?;
        let mut f = f.options(&word, options);
        let value = match word.value {
            "libvirt" => Self::Libvirt(Box::new(LibvirtFile::read(f))),
            "qemu" => {
                f.known(&VmFile::KEYS);
                Self::Qemu(Box::new(VmFile::read(&mut f)))
            }
            "nspawn" => {
                f.known(&["image", "sysexts", "disks"]);
                Self::Nspawn(NspawnFile {
                    image: f.needed("image", "lab/out/image"),
                    sysexts: f.or("sysexts", SysextForm::Raw),
                    disks: f.or("disks", DiskForm::Directory),
                })
            }
            _ => {
                f.known(&[]);
                Self::None
            }
        };
        Some(word.with(value))
    }

    /// The options of virtual machines, if these are some.
    pub fn vm(&self) -> Option<&VmFile> {
        match self {
            Self::Libvirt(libvirt) => Some(&libvirt.vm),
            Self::Qemu(vm) => Some(vm),
            Self::Nspawn(_) | Self::None => None,
        }
    }
}

impl LibvirtFile {
    fn read(mut f: Fields<'_>) -> Self {
        let keys: Vec<&str> = ["uri", "network", "pool", "autostart"]
            .into_iter()
            .chain(VmFile::KEYS)
            .collect();
        f.known(&keys);
        Self {
            uri: f.or("uri", LIBVIRT_URI.to_owned()),
            network: NetworkChoice::read(&mut f),
            pool: f.or("pool", POOL.to_owned()),
            autostart: f.or("autostart", false),
            vm: VmFile::read(&mut f),
        }
    }
}

impl NetworkChoice {
    /// The word for a network of the cluster's own.
    pub const OWN: &str = "own";

    fn read(f: &mut Fields<'_>) -> Self {
        if !f.is_mapping("network") {
            return Self {
                name: f.or("network", Self::OWN.to_owned()),
                bridge: None,
            };
        }
        let mut f = f.fields("network");
        f.known(&["bridge"]);
        Self {
            name: None,
            bridge: f.needed("bridge", "br0"),
        }
    }
}

impl VmFile {
    const KEYS: [&str; 8] = [
        "memory", "cpus", "disk", "cpu", "arch", "firmware", "accel", "image",
    ];

    fn read(f: &mut Fields<'_>) -> Self {
        let arch = f.or("arch", Arch::HOST);
        let firmware = match arch {
            Some(Spanned {
                value: Arch::Arm64, ..
            }) => Firmware::Uefi,
            _ => Firmware::Bios,
        };
        Self {
            memory: f.or("memory", MEMORY),
            cpus: f.or("cpus", CPUS),
            disk: f.or("disk", DISK),
            cpu: f.or("cpu", CPU.to_owned()),
            arch,
            firmware: f.or("firmware", firmware),
            accel: f.or("accel", Accel::Auto),
            image: ImageFile::read(f.fields("image")),
        }
    }
}

impl ImageFile {
    fn read(mut f: Fields<'_>) -> Self {
        f.known(&["channel", "version", "path", "kernel", "initrd", "append"]);
        Self {
            channel: f.or("channel", CHANNEL.to_owned()),
            version: f.maybe("version"),
            path: f.maybe("path"),
            kernel: f.maybe("kernel"),
            initrd: f.maybe("initrd"),
            append: f.or("append", APPEND.to_owned()),
        }
    }
}
