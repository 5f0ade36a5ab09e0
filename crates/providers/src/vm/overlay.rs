//! A node's own disk: a qcow2 file that holds what differs from the image below it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use ha_host_base::command::run_for_stdout;
use serde::Deserialize;

/// What `qemu-img` says of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Info {
    /// `qcow2`, `raw`, ...
    pub format: String,
    /// The disk's size as a guest sees it, in bytes.
    pub virtual_size: u64,
}

/// Looks at an image, which others may be using. `qemu_img` is the program.
pub fn image_info(qemu_img: &Path, image: &Path) -> Result<Info> {
    let shown = image.display();
    let file =
        std::fs::File::open(image).with_context(|| format!("cannot read the image {shown}"))?;
    let meta = file
        .metadata()
        .with_context(|| format!("cannot look at {shown}"))?;
    // To qemu-img every file is at least a raw disk.
    if !meta.is_file() || meta.len() < 512 {
        bail!("{shown} is not a disk image: name a qcow2 or raw file");
    }
    let mut command = Command::new(qemu_img);
    command.args(["info", "--output=json", "-U"]).arg(image);
    let text =
        run_for_stdout(&mut command).with_context(|| format!("{shown} is not a disk image"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("cannot read qemu-img's answer about {shown}"))
}

/// Makes a node's disk of `bytes` over the image `backing`. An existing file is never touched.
pub fn create_disk(
    qemu_img: &Path,
    backing: &Path,
    format: &str,
    overlay: &Path,
    bytes: u64,
) -> Result<()> {
    let below = image_info(qemu_img, backing)?;
    if below.virtual_size > bytes {
        return Err(super::disk_too_small(bytes, backing, below.virtual_size).into());
    }
    // Whoever comes second fails here; qemu-img itself would overwrite.
    std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(overlay)
        .with_context(|| format!("cannot make the disk {}", overlay.display()))?;
    let mut command = Command::new(qemu_img);
    command.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]);
    command.arg(backing).arg(overlay).arg(bytes.to_string());
    // qemu-img does not write its file back, and whoever finds it takes it for a node's disk.
    let write_back = || std::fs::File::open(overlay)?.sync_all();
    let made = run_for_stdout(&mut command)
        .and_then(|_| Ok(write_back()?))
        .with_context(|| format!("cannot make the disk {}", overlay.display()));
    if made.is_err() {
        // Ours, and of no use to anybody.
        let _ = std::fs::remove_file(overlay);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::operator_machine;

    #[test]
    #[ignore = "needs HA_OPERATOR"]
    #[expect(
        clippy::redundant_closure,
        reason = "the closure's type names the test"
    )]
    fn an_overlay_is_made_once_and_faults_are_named() {
        operator_machine::run_in_operator_machine(false, || make_and_check_overlays());
    }

    fn make_and_check_overlays() {
        let program = Path::new("/usr/bin/qemu-img");
        let dir = tempfile::tempdir().unwrap();
        let (base, top) = (dir.path().join("base.img"), dir.path().join("disk.qcow2"));
        let make = |bytes| create_disk(program, &base, "raw", &top, bytes);
        let message = |bytes| format!("{:#}", make(bytes).unwrap_err());
        let none = message(1 << 20);
        assert!(
            none.contains("base.img") && none.contains("No such file"),
            "{none}"
        );
        std::fs::write(&base, "text").unwrap();
        assert!(
            message(1 << 20).contains("not a disk image"),
            "{}",
            message(1 << 20)
        );
        std::fs::File::create(&base)
            .unwrap()
            .set_len(4 << 20)
            .unwrap();
        let small = message(1 << 20);
        assert!(
            small.contains("1.00 MiB is smaller") && small.contains("(4.00 MiB)"),
            "{small}"
        );
        assert!(!top.exists());
        make(8 << 20).unwrap();
        let made = image_info(program, &top).unwrap();
        assert_eq!(
            (made.format.as_str(), made.virtual_size),
            ("qcow2", 8 << 20)
        );
        let before = std::fs::read(&top).unwrap();
        assert!(message(9 << 20).contains("File exists"));
        assert_eq!(std::fs::read(&top).unwrap(), before);
    }
}
