//! Manifests of the pod network: files, and what is behind a URL whose hash the cluster file has, fetched here.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_cluster_file::manifest;
use ha_flatcar_image::{Bar, Step};
use ha_host_base::exit::Stop;

use super::file::{FileFault, Judged, MAX_TEXT, read_text};
use crate::bakery::cache::{Cache, Kind};
use crate::bakery::{is_file_name, url_base};

pub const MANIFESTS: Kind = Kind {
    name: "manifests",
    most: MAX_TEXT,
    key: "kubernetes.cni.manifests",
    if_changed: ": look at what is there now, and write its hash if that is what you want",
};

/// A manifest with the name that it gets on the nodes, before its number.
pub struct NamedText {
    pub name: String,
    pub text: String,
}

/// A manifest of the pod network.
pub fn read_manifest(path: &Path) -> Judged<String> {
    let text = read_text(path)?;
    match manifest::count_objects(&text) {
        Ok(_) => Ok(text),
        Err(fault) => Err(FileFault::new(
            format!(
                "is not a Kubernetes manifest: line {}: {}",
                fault.line, fault.message
            ),
            fault.help,
        )),
    }
}

pub fn read_local(key: &str, path: &Path) -> Result<NamedText> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(NamedText {
        name: name.into_owned(),
        text: read_manifest(path).map_err(|fault| bad_manifest(key, &path.display(), &fault))?,
    })
}

/// Fetched unless it was before.
pub fn read_fetched(key: &str, url: &str, sha256: &str, cache: &Cache) -> Result<NamedText> {
    let name = file_name_of_url(url).to_owned();
    let path = cache
        .get(url, sha256, &name, &mut NoBar)
        .map_err(|error| Stop::bad_input(format!("{key}: {error:#}")))?;
    let text = read_manifest(&path).map_err(|fault| bad_manifest(key, &url, &fault))?;
    Ok(NamedText { name, text })
}

/// Judges what was fetched earlier; nothing is fetched for it.
pub fn judge_fetched(url: &Path, sha256: &str) -> Judged<()> {
    let find = || -> Result<Option<PathBuf>> {
        let name = file_name_of_url(url.to_str().unwrap_or_default());
        Cache::open(MANIFESTS)?.find(sha256, name)
    };
    // Without a place for it, or with one that cannot be read, nothing is known of it here.
    match find() {
        Ok(Some(path)) => read_manifest(&path).map(|_| ()),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// A manifest is here before a bar would be seen.
struct NoBar;

impl Bar for NoBar {
    fn begin(&mut self, _: Step, _: Option<u64>) {}
    fn at(&mut self, _: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _: &str) {}
}

fn file_name_of_url(url: &str) -> &str {
    let base = url_base(url);
    if is_file_name(base) {
        base
    } else {
        "manifest.yaml"
    }
}

fn bad_manifest(key: &str, what: &dyn std::fmt::Display, fault: &FileFault) -> anyhow::Error {
    Stop::bad_input(format!("{key}: {what} {fault}"))
}

#[cfg(test)]
mod tests;
