//! The image's prepared containerd store, one view per node: blobs and snapshots as hard links (nobody writes into them),
//! the databases as real copies (containerd writes into those). All images in no time and hardly any space.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use ha_host_base::command::run_for_stdout;

/// Gives a node its view, if the image has a store.
pub fn link_image_store(store: &Path, target: &Path) -> Result<()> {
    if !store.is_dir() {
        return Ok(());
    }
    let copy = |how: &str| {
        run_for_stdout(
            Command::new("cp")
                .args(["-a", how, "-T"])
                .arg(store)
                .arg(target),
        )
    };
    // Hard links need one file system; across two a clone or a true copy does, slower.
    copy("-l")
        .or_else(|_| copy("--reflink=auto"))
        .context("cannot give the node its image store")?;
    for file in written_in_place(target)? {
        break_link(&file).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

/// Breaks the link: a copy beside it takes its place.
fn break_link(file: &Path) -> std::io::Result<()> {
    let copy = file.with_extension("copy");
    std::fs::copy(file, &copy)?;
    std::fs::rename(&copy, file)
}

/// bolt databases. Snapshots may hold files of any name, so only containerd's own directories are looked at.
fn written_in_place(store: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for plugin in
        std::fs::read_dir(store).with_context(|| format!("cannot read {}", store.display()))?
    {
        let plugin = plugin?.path();
        if !plugin.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&plugin)
            .with_context(|| format!("cannot read {}", plugin.display()))?
        {
            let file = file?.path();
            if file.is_file() && file.extension().is_some_and(|extension| extension == "db") {
                found.push(file);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn databases_are_copied_and_blobs_linked() {
        let dir = tempfile::tempdir().unwrap();
        let (store, target) = (dir.path().join("store"), dir.path().join("node"));
        let (meta, blob) = (
            "io.containerd.metadata.v1.bolt/meta.db",
            "io.containerd.content.v1.content/blobs/sha256/a",
        );
        let in_snapshot = "io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/x.db";
        for file in [meta, blob, in_snapshot] {
            let file = store.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        std::fs::create_dir(&target).unwrap();
        link_image_store(&store, &target).unwrap();
        let same = |file: &str| {
            std::fs::metadata(store.join(file)).unwrap().ino()
                == std::fs::metadata(target.join(file)).unwrap().ino()
        };
        assert!(!same(meta) && same(blob) && same(in_snapshot));
        link_image_store(&dir.path().join("none"), &target).unwrap();
    }
}
