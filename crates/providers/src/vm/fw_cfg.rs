//! The Ignition config on its way through QEMU's fw_cfg, which the guest reads in tiny pieces: time grows with the square of
//! the size (2.8 MB took 55 s).

use std::path::Path;

use anyhow::{Context, Result};

use crate::finding::Unfit;

/// The name that Ignition reads on QEMU, Flatcar's too.
pub const NAME: &str = "opt/com.coreos/config";
/// From here on the boot is slowed down noticeably.
const WARN: u64 = 64 * 1024;
/// From here on it looks like a hang.
const REFUSE: u64 = 256 * 1024;
/// What makes it smaller.
const REMEDY: &str = "name large files in `ignition.merge` by URL and hash, or bring them in a sysext (`sysexts`, `assets: disk`)";

/// A warning if the file is large, an error if it is too large.
pub fn check_size(ignition: &Path) -> Result<Option<String>> {
    let size = std::fs::metadata(ignition)
        .with_context(|| format!("cannot read {}", ignition.display()))?
        .len();
    let shown = format!("{} is {} KiB", ignition.display(), size.div_ceil(1024));
    if size > REFUSE {
        let most = REFUSE / 1024;
        let message = format!("{shown}, a virtual machine takes {most} KiB at most by fw_cfg");
        return Err(Unfit::new(message, REMEDY).into());
    }
    Ok((size > WARN).then(|| format!("{shown}, which slows the first boot down; {REMEDY}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_is_a_warning_and_too_large_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node1.ign");
        let with = |size: u64| {
            std::fs::write(&file, vec![b' '; size as usize]).unwrap();
            check_size(&file)
        };
        assert_eq!(with(WARN).unwrap(), None);
        let warning = with(WARN + 1).unwrap().unwrap();
        assert!(warning.contains("65 KiB") && warning.contains("ignition.merge"));
        assert!(with(REFUSE).unwrap().is_some());
        let error = with(REFUSE + 1).unwrap_err().to_string();
        assert!(
            error.contains("257 KiB") && error.contains("256 KiB at most"),
            "{error}"
        );
        assert!(check_size(&dir.path().join("none")).is_err());
    }
}
