//! The local files that a cluster file names: who opens them can say what is wrong with one at its place.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Fault, Place};
use crate::file::{AssetsFile, ClusterFile, CniFile, ManifestFile, ProviderFile, Spanned};

/// A local file or directory that the cluster file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// What it has to be.
    pub kind: FileKind,
    /// Where it is: absolute if the base is; or its URL.
    pub path: PathBuf,
    /// The version that it has to be of, if it is a file that says its own.
    pub version: Option<String>,
    /// The hash that it has to have, if it is fetched.
    pub sha256: Option<String>,
    /// Dotted path of the value that names it, e.g. `ignition.merge[0]`.
    pub named_by: String,
    place: Place,
}

/// What a named file has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A Kubernetes manifest.
    Manifest,
    /// The same behind a URL: here is at most what was fetched of it earlier.
    FetchedManifest,
    /// Cilium's chart, as Helm packs it.
    CiliumChart,
    /// An Ignition config.
    Ignition,
    /// Certificates of CAs, PEM.
    Certificates,
    /// A password.
    Password,
    /// The CA of an external etcd, PEM.
    EtcdCa,
    /// The control planes' client certificate for it; judged together with the CA and the key.
    EtcdCert,
    /// The key to that.
    EtcdKey,
    /// An archive of container images.
    ImageArchive,
    /// A node image of provider nspawn: a directory.
    NodeImage,
    /// A machine's disk, kernel or initrd.
    MachineImage,
    /// A system extension's image.
    Sysext,
}

impl NamedFile {
    /// A fault of this file at the place that names it. The message goes on after the file's name.
    pub fn error(&self, message: &str, help: &str) -> Fault {
        let message = format!("{}: {} {message}", self.named_by, self.path.display());
        Fault::error(self.place, &self.named_by, message, help)
    }

    /// The same, but only a warning.
    pub fn warning(&self, message: &str, help: &str) -> Fault {
        self.error(message, help).warning()
    }
}

/// Every file of this machine that a text names, in the order of the file's parts; whatever else is wrong with it. Nothing is opened.
pub fn named_files(text: &str, base: &Path) -> Vec<NamedFile> {
    let (file, _) = ClusterFile::read(text);
    let mut found = fetched_manifests(&file);
    let chart = chart_with_version(&file);
    let version = chart.map(|(_, version)| version.value.clone());
    let mut add = |kind, at: &Spanned<String>| {
        // Said of its form already.
        let mut faults = Vec::new();
        super::files::check_local_path(at, &mut faults);
        if faults.is_empty() {
            found.push(NamedFile {
                kind,
                path: base.join(&at.value),
                version: version.clone().filter(|_| kind == FileKind::CiliumChart),
                sha256: None,
                named_by: at.path.clone(),
                place: at.place,
            });
        }
    };
    for source in cni_manifests(&file) {
        if let ManifestFile::Plain(at) = source
            && !ha_wire::settings::is_url(&at.value)
        {
            add(FileKind::Manifest, at);
        }
    }
    chart
        .iter()
        .for_each(|(at, _)| add(FileKind::CiliumChart, at));
    file.ignition_merge
        .iter()
        .for_each(|at| add(FileKind::Ignition, at));
    file.trusted_cas
        .iter()
        .for_each(|at| add(FileKind::Certificates, at));
    for registry in &file.registries {
        let ca = registry.ca.iter();
        ca.for_each(|at| add(FileKind::Certificates, at));
        let password = registry
            .auth
            .iter()
            .filter_map(|auth| auth.password_file.as_ref());
        password.for_each(|at| add(FileKind::Password, at));
    }
    let stats = file.load_balancer.stats.as_ref();
    stats
        .and_then(|stats| stats.password_file.as_ref())
        .iter()
        .for_each(|at| add(FileKind::Password, at));
    let etcd = file.kubernetes.etcd.as_ref();
    if let Some(etcd) = etcd.and_then(|etcd| etcd.value.external()) {
        let kinds = [
            (FileKind::EtcdCa, &etcd.ca_file),
            (FileKind::EtcdCert, &etcd.cert_file),
            (FileKind::EtcdKey, &etcd.key_file),
        ];
        for (kind, at) in kinds {
            at.iter().for_each(|at| add(kind, at));
        }
    }
    if let Some(AssetsFile::Disk(images)) = file.assets.as_ref().map(|assets| &assets.value) {
        images.iter().for_each(|at| add(FileKind::ImageArchive, at));
    }
    let provider = file.provider.as_ref().map(|provider| &provider.value);
    if let Some(ProviderFile::Nspawn(options)) = provider {
        options
            .image
            .iter()
            .for_each(|at| add(FileKind::NodeImage, at));
    }
    if let Some(vm) = provider.and_then(ProviderFile::vm) {
        let image = &vm.image;
        let parts = image.path.iter().chain(&image.kernel).chain(&image.initrd);
        parts.for_each(|at| add(FileKind::MachineImage, at));
    }
    let of_nodes = file.entries().iter().flat_map(|node| &node.sysexts);
    let sysexts = file.sysexts.iter().chain(of_nodes);
    let sysexts = sysexts.filter_map(|sysext| sysext.path.as_ref());
    sysexts.for_each(|at| add(FileKind::Sysext, at));
    found
}

fn cni_manifests(file: &ClusterFile) -> &[ManifestFile] {
    match file.kubernetes.cni.as_ref().map(|cni| &cni.value) {
        Some(CniFile::Manifests(sources)) => sources,
        _ => &[],
    }
}

/// Those behind a URL with a hash whose form is right.
fn fetched_manifests(file: &ClusterFile) -> Vec<NamedFile> {
    let of_form = |source: &&ManifestFile| {
        let mut faults = Vec::new();
        super::kubernetes::check_manifest_source(source, &mut faults);
        faults.is_empty()
    };
    let named = |source: &ManifestFile| match source {
        ManifestFile::Hashed { url, sha256 } => Some(NamedFile {
            kind: FileKind::FetchedManifest,
            path: PathBuf::from(&url.value),
            version: None,
            sha256: Some(sha256.as_ref()?.value.to_lowercase()),
            named_by: url.path.clone(),
            place: url.place,
        }),
        ManifestFile::Plain(_) => None,
    };
    let sources = cni_manifests(file).iter();
    sources.filter(of_form).filter_map(named).collect()
}

fn chart_with_version(file: &ClusterFile) -> Option<(&Spanned<String>, &Spanned<String>)> {
    match &file.kubernetes.cni.as_ref()?.value {
        CniFile::Cilium { version, chart, .. } => chart.as_ref().zip(version.as_ref()),
        CniFile::Manifests(_) | CniFile::None => None,
    }
}
