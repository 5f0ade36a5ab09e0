//! `provider` as written.

use super::at::At;
use super::reader::Fields;
use super::words::{Size, Word};

/// The system libvirt daemon: VMs that outlive the session.
pub const LIBVIRT_URI: &str = "qemu:///system";
/// Room for etcd, the apiserver and a few pods.
pub const MEMORY: Size = Size(4 << 30);
/// kubeadm refuses a control plane with fewer.
pub const CPUS: u32 = 2;
/// Flatcar's partitions take 8 GiB; images and etcd the rest.
pub const DISK: Size = Size(20 << 30);
/// Flatcar's channel for everybody.
pub const CHANNEL: &str = "stable";

/// `provider`.
#[derive(Debug, Clone)]
pub enum ProviderFile {
    /// `libvirt`, the default.
    Libvirt(VmFile),
    /// `qemu`
    Qemu(VmFile),
    /// `nspawn`
    Nspawn(NspawnFile),
    /// `none`
    None,
}

/// Options of virtual machines.
#[derive(Debug, Clone)]
pub struct VmFile {
    /// [`LIBVIRT_URI`]; qemu has none.
    pub uri: Option<At<String>>,
    /// [`MEMORY`].
    pub memory: Option<At<Size>>,
    /// [`CPUS`].
    pub cpus: Option<At<u32>>,
    /// [`DISK`].
    pub disk: Option<At<Size>>,
    /// The newest of [`CHANNEL`].
    pub image: ImageFile,
}

/// A Flatcar image: by channel (and version), or a local file.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// `stable`, `beta`, `alpha` or `lts`.
    pub channel: Option<At<String>>,
    /// The channel's newest.
    pub version: Option<At<String>>,
    /// A local file instead.
    pub path: Option<At<String>>,
}

/// Options of systemd-nspawn containers.
#[derive(Debug, Clone)]
pub struct NspawnFile {
    /// Needed: there is no public node image to fall back on.
    pub image: Option<At<String>>,
    /// `raw` where loop devices work.
    pub sysexts: Option<At<SysextForm>>,
}

/// How sysexts reach a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SysextForm {
    /// As images; the provider falls back to directories where loop devices cannot be had, and says so.
    Raw,
    /// As directories, always.
    Directory,
}

impl Word for SysextForm {
    fn read(text: &str) -> Result<Self, (String, String)> {
        super::words::choice(
            text,
            "a form of sysexts",
            &[("raw", Self::Raw), ("directory", Self::Directory)],
        )
    }
}

impl ProviderFile {
    pub(super) fn read(f: &mut Fields<'_>) -> Option<At<Self>> {
        let (word, options) = f.choice("provider", &["libvirt", "qemu", "nspawn", "none"], "")?;
        let mut f = f.options(&word, options);
        let value = match word.value {
            "libvirt" => Self::Libvirt(VmFile::read(f, true)),
            "qemu" => Self::Qemu(VmFile::read(f, false)),
            "nspawn" => {
                f.known(&["image", "sysexts"]);
                Self::Nspawn(NspawnFile {
                    image: f.needed("image", "lab/out/image"),
                    sysexts: f.or("sysexts", SysextForm::Raw),
                })
            }
            _ => {
                f.known(&[]);
                Self::None
            }
        };
        Some(word.with(value))
    }
}

impl VmFile {
    fn read(mut f: Fields<'_>, libvirt: bool) -> Self {
        let keys = ["uri", "memory", "cpus", "disk", "image"];
        f.known(if libvirt { &keys } else { &keys[1..] });
        Self {
            uri: if libvirt {
                f.or("uri", LIBVIRT_URI.to_owned())
            } else {
                None
            },
            memory: f.or("memory", MEMORY),
            cpus: f.or("cpus", CPUS),
            disk: f.or("disk", DISK),
            image: ImageFile::read(f.fields("image")),
        }
    }
}

impl ImageFile {
    fn read(mut f: Fields<'_>) -> Self {
        f.known(&["channel", "version", "path"]);
        Self {
            channel: f.or("channel", CHANNEL.to_owned()),
            version: f.maybe("version"),
            path: f.maybe("path"),
        }
    }
}
