//! What kind of processor this machine has.

use super::files::Files;

/// What the kernel says of it.
const CPU: &str = "/proc/cpuinfo";
/// How QEMU's translator names the one that it plays.
const TCG: &str = "QEMU TCG CPU";

/// Whether instructions are translated in software, some ten times slower than a processor runs them. Limits that tell a
/// hanging program from a living one are longer there.
pub fn is_emulated(files: &Files) -> bool {
    files
        .read(CPU)
        .is_ok_and(|text| text.is_some_and(|text| text.contains(TCG)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_qemus_translator_is_emulated() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        assert!(!is_emulated(&files), "nothing is known");
        std::fs::create_dir(root.path().join("proc")).unwrap();
        for (name, emulated) in [
            ("QEMU TCG CPU version 2.5+", true),
            ("QEMU Virtual CPU version 2.5+", false),
            ("AMD EPYC-Milan Processor", false),
        ] {
            let text = format!("processor\t: 0\nmodel name\t: {name}\n");
            std::fs::write(root.path().join("proc/cpuinfo"), text).unwrap();
            assert_eq!(is_emulated(&files), emulated, "{name}");
        }
    }
}
