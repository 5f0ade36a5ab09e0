//! The configs in the directory that people named: all of them or none.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_kube::Secret;
use tempfile::{Builder, TempPath};

pub fn refuse_existing(dir: &Path, names: &[String]) -> Result<()> {
    match names.iter().find(|n| dir.join(n).exists()) {
        Some(name) => Err(already_exists(&dir.join(name))),
        None => Ok(()),
    }
}

fn already_exists(path: &Path) -> anyhow::Error {
    Stop::bad_input(format!(
        "{} exists and was not touched; --force replaces it",
        path.display()
    ))
}

/// Whole or not at all: everything is written beside its place first. Not synced to disk: what is lost in a power cut is
/// rendered again.
pub fn write_all(dir: &Path, configs: &[(&str, &Secret)], replace: bool) -> Result<()> {
    files::make_dir(dir)?;
    let mut written = Vec::with_capacity(configs.len());
    for (name, config) in configs {
        let path = dir.join(name);
        let file = write_beside(dir, config);
        let file =
            file.with_context(|| format!("cannot write {}: no config was", path.display()))?;
        written.push((path, file));
    }
    let mut placed = Vec::new();
    for (path, file) in written {
        if let Err(error) = persist_file(file, &path, replace) {
            if !replace {
                remove_again(&placed)?;
            }
            return Err(error);
        }
        placed.push(path);
    }
    Ok(())
}

/// tempfile makes its files 0600, and removes them if they are not placed. Closed at once: thousands may be on their way.
fn write_beside(dir: &Path, config: &Secret) -> Result<TempPath> {
    let mut file = Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(config.expose().as_bytes())?;
    Ok(file.into_temp_path())
}

fn persist_file(file: TempPath, path: &Path, replace: bool) -> Result<()> {
    let placed = if replace {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match placed {
        Ok(()) => Ok(()),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Err(already_exists(path)),
        Err(e) => Err(e.error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// They are this call's own: nothing was there before.
fn remove_again(placed: &[PathBuf]) -> Result<()> {
    for path in placed {
        std::fs::remove_file(path)
            .with_context(|| format!("cannot remove {} again", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_names_in(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_config_that_cannot_be_placed_takes_those_before_it_away() {
        let dir = tempfile::tempdir().unwrap();
        let text = Secret::new("{}".to_owned());
        let configs = [
            ("node1.ign", &text),
            ("node2.ign", &text),
            ("gone/node3.ign", &text),
        ];
        let error = write_all(dir.path(), &configs, false).unwrap_err();
        assert!(format!("{error:#}").contains("gone/node3.ign"), "{error:#}");
        assert!(
            file_names_in(dir.path()).is_empty(),
            "{:?}",
            file_names_in(dir.path())
        );
    }

    #[test]
    fn what_appeared_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("node2.ign"), "mine").unwrap();
        let text = Secret::new("{}".to_owned());
        let configs = [("node1.ign", &text), ("node2.ign", &text)];
        let error = write_all(dir.path(), &configs, false).unwrap_err();
        assert!(error.to_string().contains("--force replaces it"), "{error}");
        assert_eq!(file_names_in(dir.path()), ["node2.ign"]);
        let there = std::fs::read_to_string(dir.path().join("node2.ign")).unwrap();
        assert_eq!(there, "mine");
        write_all(dir.path(), &configs, true).unwrap();
        assert_eq!(file_names_in(dir.path()), ["node1.ign", "node2.ign"]);
    }
}
