//! Where each system extension comes from: the cluster file's word, turned into one file name and one place, once for a whole
//! launch or render. What the Flatcar sysext bakery said of a release is remembered with the cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_cluster_file::cluster::{Arch, Assets, Cluster, ProviderOptions, Sysext};

mod bundled;
pub mod cache;
mod fetch;
mod known;
mod release;

pub use cache::sha256_of_file;
pub use known::KnownReleases;

use ha_host_base::exit::Stop;
use release::Release;

/// The bakery, or a mirror of it: `BASE/NAME-VERSION/{SHA256SUMS,NAME-VERSION-ARCH.raw}`, as its own redirector and its
/// releases' download pages both have it.
const MIRROR: &str = "HA_HOST_BAKERY";

/// One system extension as the nodes get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// The name of its image on the node, behind `/etc/extensions/NAME.raw`.
    pub file: String,
    /// Where its image is.
    pub source: SysextSource,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SysextSource {
    /// Behind a URL, known by its hash.
    Url { url: String, sha256: String },
    /// On this machine, links resolved.
    File(PathBuf),
}

/// The cluster's sysexts by name, those of single nodes among them.
pub type Artefacts = BTreeMap<String, Artefact>;

/// The architecture that the nodes have: the machines' own, else this program's.
pub fn node_arch(cluster: &Cluster) -> Arch {
    cluster.provider.vm().map_or(Arch::HOST, |vm| vm.arch)
}

/// Finds every sysext. Asks the bakery for hashes that are not known yet, and notes them in `known`; writes nothing.
pub fn resolve_sysexts(cluster: &Cluster, known: &mut KnownReleases) -> Result<Artefacts> {
    resolve_by(cluster, known, std::env::var(MIRROR).ok().as_deref())
}

fn resolve_by(
    cluster: &Cluster,
    known: &mut KnownReleases,
    mirror: Option<&str>,
) -> Result<Artefacts> {
    let mirror = mirror.filter(|url| !url.is_empty());
    let arch = node_arch(cluster);
    let mut artefacts = Artefacts::new();
    for (name, sysext) in cluster.all_sysexts() {
        if artefacts.contains_key(name) {
            continue;
        }
        let artefact = match sysext {
            Sysext::Url { url, sha256 } => of_url(name, url, sha256),
            Sysext::File(path) => of_file(cluster, name, path)?,
            Sysext::Bundled => of_file(cluster, name, &bundled::find_bundled(name, arch)?)?,
            Sysext::Bakery { version } => {
                let release = Release::new(name, version, arch);
                known.release(&release, mirror)?
            }
        };
        check_fit(cluster, name, &artefact, arch)?;
        artefacts.insert(name.clone(), artefact);
    }
    one_name_each(&artefacts)?;
    Ok(artefacts)
}

fn of_url(name: &str, url: &str, sha256: &str) -> Artefact {
    let file = image_file_name(name, url_base(url));
    let (url, sha256) = (url.to_owned(), sha256.to_owned());
    Artefact {
        file,
        source: SysextSource::Url { url, sha256 },
    }
}

fn of_file(cluster: &Cluster, name: &str, path: &Path) -> Result<Artefact> {
    let unreadable =
        |what: String| Stop::bad_input(format!("sysexts.{name}: {} {what}", path.display()));
    let real = path
        .canonicalize()
        .map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    if !real.is_file() {
        return Err(unreadable("is not a file: name a .raw image".to_owned()));
    }
    std::fs::File::open(&real).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    let base = real.file_name().context("no file name")?.to_string_lossy();
    // nspawn brings the file as it is called.
    let file = match cluster.provider {
        ProviderOptions::Nspawn(_) => base.into_owned(),
        _ => image_file_name(name, &base),
    };
    Ok(Artefact {
        file,
        source: SysextSource::File(real),
    })
}

/// What the image is called where it came from, if that can be a file's name everywhere: the version stays readable.
fn image_file_name(name: &str, base: &str) -> String {
    match is_file_name(base) {
        true => base.to_owned(),
        false => format!("{name}.raw"),
    }
}

/// The last part of a URL's path.
pub fn url_base(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether this can be a file's name everywhere.
pub fn is_file_name(base: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.+~".contains(c);
    !base.is_empty() && !base.starts_with('.') && base.chars().all(fine)
}

/// Whether this can be the nodes' image at all. With `provider: none` nobody here knows what the machines are.
fn check_fit(cluster: &Cluster, name: &str, artefact: &Artefact, arch: Arch) -> Result<()> {
    let SysextSource::File(path) = &artefact.source else {
        return Ok(());
    };
    let wrong = [Arch::X86_64, Arch::Arm64]
        .into_iter()
        .find(|other| *other != arch && artefact.file.ends_with(&format!("-{other}.raw")));
    if let Some(wrong) = wrong.filter(|_| cluster.provider.makes_machines()) {
        return Err(Stop::bad_input(format!(
            "sysexts.{name}: {} is for {wrong}, and the nodes are {arch}: name the image for {arch}, or change the \
             provider's `arch`",
            path.display()
        )));
    }
    if cluster.provider.vm().is_some() && cluster.assets == Assets::Download {
        return Err(Stop::bad_input(format!(
            "sysexts.{name}: {} is a file of this machine, and with `assets: download` nobody brings it to the nodes: \
             write `assets: disk`, or name a `url` with its `sha256`",
            path.display()
        )));
    }
    Ok(())
}

/// All images may lie in one directory.
fn one_name_each(artefacts: &Artefacts) -> Result<()> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, artefact) in artefacts {
        if let Some(other) = seen.insert(&artefact.file, name) {
            return Err(Stop::bad_input(format!(
                "sysexts.{name}: its image is called {file}, as that of sysexts.{other}: give one of them another name",
                file = artefact.file
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
