//! QEMU's programs and firmware as distributions place them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Arch;
use ha_host_base::command::{find_program, run_for_stdout};

use crate::finding::Unfit;

pub fn emulator_name(arch: Arch) -> String {
    format!("qemu-system-{}", arch.machine())
}

pub fn find_system(arch: Arch) -> Result<PathBuf> {
    let name = emulator_name(arch);
    find_installed(&name, arch)
}

pub fn find_img(arch: Arch) -> Result<PathBuf> {
    find_installed("qemu-img", arch)
}

fn find_installed(program: &str, arch: Arch) -> Result<PathBuf> {
    let missing = || {
        Unfit::new(
            format!("{program} is not installed"),
            packages_to_install(arch),
        )
    };
    Ok(find_program(program).ok_or_else(missing)?)
}

/// How both are installed.
pub fn packages_to_install(arch: Arch) -> String {
    let (debian, rest) = match arch {
        Arch::X86_64 => ("qemu-system-x86", "x86"),
        Arch::Arm64 => ("qemu-system-arm", "aarch64"),
    };
    format!(
        "Debian, Ubuntu: `apt install {debian} qemu-utils`; Fedora: `dnf install qemu-system-{rest}-core qemu-img`; \
         Arch: `pacman -S qemu-system-{} qemu-img`",
        arch.machine().replace("x86_64", "x86")
    )
}

/// Major and minor number.
pub type Version = (u32, u32);

/// What an installed QEMU can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emulator {
    pub version: Version,
    /// It can deny itself system calls: few are built without libseccomp.
    pub sandbox: bool,
}

/// Asks QEMU itself.
pub fn probe_emulator(system: &Path) -> Result<Emulator> {
    // It goes through its options in order, fails at the first if that is left out of it, and ends well at the second.
    let with_sandbox = run_for_stdout(Command::new(system).args(["-sandbox", "on", "--version"]));
    let sandbox = with_sandbox.is_ok();
    let text = match with_sandbox {
        Ok(text) => text,
        Err(_) => run_for_stdout(Command::new(system).arg("--version"))?,
    };
    let version = parse_version(&text)
        .with_context(|| format!("{} printed no version: {text}", system.display()))?;
    Ok(Emulator { version, sandbox })
}

/// `QEMU emulator version 10.0.13 (Debian ...)`.
fn parse_version(text: &str) -> Option<Version> {
    let number = text.split_once("version ")?.1;
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// UEFI: its code, and the variables that each machine begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Never written to.
    pub code: PathBuf,
    /// Copied for each machine.
    pub vars: PathBuf,
}

/// Where distributions have it, without Secure Boot: Flatcar's own boot loader is not signed by everybody's keys.
fn firmware_places(arch: Arch) -> &'static [(&'static str, &'static str)] {
    match arch {
        Arch::X86_64 => &[
            // Debian, Ubuntu
            ("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
            ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
            // Fedora
            ("edk2/ovmf/OVMF_CODE.fd", "edk2/ovmf/OVMF_VARS.fd"),
            // Arch, now and before
            ("edk2/x64/OVMF_CODE.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
            ("edk2/x64/OVMF_CODE.fd", "edk2/x64/OVMF_VARS.fd"),
            ("edk2-ovmf/x64/OVMF_CODE.fd", "edk2-ovmf/x64/OVMF_VARS.fd"),
        ],
        Arch::Arm64 => &[
            ("AAVMF/AAVMF_CODE.no-secboot.fd", "AAVMF/AAVMF_VARS.fd"),
            ("AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"),
            (
                "edk2/aarch64/QEMU_EFI-pflash.raw",
                "edk2/aarch64/vars-template-pflash.raw",
            ),
            ("edk2/aarch64/QEMU_CODE.fd", "edk2/aarch64/QEMU_VARS.fd"),
        ],
    }
}

/// The firmware of this machine below `share` (/usr/share).
pub fn find_firmware(share: &Path, arch: Arch) -> Result<Firmware> {
    let found = firmware_places(arch).iter().find_map(|(code, vars)| {
        let (code, vars) = (share.join(code), share.join(vars));
        (code.is_file() && vars.is_file()).then_some(Firmware { code, vars })
    });
    let package = match arch {
        Arch::X86_64 => {
            "Debian, Ubuntu: `apt install ovmf`; Fedora, Arch: the package edk2-ovmf; or write `firmware: bios`"
        }
        Arch::Arm64 => {
            "Debian, Ubuntu: `apt install qemu-efi-aarch64`; Fedora, Arch: the package edk2-aarch64"
        }
    };
    Ok(found.ok_or_else(|| Unfit::new(format!("UEFI for {arch} is not installed"), package))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let debian = "QEMU emulator version 10.0.13 (Debian 1:10)\nCopyright";
        assert_eq!(parse_version(debian), Some((10, 0)));
        assert_eq!(parse_version("QEMU emulator version 7.2.0"), Some((7, 2)));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn firmware_wants_both_halves() {
        let share = tempfile::tempdir().unwrap();
        let touch = |name: &str| {
            let file = share.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        };
        let find = |arch| find_firmware(share.path(), arch);
        assert!(
            find(Arch::X86_64)
                .unwrap_err()
                .to_string()
                .contains("apt install ovmf")
        );
        touch("OVMF/OVMF_CODE_4M.fd");
        assert!(find(Arch::X86_64).is_err());
        touch("edk2/ovmf/OVMF_CODE.fd");
        touch("edk2/ovmf/OVMF_VARS.fd");
        assert_eq!(
            find(Arch::X86_64).unwrap().vars,
            share.path().join("edk2/ovmf/OVMF_VARS.fd")
        );
        assert!(
            find(Arch::Arm64)
                .unwrap_err()
                .to_string()
                .contains("qemu-efi-aarch64")
        );
    }
}
