//! The agent's own image, as it came with this program.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_cluster_file::cluster::Arch;
use ha_host_base::exit::Stop;

/// Where packages put it.
const SHARED: [&str; 2] = ["/usr/share/ha-host", "/usr/local/share/ha-host"];

/// The image for this architecture, in the first place that has it.
pub fn find_bundled(name: &str, arch: Arch) -> Result<PathBuf> {
    let program = std::env::current_exe().and_then(|exe| exe.canonicalize());
    let places = search_places(program.ok().as_deref().and_then(Path::parent));
    find_among(&places, name, arch).ok_or_else(|| {
        let looked: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        Stop::bad_input(format!(
            "sysexts.{name}: {} did not come with this ha-host: looked in {}; put it there, or name it in the cluster \
             file: sysexts: {{{name}: {{path: FILE.raw}}, ...}}",
            image_name(name, arch),
            looked.join(", ")
        ))
    })
}

fn image_name(name: &str, arch: Arch) -> String {
    format!("{name}-{}-{arch}.raw", env!("CARGO_PKG_VERSION"))
}

/// Beside the program, in its prefix, where packages put it, and where a development build leaves it.
fn search_places(program: Option<&Path>) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(dir) = program {
        places.push(dir.to_owned());
        places.extend(dir.parent().map(|prefix| prefix.join("share/ha-host")));
    }
    places.extend(SHARED.map(PathBuf::from));
    // target/release/ha-host and target/sysext/ha-agent-VERSION-ARCH.raw.
    if let Some(target) = program.and_then(Path::parent) {
        places.push(target.join("sysext"));
    }
    let mut once: Vec<PathBuf> = Vec::with_capacity(places.len());
    for place in places {
        if !once.contains(&place) {
            once.push(place);
        }
    }
    once
}

/// An image without version and architecture in its name is believed to be right, unless it leads to one that is not.
fn find_among(places: &[PathBuf], name: &str, arch: Arch) -> Option<PathBuf> {
    let exact = image_name(name, arch);
    let plain = format!("{name}.raw");
    let other = |file: &Path| {
        let real = file.canonicalize().unwrap_or_default();
        let real = real.to_string_lossy();
        [Arch::X86_64, Arch::Arm64]
            .into_iter()
            .any(|a| a != arch && real.ends_with(&format!("-{a}.raw")))
    };
    places
        .iter()
        .flat_map(|dir| [dir.join(&exact), dir.join(&plain)])
        .find(|file| file.is_file() && !other(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_own_directory_comes_first() {
        let places = search_places(Some(Path::new("/opt/ha/bin")));
        let shown: Vec<_> = places.iter().map(|p| p.to_str().unwrap()).collect();
        assert_eq!(
            shown,
            [
                "/opt/ha/bin",
                "/opt/ha/share/ha-host",
                "/usr/share/ha-host",
                "/usr/local/share/ha-host",
                "/opt/ha/sysext"
            ]
        );
    }

    #[test]
    fn only_an_image_for_the_nodes_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let places = [dir.path().join("empty"), dir.path().to_owned()];
        assert_eq!(find_among(&places, "ha-agent", Arch::Arm64), None);
        let x86 = dir.path().join(image_name("ha-agent", Arch::X86_64));
        std::fs::write(&x86, "image").unwrap();
        std::os::unix::fs::symlink(&x86, dir.path().join("ha-agent.raw")).unwrap();
        assert_eq!(find_among(&places, "ha-agent", Arch::X86_64), Some(x86));
        assert_eq!(find_among(&places, "ha-agent", Arch::Arm64), None);
    }

    #[test]
    fn a_missing_image_is_one_message_with_every_place() {
        let error = find_bundled("ha-agent-of-nobody", Arch::Arm64).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Stop::BadInput(_))));
        let text = error.to_string();
        for word in [
            "sysexts.ha-agent-of-nobody: ",
            "-arm64.raw",
            SHARED[0],
            SHARED[1],
            "path:",
        ] {
            assert!(text.contains(word), "{text}");
        }
    }
}
