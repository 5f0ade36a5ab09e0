//! Whether this machine's KVM really runs guests: /dev/kvm may be there and a guest hang all the same (nested
//! virtualization, odd kernels), so a tiny one is started.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Arch;
use ha_host_base::command::{self, Finished};

/// The kernel's door to KVM.
const DEVICE: &str = "/dev/kvm";
/// The tiny guest needs a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// What isa-debug-exit makes of the guest's word, 0x10: twice that and one.
const X86_SAYS: i32 = 0x21;

/// Whether guests run by KVM here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvmVerdict {
    Works,
    /// There is no /dev/kvm.
    Missing,
    /// It may not be opened by this user.
    NotPermitted,
    /// It is there and guests do not run: why.
    Broken(String),
}

impl KvmVerdict {
    /// What was seen, one line.
    pub fn message(&self) -> String {
        match self {
            Self::Works => "KVM works".into(),
            Self::Missing => format!("there is no {DEVICE}"),
            Self::NotPermitted => format!("this user may not open {DEVICE}"),
            Self::Broken(why) => {
                format!("{DEVICE} is there, but a guest does not run with it: {why}")
            }
        }
    }

    /// What remedies it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Works => "",
            Self::Missing => {
                "load it (`sudo modprobe kvm_intel` or `kvm_amd`), or switch virtualization on in the firmware; in a \
                 virtual machine: nested virtualization on its host"
            }
            Self::NotPermitted => "`sudo usermod -aG kvm $USER`, then log in again",
            Self::Broken(_) => {
                "in a virtual machine: switch nested virtualization on at its host; see `sudo dmesg | grep -i kvm`"
            }
        }
    }
}

/// Starts a tiny guest with QEMU's program `qemu`. Takes up to 5 s where guests hang.
pub fn probe_kvm(qemu: &Path, arch: Arch) -> Result<KvmVerdict> {
    match std::fs::File::options().read(true).write(true).open(DEVICE) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(KvmVerdict::NotPermitted),
        Err(_) => return Ok(KvmVerdict::Missing),
        Ok(_) => {}
    }
    if arch == Arch::X86_64 {
        let text = std::fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        if !has_virtualization(&text) {
            // A KVM without hardware below it (kvm_pvm) runs the tiny guest, slowly, and dies of an ordinary kernel.
            let why = "the processor shows neither vmx nor svm";
            return Ok(KvmVerdict::Broken(why.into()));
        }
    }
    run_tiny_guest(qemu, arch, "kvm", "host")
}

/// Whether an x86 processor has what KVM needs.
fn has_virtualization(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| {
        line.split_whitespace()
            .any(|flag| flag == "vmx" || flag == "svm")
    })
}

fn run_tiny_guest(qemu: &Path, arch: Arch, accel: &str, cpu: &str) -> Result<KvmVerdict> {
    let mut program = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    program
        .write_all(&tiny_guest(arch))
        // A disk of one sector has no geometry: the BIOS would not boot from it.
        .and_then(|()| program.as_file().set_len(1 << 20))
        .context("cannot write a temporary file")?;
    let mut command = Command::new(qemu);
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-accel",
            accel,
        ])
        .args(["-cpu", cpu, "-m", "64"]);
    match arch {
        Arch::X86_64 => command
            .args([
                "-machine",
                "q35",
                "-device",
                "isa-debug-exit,iobase=0xf4,iosize=4",
            ])
            .args(["-device", "virtio-blk-pci,drive=d", "-drive"])
            .arg(drive_option(program.path())),
        Arch::Arm64 => command
            .args(["-machine", "virt,gic-version=max", "-kernel"])
            .arg(program.path()),
    };
    Ok(verdict_of_guest(
        &command::run_within(&mut command, "", PATIENCE)?,
        arch,
    ))
}

fn drive_option(file: &Path) -> String {
    let file = file.to_string_lossy().replace(',', ",,");
    format!("if=none,id=d,format=raw,readonly=on,file={file}")
}

/// What the tiny guest's QEMU makes of it, in its exit code.
fn verdict_of_guest(qemu: &Finished, arch: Arch) -> KvmVerdict {
    let expected = match arch {
        Arch::X86_64 => X86_SAYS,
        Arch::Arm64 => 0,
    };
    if let Some(after) = qemu.timed_out {
        return KvmVerdict::Broken(format!("it hangs (no word within {} s)", after.as_secs()));
    }
    if qemu.status.code() == Some(expected) {
        return KvmVerdict::Works;
    }
    let last = qemu.stderr.trim().lines().last();
    KvmVerdict::Broken(last.map_or_else(|| qemu.status.to_string(), String::from))
}

/// The tiny guest: x86-64: a boot sector that writes 0x10 to port 0xf4; arm64: a kernel that asks PSCI to switch off.
fn tiny_guest(arch: Arch) -> Vec<u8> {
    match arch {
        Arch::X86_64 => {
            // mov al, 0x10; out 0xf4, al; hlt; jmp to hlt
            let mut sector = vec![0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
            sector.resize(510, 0);
            sector.extend([0x55, 0xaa]);
            sector
        }
        Arch::Arm64 => {
            // movz w0, #8; movk w0, #0x8400, lsl #16; hvc #0; b .
            let words = [0x5280_0100_u32, 0x72b0_8000, 0xd400_0002, 0x1400_0000];
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::operator_machine;

    #[test]
    #[ignore = "needs HA_OPERATOR"]
    fn the_tiny_guest_says_its_word() {
        operator_machine::run_in_operator_machine(false, || {
            let qemu = Path::new("/usr/bin/qemu-system-x86_64");
            let tcg = |cpu: &str| run_tiny_guest(qemu, Arch::X86_64, "tcg", cpu).unwrap();
            assert_eq!(tcg("qemu64"), KvmVerdict::Works);
            let KvmVerdict::Broken(why) = tcg("no-such-cpu") else {
                panic!("works with a processor that there is not")
            };
            assert!(why.contains("no-such-cpu"), "{why}");
            println!("here: {:?}", probe_kvm(qemu, Arch::X86_64));
        });
    }

    #[test]
    fn processors_without_virtualization() {
        assert!(has_virtualization(
            "processor : 0\nflags\t\t: fpu vmx aes\n"
        ));
        assert!(has_virtualization("flags : svm\n"));
        assert!(!has_virtualization("flags : fpu svm_lock\n") && !has_virtualization(""));
    }

    #[test]
    fn the_boot_sector_is_one() {
        let sector = tiny_guest(Arch::X86_64);
        assert_eq!((sector.len(), &sector[510..]), (512, &[0x55, 0xaa][..]));
        assert_eq!(tiny_guest(Arch::Arm64).len(), 16);
    }
}
