//! A machine of the test's own that boots from the network by QEMU's own iPXE, and what it finds there in Flatcar's place.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::{Lab, workspace_root};
use crate::process::{RunningProcess, run_to_end};

/// The operator's machine, as the machine sees it; QEMU's own network is the nodes'.
pub const HOST: &str = "10.77.0.2";
/// Of the machine's one network card.
pub const MAC: &str = "52:54:00:77:00:0b";
/// What plays the live Flatcar, and where the lab's own first program is from there.
const LIVE: (&str, &str) = ("init", include_str!("network_boot/live-init"));
const NODE: &str = "init.node";
/// The lab's own first program, told another line than the kernel was: the one that a boot from the disk has.
const MOUNT: &str = "mount -t proc proc /proc;";
const MOUNT_WITH_LINE: &str =
    "mount -t proc proc /proc; mount --bind /line-of-the-disk /proc/cmdline;";
/// Files are written at once.
const SHORT: Duration = Duration::from_secs(60);

/// Writes into `dir` what a live Flatcar is called on its release server: the lab's kernel, and its initramfs as one.
pub fn write_flatcar(dir: &Path, lab: &Lab) -> Result<()> {
    let own = dir.join("own");
    fs::create_dir_all(&own)?;
    let line = fs::read_to_string(lab.vm().join("append"))?;
    let node = fs::read_to_string(workspace_root().join("lab/vm/init"))?;
    ensure!(node.matches(MOUNT).count() == 1, "lab/vm/init has changed");
    let node = node.replace(MOUNT, MOUNT_WITH_LINE);
    for (name, text) in [LIVE, (NODE, &node), ("line-of-the-disk", &line)] {
        fs::write(own.join(name), text)?;
        fs::set_permissions(own.join(name), Permissions::from_mode(0o755))?;
    }
    let image = dir.join("flatcar_production_pxe_image.cpio.gz");
    fs::copy(lab.vm().join("initrd.img"), &image)?;
    fs::set_permissions(&image, Permissions::from_mode(0o644))?;
    // A further archive's files replace those of the one before it; the kernel finds it at a multiple of four bytes.
    let mut image = File::options().append(true).open(image)?;
    let odd = image.metadata()?.len() % 4;
    image.write_all(&[0; 4][..(4 - odd) as usize % 4])?;
    image.write_all(&cpio_archive(&own, lab)?)?;
    fs::copy(
        lab.vm().join("vmlinuz"),
        dir.join("flatcar_production_pxe.vmlinuz"),
    )?;
    Ok(())
}

fn cpio_archive(dir: &Path, lab: &Lab) -> Result<Vec<u8>> {
    let busybox = lab.image().join("root/usr/bin/busybox");
    let mut cpio = Command::new(busybox)
        .args(["cpio", "-o", "-H", "newc", "-R", "0:0"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start busybox")?;
    let names = [LIVE.0, NODE, "line-of-the-disk"].join("\n");
    cpio.stdin
        .take()
        .context("no stdin")?
        .write_all(names.as_bytes())?;
    let done = cpio.wait_with_output()?;
    ensure!(done.status.success(), "cpio: {}", done.status);
    Ok(done.stdout)
}

/// A machine with the lab's system on its disk, which boots from the network first.
#[derive(Debug)]
pub struct NetworkMachine {
    /// It ends with this.
    _qemu: RunningProcess,
    console: PathBuf,
}

impl NetworkMachine {
    /// Powers it on; what its agent says is appended to `events`. DHCP names `script` as what to boot.
    pub fn start(cluster: &Cluster, script: &str, events: &Path) -> Result<Self> {
        let dir = cluster.dir();
        let disk = dir.join("network-machine.qcow2");
        let system = Lab::default().vm().canonicalize()?.join("disk.qcow2");
        let mut make = cluster.operator().as_root("qemu-img");
        make.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .args([&system, &disk])
            .arg("12G");
        run_to_end(make, SHORT)?.ok()?;
        let console = dir.join("network-machine.log");
        let mut qemu = cluster.operator().as_root("qemu-system-x86_64");
        qemu.args(["-machine", "q35,graphics=off,smbus=off,usb=off,vmport=off,hpet=off"])
            .args(["-accel", "tcg,thread=multi,tb-size=512"])
            .args(["-cpu", "max,la57=off,erms=off,fsrm=off"])
            .args(["-smp", "2", "-m", "2048M", "-nodefaults", "-display", "none"])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-netdev", &format!("user,id=net,net=10.77.0.0/24,host={HOST},dns=10.77.0.3,dhcpstart=10.77.0.11,bootfile={script}")])
            .args(["-device", &format!("virtio-net-pci,netdev=net,mac={MAC},bootindex=1")])
            .args(["-drive", &format!("if=none,id=root,format=qcow2,file={}", disk.display())])
            .args(["-device", "virtio-blk-pci,drive=root,bootindex=2"])
            .args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"])
            .args(["-chardev", &format!("file,id=events,append=on,path={}", events.display())])
            .args(["-device", &format!("virtserialport,chardev=events,name={}", ha_wire::devices::EVENTS_PORT)]);
        Ok(Self {
            _qemu: RunningProcess::start(qemu)?,
            console,
        })
    }

    /// What it has written to its console.
    pub fn console(&self) -> String {
        let bytes = fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
