//! Files that the cluster file names, compared by what they hold: a path alone changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use ha_cluster_file::cluster::{Assets, Cluster, Etcd, Image, Kubernetes, ProviderOptions, Sysext};
use ha_wire::settings::{Cni, is_url};

use super::difference::Difference;
use crate::bakery::cache::sha256_of_file;
use crate::ignition::OperatorTexts;
use crate::inputs::OperatorFiles;
use crate::state::{FileHash, FileHashes};

const MERGE: &str = "ignition.merge";
const MANIFESTS: &str = "kubernetes.cni.manifests";
const STATS_PASSWORD: &str = "loadBalancer.stats.passwordFile";
const CHART: &str = "kubernetes.cni.cilium.chart";

/// What is known of the files that the cluster was launched with.
pub struct LaunchedFiles<'a> {
    /// The directory that the old file's paths started from, and the new one's.
    pub old_base: &'a Path,
    pub new_base: &'a Path,
    /// What is kept of them; empty where an earlier version launched the cluster.
    pub hashes: &'a FileHashes,
    /// The texts that the founder's config holds, if it is there.
    pub texts: Option<&'a OperatorTexts>,
}

impl LaunchedFiles<'_> {
    /// Gives the old cluster the new one's paths wherever the content is the same. What holds something else though its path is
    /// the same comes back.
    pub fn follow_moved(
        &self,
        old: &mut Cluster,
        new: &Cluster,
        files: &OperatorFiles,
    ) -> Result<Vec<Difference>> {
        let mut edited = self.follow_texts(old, new, files);
        let mut wanted = new.clone();
        let wanted = named_files(&mut wanted);
        for (key, path) in named_files(old) {
            let Some(wanted) = wanted.get(&key) else {
                continue;
            };
            match self.is_same(&key, path, wanted)? {
                true => {}
                false if self.are_same_words(path, wanted) => {
                    edited.push(Difference::of_content(&key, &lossy_file_name(path)));
                }
                false => continue,
            }
            path.clone_from(wanted);
        }
        edited.extend(self.follow_chart(old, new)?);
        Ok(edited)
    }

    fn follow_chart(&self, old: &mut Cluster, new: &Cluster) -> Result<Option<Difference>> {
        let Some((before, now)) = old.kubernetes.cni.chart().zip(new.kubernetes.cni.chart()) else {
            return Ok(None);
        };
        let (before, now) = (Path::new(before), Path::new(now));
        let same = self.is_same(CHART, before, now)?;
        if !same && !self.are_same_words(before, now) {
            return Ok(None);
        }
        if let (Cni::Cilium { chart, .. }, Cni::Cilium { chart: now, .. }) =
            (&mut old.kubernetes.cni, &new.kubernetes.cni)
        {
            chart.clone_from(now);
        }
        Ok((!same).then(|| Difference::of_content(CHART, &lossy_file_name(now))))
    }

    /// The operator's own texts, which every node's config holds whole.
    fn follow_texts(
        &self,
        old: &mut Cluster,
        new: &Cluster,
        files: &OperatorFiles,
    ) -> Vec<Difference> {
        let mut edited = Vec::new();
        let as_paths = |paths: &[PathBuf]| paths.to_vec();
        let merges = self.texts.map(|texts| texts.merges == files.merges);
        let (before, now) = (as_paths(&old.ignition_merge), as_paths(&new.ignition_merge));
        match merges.unwrap_or_else(|| same_paths(&before, &now)) {
            true => old.ignition_merge.clone_from(&new.ignition_merge),
            false if before.len() == now.len() => {
                edited.push(Difference::of_content(MERGE, &names_of(&now)));
                old.ignition_merge.clone_from(&new.ignition_merge);
            }
            false => {}
        }
        edited.extend(self.follow_manifests(&mut old.kubernetes, &new.kubernetes, files));
        edited
    }

    fn follow_manifests(
        &self,
        before: &mut Kubernetes,
        now: &Kubernetes,
        files: &OperatorFiles,
    ) -> Option<Difference> {
        let (was, is) = (ManifestList::of(before)?, ManifestList::of(now)?);
        if was.left_to_founder() != is.left_to_founder() {
            return None;
        }
        // By their texts: the name on the node is made of the place in the list and the file's name.
        let texts = |all: &[(String, String)]| -> Vec<String> {
            all.iter().map(|(_, text)| text.clone()).collect()
        };
        let same = self
            .texts
            .map(|made_with| texts(&made_with.manifests) == texts(&files.manifests));
        let same = same.unwrap_or_else(|| same_paths(&was.contents(), &is.contents()));
        let names = names_of(&is.brought());
        before.cni.clone_from(&now.cni);
        before.manifest_hashes.clone_from(&now.manifest_hashes);
        (!same).then(|| Difference::of_content(MANIFESTS, &names))
    }

    /// Whether a file, or a directory, is what was there at the launch.
    fn is_same(&self, key: &str, old: &Path, new: &Path) -> Result<bool> {
        let Some(kept) = self.hashes.get(key) else {
            return Ok(self.is_same_place(old, new) || is_same_content(old, new));
        };
        Ok(match hash_of_file(new, Some(kept))? {
            Some(now) => now.sha256 == kept.sha256,
            None => self.is_same_place(old, new),
        })
    }

    /// Whether both paths are the same words in the file, or lead to the same place.
    fn is_same_place(&self, old: &Path, new: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().ok();
        self.are_same_words(old, new) || real(old).is_some_and(|old| Some(old) == real(new))
    }

    /// Whether the cluster files say the same, each in its own directory.
    fn are_same_words(&self, old: &Path, new: &Path) -> bool {
        let in_old = old.strip_prefix(self.old_base);
        match (in_old, new.strip_prefix(self.new_base)) {
            (Ok(old), Ok(new)) => old == new,
            _ => old == new,
        }
    }
}

/// `kubernetes.cni.manifests`, by who fetches each.
struct ManifestList<'a> {
    sources: &'a [String],
    hashes: &'a BTreeMap<String, String>,
}

impl<'a> ManifestList<'a> {
    fn of(kubernetes: &'a Kubernetes) -> Option<Self> {
        let Cni::Manifests { sources } = &kubernetes.cni else {
            return None;
        };
        let hashes = &kubernetes.manifest_hashes;
        Some(Self { sources, hashes })
    }

    fn is_left_to_founder(&self, source: &String) -> bool {
        is_url(source) && !self.hashes.contains_key(source)
    }

    /// The URLs without a hash, with their places in the list.
    fn left_to_founder(&self) -> Vec<Option<&'a String>> {
        let sources = self.sources.iter();
        sources
            .map(|source| Some(source).filter(|source| self.is_left_to_founder(source)))
            .collect()
    }

    /// What nodes get as files.
    fn brought(&self) -> Vec<PathBuf> {
        let sources = self.sources.iter();
        let brought = sources.filter(|source| !self.is_left_to_founder(source));
        brought.map(PathBuf::from).collect()
    }

    /// The same by what is known of their content: a hash says it, a path leads there.
    fn contents(&self) -> Vec<PathBuf> {
        let hash = |path: &PathBuf| self.hashes.get(path.to_str()?).map(PathBuf::from);
        let brought = self.brought().into_iter();
        brought.map(|path| hash(&path).unwrap_or(path)).collect()
    }
}

/// Every file and directory that a cluster names, by its key; the operator's own texts are not among them.
fn named_files(cluster: &mut Cluster) -> BTreeMap<String, &mut PathBuf> {
    let mut found = BTreeMap::new();
    let provider = cluster.provider.name();
    let image = match &mut cluster.provider {
        ProviderOptions::Libvirt(options) => Some(&mut options.vm.image),
        ProviderOptions::Qemu(options) => Some(&mut options.vm.image),
        ProviderOptions::Nspawn(options) => {
            found.insert("provider.nspawn.image".to_owned(), &mut options.image);
            None
        }
        ProviderOptions::None => None,
    };
    if let Some(Image::File { path, kernel }) = image {
        let key = |name: &str| format!("provider.{provider}.image.{name}");
        found.insert(key("path"), path);
        if let Some(kernel) = kernel {
            found.insert(key("kernel"), &mut kernel.path);
            found.insert(key("initrd"), &mut kernel.initrd);
        }
    }
    let stats = cluster.load_balancer.stats.as_mut();
    if let Some(path) = stats.and_then(|stats| stats.password_file.as_mut()) {
        found.insert(STATS_PASSWORD.to_owned(), path);
    }
    for (index, registry) in cluster.registries.iter_mut().enumerate() {
        let key = |name: &str| format!("registries[{index}].{name}");
        let ca = registry.ca.iter_mut();
        found.extend(ca.map(|path| (key("ca"), path)));
        let auth = registry.auth.iter_mut();
        found.extend(auth.map(|auth| (key("auth.passwordFile"), &mut auth.password_file)));
    }
    let trusted = cluster.trusted_cas.iter_mut().enumerate();
    found.extend(trusted.map(|(at, path)| (format!("trustedCAs[{at}]"), path)));
    if let Some(Etcd::External(etcd)) = &mut cluster.kubernetes.etcd {
        let key = |name: &str| format!("kubernetes.etcd.external.{name}");
        found.insert(key("caFile"), &mut etcd.ca_file);
        found.insert(key("certFile"), &mut etcd.cert_file);
        found.insert(key("keyFile"), &mut etcd.key_file);
    }
    for (name, sysext) in &mut cluster.sysexts {
        if let Sysext::File(path) = sysext {
            found.insert(format!("sysexts.{name}.path"), path);
        }
    }
    for node in &mut cluster.nodes {
        for (name, sysext) in &mut node.sysexts {
            if let Sysext::File(path) = sysext {
                let key = format!("nodes[{}].sysexts.{name}.path", node.name);
                found.insert(key, path);
            }
        }
    }
    if let Assets::Disk { images } = &mut cluster.assets {
        let images = images.iter_mut().enumerate();
        found.extend(images.map(|(at, path)| (format!("assets.disk.images[{at}]"), path)));
    }
    found
}

/// What the files of a cluster hold now. Of those that did not change since, `known` is believed: they may be large.
pub fn hash_named_files(cluster: &Cluster, known: &FileHashes) -> Result<FileHashes> {
    let mut cluster = cluster.clone();
    let mut hashes = FileHashes::new();
    for (key, path) in named_files(&mut cluster) {
        if let Some(hash) = hash_of_file(path, known.get(&key))? {
            hashes.insert(key, hash);
        }
    }
    if let Some(chart) = cluster.kubernetes.cni.chart()
        && let Some(hash) = hash_of_file(Path::new(chart), known.get(CHART))?
    {
        hashes.insert(CHART.to_owned(), hash);
    }
    Ok(hashes)
}

/// None: there is no file, or it is a directory.
fn hash_of_file(path: &Path, known: Option<&FileHash>) -> Result<Option<FileHash>> {
    let Ok(meta) = std::fs::metadata(path) else {
        return Ok(None);
    };
    if !meta.is_file() {
        return Ok(None);
    }
    let modified = meta.modified()?.duration_since(UNIX_EPOCH);
    let modified_ns = modified.map_or(0, |since| since.as_nanos() as u64);
    let unchanged = |known: &&FileHash| {
        known.path == path && known.bytes == meta.len() && known.modified_ns == modified_ns
    };
    if let Some(known) = known.filter(unchanged) {
        return Ok(Some(known.clone()));
    }
    Ok(Some(FileHash {
        path: path.to_owned(),
        bytes: meta.len(),
        modified_ns,
        sha256: sha256_of_file(path)?,
    }))
}

/// Of files without a kept hash: the same name, and the same content as far as both are still there.
fn is_same_content(old: &Path, new: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(ToOwned::to_owned);
    if old == new {
        return true;
    }
    if !old.exists() {
        return name(old) == name(new);
    }
    let hash = |path: &Path| {
        hash_of_file(path, None)
            .ok()
            .flatten()
            .map(|hash| hash.sha256)
    };
    hash(old).is_some_and(|old| Some(old) == hash(new))
}

fn same_paths(old: &[PathBuf], new: &[PathBuf]) -> bool {
    let mut pairs = old.iter().zip(new);
    old.len() == new.len() && pairs.all(|(old, new)| is_same_content(old, new))
}

fn lossy_file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn names_of(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| lossy_file_name(path)).collect();
    names.join(", ")
}
