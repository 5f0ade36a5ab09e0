//! What the kernel says of this machine and of this process.

use super::files::Files;

/// Kilobytes in a page on the architectures that Flatcar has.
const PAGE_KIB: u64 = 4;

/// The kernel's host name.
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The kernel's id of this boot; empty: not known.
pub fn boot_id(files: &Files) -> String {
    let text = files.read("/proc/sys/kernel/random/boot_id");
    text.ok().flatten().unwrap_or_default().trim().to_owned()
}

/// The agent's own resident memory.
pub fn resident_kib(files: &Files) -> Option<u64> {
    let text = files.read("/proc/self/statm").ok()??;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernel() {
        assert!(resident_kib(&Files::new("/")).unwrap() > 100);
    }
}
