//! System extensions: each from one place, with its hash, and all that a node needs.

use std::collections::HashMap;

use super::hashed_url::{HashedUrl, check_hashed_url};
use crate::diagnostic::Fault;
use crate::file::{AssetsFile, ClusterFile, Spanned, SysextEntry};
use crate::version::version_parts;
use ha_wire::settings::Cri;

/// The sysext of kubeadm, kubelet and kubectl.
const KUBERNETES: &str = "kubernetes";
/// The extension that brings archives of images into CRI-O's store.
const PODMAN: &str = "podman";
/// What a sysext's image has to have beside its URL, and where it may be instead.
const OF_SYSEXT: HashedUrl = HashedUrl {
    instead: "`path` for a local file",
    where_hash_is: "the bakery publishes it: SHA256SUMS beside the image",
};
/// What a node needs besides its operating system.
const NEEDED: [&str; 2] = ["ha-agent", KUBERNETES];
/// And what its balancer is, where that is units of its own.
const BALANCER: [&str; 2] = ["keepalived", "haproxy"];

pub(super) fn check_sysexts(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let of_nodes = file
        .entries()
        .iter()
        .flat_map(|node| &node.flatcar_extensions);
    for extension in file.flatcar_extensions.iter().chain(of_nodes) {
        check_flatcar_extension(extension, faults);
    }
    let of_nodes = file.entries().iter().flat_map(|node| &node.sysexts);
    for sysext in file.sysexts.iter().chain(of_nodes) {
        check_sysext_name(&sysext.name, faults);
        check_source(sysext, faults);
        check_kubernetes_version(sysext, file, faults);
        check_crio(sysext, file, faults);
    }
    check_import_into_crio(file, faults);
    check_of_nodes(file, faults);
    // None at all: the image has them. Some of them: the others are forgotten more often than not.
    let Some(first) = file.sysexts.first() else {
        return;
    };
    let crio = runs_crio(file);
    let has = |name: &str| file.sysexts.iter().any(|sysext| sysext.name.value == name);
    let mode = file.load_balancer.mode.as_ref();
    let by_sysexts = mode.is_none_or(|mode| mode.value.is_by_sysexts());
    let balancer = BALANCER.into_iter().filter(|_| by_sysexts);
    let needed = NEEDED.into_iter().chain(balancer);
    let needed = needed.chain(crio.then_some("crio"));
    let missing: Vec<String> = needed
        .filter(|name| !has(name))
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        let message = format!("sysexts does not list {}", missing.join(", "));
        let help = "a node needs them all: list them here, or make sure that the image has them";
        faults.push(Fault::error(first.name.place, "sysexts", message, help).warning());
    }
}

/// An image is kept, served and on the disk that machines share under its name.
fn check_of_nodes(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let written = |at: &Option<Spanned<String>>| at.as_ref().map(|at| at.value.clone());
    let sources = |s: &SysextEntry| [&s.path, &s.url, &s.sha256, &s.version].map(written);
    let mut seen: HashMap<&str, &SysextEntry> = HashMap::new();
    for sysext in file.entries().iter().flat_map(|node| &node.sysexts) {
        let name = &sysext.name;
        let is_same = |all: &&SysextEntry| all.name.value == name.value;
        if let Some(all) = file.sysexts.iter().find(is_same) {
            let message = format!("`{}` is on every node already", name.value);
            let fault = name.error(message, "name it in one place");
            faults.push(fault.also(all.name.place, all.name.path.clone()));
        }
        let first = *seen.entry(&name.value).or_insert(sysext);
        if sources(first) != sources(sysext) {
            let message = format!("`{}` has another source on another node", name.value);
            let fault = name.error(message, "write the same, or give one of them another name");
            faults.push(fault.also(first.name.place, first.name.path.clone()));
        }
    }
}

/// Which there are depends on the release of Flatcar: the form alone is known.
fn check_flatcar_extension(name: &Spanned<String>, faults: &mut Vec<Fault>) {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let begins = |c: char| c.is_ascii_lowercase();
    if !name.value.starts_with(begins) || !name.value.chars().all(fine) {
        let message = format!(
            "`{}` is not a name of one of Flatcar's extensions",
            name.value
        );
        faults.push(name.error(
            message,
            "write e.g. zfs, podman or python; others go to `sysexts`",
        ));
    }
}

fn check_sysext_name(name: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = name.value.as_str();
    if let Some(bare) = text.strip_suffix(".raw") {
        let message = format!("the name of sysext `{text}` ends in .raw");
        faults.push(Fault::error(
            name.place,
            &name.path,
            message,
            format!("write `{bare}`, as in its extension-release"),
        ));
        return;
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.chars().all(fine) {
        let message = format!("`{text}` is not a valid sysext name");
        let help = "use letters, digits, `-`, `_` and `.`: it becomes a file name, NAME.raw";
        faults.push(Fault::error(name.place, &name.path, message, help));
    }
}

fn check_source(sysext: &SysextEntry, faults: &mut Vec<Fault>) {
    let name = &sysext.name;
    if let (Some(version), Some(other)) = (
        &sysext.version,
        sysext.url.as_ref().or(sysext.path.as_ref()),
    ) {
        let fault = version.error(
            "is a second source",
            "keep either `version`, for the bakery's, or `url` or `path`",
        );
        faults.push(fault.also(other.place, other.path.clone()));
        return;
    }
    if let Some(version) = &sysext.version {
        return check_bakery_version(sysext, version, faults);
    }
    match (&sysext.url, &sysext.path) {
        (Some(url), Some(path)) => {
            let fault = path.error(
                "is a second source",
                "keep either `url` with `sha256`, or `path`",
            );
            faults.push(fault.also(url.place, url.path.clone()));
        }
        (None, None) => {
            let help = "write `{version: V}` for the bakery's, `{url: https://..., sha256: ...}` or `{path: FILE.raw}`";
            faults.push(name.error("has no source", help));
        }
        (Some(url), None) => check_hashed_url(url, sysext.sha256.as_ref(), &OF_SYSEXT, faults),
        (None, Some(path)) => {
            super::files::check_local_path(path, faults);
            if let Some(sha256) = &sysext.sha256 {
                let help = "leave it out: the hash of a local file is taken when it is read";
                faults.push(sha256.error("is only valid with `url`", help));
            }
        }
    }
}

/// kubeadm and the kubelet come from the sysext, the control plane's images by `kubernetes.version`.
fn check_kubernetes_version(sysext: &SysextEntry, file: &ClusterFile, faults: &mut Vec<Fault>) {
    let (Some(version), Some(cluster)) = (&sysext.version, &file.kubernetes.version) else {
        return;
    };
    let of_sysext = version_parts(version.value.trim_start_matches('v'));
    let (Some(sysext_has), Some(cluster_has)) = (of_sysext, version_parts(&cluster.value)) else {
        return;
    };
    if sysext.name.value != KUBERNETES || sysext_has == cluster_has {
        return;
    }
    let message = format!(
        "{} is not kubernetes.version, {}",
        version.value, cluster.value
    );
    let fault = if sysext_has[..2] == cluster_has[..2] {
        let help =
            "nodes get this kubelet, the control plane the other version: keep both the same";
        version.error(message, help).warning()
    } else {
        let help = format!("write v{}, or leave `sysexts` out", cluster.value);
        version.error(message, help)
    };
    faults.push(fault.also(cluster.place, cluster.path.clone()));
}

fn runs_crio(file: &ClusterFile) -> bool {
    let cri = file.kubernetes.cri.as_ref();
    cri.is_some_and(|cri| cri.value == Cri::Crio)
}

/// CRI-O itself imports no archive; podman has the same store.
fn check_import_into_crio(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(AssetsFile::Disk(archives)) = file.assets.as_ref().map(|assets| &assets.value) else {
        return;
    };
    let brought = file.flatcar_extensions.iter().any(|e| e.value == PODMAN)
        || file.sysexts.iter().any(|s| s.name.value == PODMAN);
    if let Some(archive) = archives.first().filter(|_| runs_crio(file) && !brought) {
        let help = "add `flatcarExtensions: [podman]`: CRI-O takes no archive itself, podman imports into the same store";
        faults.push(archive.error(
            "can be imported into CRI-O by podman only, which no node has",
            help,
        ));
    }
}

/// CRI-O's minors are Kubernetes', its patches are its own.
fn check_crio(sysext: &SysextEntry, file: &ClusterFile, faults: &mut Vec<Fault>) {
    if sysext.name.value != Cri::Crio.name() {
        return;
    }
    if !runs_crio(file) {
        let help = "write `cri: crio` below `kubernetes`, or leave this sysext out";
        let fault = sysext.name.error("is here, and no node uses it", help);
        faults.push(fault.warning());
        return;
    }
    let (Some(version), Some(cluster)) = (&sysext.version, &file.kubernetes.version) else {
        return;
    };
    let of_sysext = version_parts(version.value.trim_start_matches('v'));
    let (Some(sysext_has), Some(cluster_has)) = (of_sysext, version_parts(&cluster.value)) else {
        return;
    };
    if sysext_has[..2] != cluster_has[..2] {
        let message = format!(
            "{} is not of kubernetes.version's minor, {}",
            version.value, cluster.value
        );
        let [major, minor, _] = cluster_has;
        let help = format!(
            "take one of v{major}.{minor}: CRI-O is tested with the kubelet of its own minor"
        );
        let fault = version.error(message, help).warning();
        faults.push(fault.also(cluster.place, cluster.path.clone()));
    }
}

/// A version becomes a part of a file's name and a URL's.
fn check_bakery_version(sysext: &SysextEntry, version: &Spanned<String>, faults: &mut Vec<Fault>) {
    if sysext.name.value == crate::bakery::AGENT {
        let help = "leave `version` out and name a file or a URL; left out altogether, `sysexts` takes the one that came \
                    with ha-host";
        faults.push(version.error("does not exist: the bakery has no ha-agent", help));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    if version.value.is_empty() || !version.value.chars().all(fine) {
        let message = format!("`{}` is not a valid bakery version", version.value);
        faults.push(version.error(
            message,
            "write it as in the image's file name, e.g. v1.36.3",
        ));
    }
    if let Some(sha256) = &sysext.sha256 {
        let help = "leave it out: it is in the bakery's SHA256SUMS";
        faults.push(sha256.error("is only valid with `url`", help));
    }
}
