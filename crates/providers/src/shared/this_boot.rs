//! Files whose words hold for one boot of this machine only: cgroups, inodes of namespaces, numbers of processes.

use std::path::Path;

use anyhow::{Context, Result, bail};
use ha_host_base::files;

/// The kernel's name for this boot.
pub fn boot_id() -> Result<String> {
    let file = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    match text.trim() {
        "" => bail!("{file} is empty"),
        id => Ok(id.into()),
    }
}

/// Writes a file that later boots do not believe: the boot is its first line.
pub fn write_for_this_boot(file: &Path, text: &str) -> Result<()> {
    files::write(file, format!("{}\n{text}", boot_id()?).as_bytes())
}

/// What [`write_for_this_boot`] wrote in this boot; none: no such file, or one of another boot.
pub fn read_of_this_boot(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let (boot, rest) = text.split_once('\n')?;
    (boot == boot_id().ok()?).then(|| rest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boot_s_words_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        assert_eq!(read_of_this_boot(&file), None);
        write_for_this_boot(&file, "one\ntwo\n").unwrap();
        assert_eq!(read_of_this_boot(&file).as_deref(), Some("one\ntwo\n"));
        for other in [
            "one\ntwo\n",
            "",
            "00000000-0000-4000-8000-000000000000\none\n",
        ] {
            std::fs::write(&file, other).unwrap();
            assert_eq!(read_of_this_boot(&file), None, "{other:?}");
        }
    }
}
