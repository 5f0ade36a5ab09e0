//! Local system extensions: brought to `/opt/extensions/NAME/FILE` in every node, where Ignition's links point to. Where the
//! kernel has no loop devices, unpacked, and the links turned to directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::Sysext;
use ha_host_base::command::run_for_stdout;

use super::layout::make_dir;
use super::node_root::NodeRoot;
use super::root::{remove_dir, sync_file_system};

/// Where Ignition's links look for them in a node.
pub const IN_NODE: &str = "/opt/extensions";
/// Where they are mounted, and [`IN_NODE`] links to: with a mount below /opt, systemd-sysext 257 covers all of /opt with a
/// tmpfs when it merges, and whatever else is there is gone.
pub const MOUNTED: &str = "/run/ha-host-extensions";

/// A local extension: its name and its image file, links resolved.
pub type Local = (String, PathBuf);

/// The cluster's local extensions that exist; the others' faults.
pub fn local_files(sysexts: &BTreeMap<String, Sysext>) -> (Vec<Local>, Vec<String>) {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for (name, sysext) in sysexts {
        let Sysext::File(file) = sysext else { continue };
        match file.canonicalize() {
            Ok(file) if file.is_file() => found.push((name.clone(), file)),
            Ok(file) => faults.push(format!("sysext {name}: {} is not a file", file.display())),
            Err(error) => faults.push(format!("sysext {name}: {}: {error}", file.display())),
        }
    }
    (found, faults)
}

/// Brings them into `dir`, one directory each. A file that is there and of the same size and age stays.
pub fn gather_files(dir: &Path, extensions: &[Local], unpack: bool) -> Result<()> {
    for (name, file) in extensions {
        let home = dir.join(name);
        make_dir(&home, 0o755)?;
        if unpack {
            unpack_image(file, &home.join(name))?
        } else {
            place_image(file, &home)?
        }
    }
    Ok(())
}

/// Leads from [`IN_NODE`] to [`MOUNTED`] on a new disk.
pub fn link_extension_dirs(root: &NodeRoot, names: &[String]) -> Result<()> {
    let homes = IN_NODE.trim_start_matches('/');
    root.make_dirs(homes)?;
    for name in names {
        root.make_link(&format!("{homes}/{name}"), &format!("{MOUNTED}/{name}"))?;
    }
    Ok(())
}

/// Turns Ignition's links to images into links to the unpacked trees.
pub fn link_directories(root: &NodeRoot, names: &[String]) -> Result<()> {
    for name in names {
        let image = format!("etc/extensions/{name}.raw");
        if root.exists(&image)? {
            root.remove_file(&image)?;
            let target = format!("{IN_NODE}/{name}/{name}");
            root.make_link(&format!("etc/extensions/{name}"), &target)?;
        }
    }
    Ok(())
}

/// Why images cannot be mounted by the nodes; none: they can.
pub fn no_loop_devices() -> Option<&'static str> {
    let lists = |file: &str, word: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .any(|line| line.split_whitespace().last() == Some(word))
    };
    if !lists("/proc/devices", "loop") || !lists("/proc/misc", "loop-control") {
        return Some("no loop devices (modprobe loop)");
    }
    if !lists("/proc/filesystems", "squashfs") {
        return Some("no squashfs (modprobe squashfs)");
    }
    let control = Path::new("/dev/loop-control");
    if control.exists() && std::fs::File::open(control).is_err() {
        return Some("/dev/loop-control is forbidden here");
    }
    None
}

fn place_image(file: &Path, home: &Path) -> Result<()> {
    let Some(name) = file.file_name() else {
        bail!("{} has no file name", file.display())
    };
    let target = home.join(name);
    if is_same_file(file, &target) {
        return Ok(());
    }
    let beside = home.join(".new");
    let _ = std::fs::remove_file(&beside);
    // A file that nobody may write is shared. Any other is copied: who writes a new image over it must not write into the
    // mounts of running nodes. --preserve: the age tells next time that this is the same file.
    let copy = |how: &str| {
        run_for_stdout(
            Command::new("cp")
                .args(["--preserve", how, "-T"])
                .arg(file)
                .arg(&beside),
        )
    };
    let linked = read_only(file) && copy("--link").is_ok();
    if !linked {
        copy("--reflink=auto")?;
    }
    std::fs::rename(&beside, &target).with_context(|| format!("cannot write {}", target.display()))
}

fn unpack_image(file: &Path, tree: &Path) -> Result<()> {
    let stamp = tree.with_file_name(".unpacked");
    if tree.is_dir() && same_age(file, &stamp) {
        return Ok(());
    }
    let beside = tree.with_file_name(".new");
    for old in [&beside, tree] {
        remove_dir(old)?;
    }
    run_for_stdout(
        Command::new("unsquashfs")
            .args(["-no-progress", "-quiet", "-dest"])
            .arg(&beside)
            .arg(file),
    )
    .with_context(|| {
        format!(
            "cannot unpack {}; only squashfs images can be used without loop devices",
            file.display()
        )
    })?;
    std::fs::rename(&beside, tree).with_context(|| format!("cannot write {}", tree.display()))?;
    // The stamp says that the tree is whole, and must not survive a power cut that the tree does not.
    sync_file_system(tree)?;
    run_for_stdout(Command::new("touch").arg("-r").arg(file).arg(&stamp)).map(drop)
}

fn read_only(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|m| m.permissions().readonly())
}

fn is_same_file(one: &Path, two: &Path) -> bool {
    let size = |file: &Path| std::fs::metadata(file).map(|m| m.len()).ok();
    size(one) == size(two) && same_age(one, two)
}

fn same_age(one: &Path, two: &Path) -> bool {
    let age = |file: &Path| std::fs::metadata(file).and_then(|m| m.modified()).ok();
    age(two).is_some() && age(one) == age(two)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn links_are_resolved_and_missing_files_named() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("kubernetes-v1.36.3-x86-64.raw");
        std::fs::write(&real, "image").unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("kubernetes.raw")).unwrap();
        let file = |name: &str| Sysext::File(dir.path().join(name));
        let url = Sysext::Url {
            url: "https://x/y.raw".into(),
            sha256: "0".repeat(64),
        };
        let sysexts = BTreeMap::from([
            ("kubernetes".to_string(), file("kubernetes.raw")),
            ("missing".to_string(), file("missing.raw")),
            ("remote".to_string(), url),
        ]);
        let (found, faults) = local_files(&sysexts);
        assert_eq!(
            found,
            [("kubernetes".to_string(), real.canonicalize().unwrap())]
        );
        assert!(
            faults.len() == 1 && faults[0].starts_with("sysext missing: "),
            "{faults:?}"
        );
        let home = dir.path().join("gathered");
        for _ in 0..2 {
            gather_files(&home, &found, false).unwrap();
            assert_eq!(
                std::fs::read(home.join("kubernetes/kubernetes-v1.36.3-x86-64.raw")).unwrap(),
                b"image"
            );
        }
    }

    #[test]
    fn only_a_read_only_file_is_shared() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        for (name, mode, links) in [("a", 0o644, 1), ("b", 0o444, 2)] {
            let file = dir.path().join(name).with_extension("raw");
            std::fs::write(&file, "image").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            gather_files(
                &dir.path().join("all"),
                &[(name.into(), file.clone())],
                false,
            )
            .unwrap();
            assert_eq!(std::fs::metadata(&file).unwrap().nlink(), links, "{name}");
        }
    }

    #[test]
    fn links_to_images_become_links_to_directories() {
        let dir = tempfile::tempdir().unwrap();
        let links = dir.path().join("etc/extensions");
        std::fs::create_dir_all(&links).unwrap();
        std::os::unix::fs::symlink("/opt/extensions/a/a-1.raw", links.join("a.raw")).unwrap();
        link_directories(
            &NodeRoot::open(dir.path()).unwrap(),
            &["a".into(), "b".into()],
        )
        .unwrap();
        assert_eq!(
            std::fs::read_link(links.join("a")).unwrap(),
            Path::new("/opt/extensions/a/a")
        );
        assert!(links.join("a.raw").symlink_metadata().is_err());
    }
}
