//! Files whose words hold for one boot of this machine only: cgroups, inodes of namespaces, numbers of processes.

use std::path::Path;
use std::time::{Duration, SystemTime};

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
    files::write_atomic(file, format!("{}\n{text}", boot_id()?).as_bytes())
}

/// What [`write_for_this_boot`] wrote in this boot; none: no such file, or one of another boot. A file of an ha-host that named no
/// boot in it counts if it was written since this boot began.
pub fn read_of_this_boot(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let own = boot_id().ok()?;
    match text.split_once('\n') {
        Some((boot, rest)) if has_form_of(boot, &own) => (boot == own).then(|| rest.into()),
        _ => (file.metadata().ok()?.modified().ok()? >= begin_of_this_boot()?).then_some(text),
    }
}

/// Digits where the other has digits, dashes where it has dashes.
fn has_form_of(text: &str, boot_id: &str) -> bool {
    let is_alike = |(a, b): (char, char)| match b {
        '-' => a == '-',
        _ => a.is_ascii_hexdigit(),
    };
    text.len() == boot_id.len() && text.chars().zip(boot_id.chars()).all(is_alike)
}

fn begin_of_this_boot() -> Option<SystemTime> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds = text.split_whitespace().next()?.parse().ok()?;
    SystemTime::now().checked_sub(Duration::try_from_secs_f64(seconds).ok()?)
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
        std::fs::write(&file, "00000000-0000-4000-8000-000000000000\none\n").unwrap();
        assert_eq!(read_of_this_boot(&file), None);
    }

    /// Those of ha-host before 26 Nov 2026, whose machines may run.
    #[test]
    fn words_without_a_boot_count_if_they_are_younger_than_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        for words in ["4026533177", "pending", "/a/ha.slice\n/a/ha.slice/node1\n"] {
            std::fs::write(&file, words).unwrap();
            assert_eq!(read_of_this_boot(&file).as_deref(), Some(words));
            let before = begin_of_this_boot().unwrap() - Duration::from_secs(1);
            let opened = std::fs::File::options().write(true).open(&file).unwrap();
            opened.set_modified(before).unwrap();
            assert_eq!(read_of_this_boot(&file), None, "{words:?}");
        }
    }
}
