//! What is in the operator's files, judged before anything is made of it. `check` shows it at the place that names the file,
//! `render` and `launch` end with it.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use ha_cluster_file::check::{FileKind, NamedFile};
use ha_cluster_file::diagnostic::Fault;
use ignition_config::Config;

use super::certificates::read_certificates;
use super::chart::read_chart;
use super::etcd;
use super::file::{FileFault, Judged, fault_of_read_error, open_file, read_text};
use super::manifests::{self, read_manifest};
use super::password::read_password;
use super::reboot_manager::{self, REBOOT_MANAGER};
use super::tar;

/// What the config that ha-host writes is in, and every Flatcar from 3185 on reads.
const OLDEST_SPEC: &str = "3.3.0";

/// A user's Ignition config, and what of it is not wrong but worth a look.
#[derive(Debug)]
pub struct UserConfig {
    pub text: String,
    pub warnings: Vec<FileFault>,
}

/// Opens every file: all that is wrong, each at the place that names it.
pub fn judge_named_files(files: &[NamedFile]) -> Vec<Fault> {
    let judge = |file: &NamedFile| match judge_file(file, files) {
        Ok(warnings) => warnings
            .iter()
            .map(|fault| file.warning(&fault.what, &fault.remedy))
            .collect(),
        Err(fault) => vec![file.error(&fault.what, &fault.remedy)],
    };
    files.iter().flat_map(judge).collect()
}

/// `all`: among them are those that it has to fit.
fn judge_file(file: &NamedFile, all: &[NamedFile]) -> Judged<Vec<FileFault>> {
    let path = file.path.as_path();
    let beside = |kind| {
        all.iter()
            .find(|f| f.kind == kind)
            .map(|f| f.path.as_path())
    };
    match file.kind {
        FileKind::Manifest => read_manifest(path).map(|_| Vec::new()),
        FileKind::FetchedManifest => {
            let sha256 = file.sha256.as_deref().unwrap_or_default();
            manifests::judge_fetched(path, sha256).map(|()| Vec::new())
        }
        FileKind::CiliumChart => {
            let version = file.version.as_deref().unwrap_or_default();
            read_chart(path, version).map(|_| Vec::new())
        }
        FileKind::Ignition => read_ignition(path).map(|config| config.warnings),
        FileKind::EtcdCa | FileKind::Certificates => read_certificates(path).map(|_| Vec::new()),
        FileKind::Password => read_password(path).map(|(_, warning)| warning.into_iter().collect()),
        FileKind::EtcdCert => etcd::judge_cert(path, beside(FileKind::EtcdCa)),
        FileKind::EtcdKey => etcd::judge_key(path, beside(FileKind::EtcdCert)),
        FileKind::ImageArchive => check_image_archive(path).map(|()| Vec::new()),
        FileKind::NodeImage => check_node_image(path).map(|()| Vec::new()),
        FileKind::MachineImage | FileKind::Sysext => open_file(path).map(|_| Vec::new()),
    }
}

/// A user's Ignition config, checked as far as its types go; what the types do not know is said and left to Ignition.
pub fn read_ignition(path: &Path) -> Judged<UserConfig> {
    let text = read_text(path)?;
    let version = spec_version(&text)?;
    let (_, unknown) = Config::parse_str(&text).map_err(|error| {
        let what = format!("is not an Ignition config: {error}");
        FileFault::new(what, "compare it with the specification of its version")
    })?;
    if reboot_manager::is_used_though_masked(&text) {
        let what = format!(
            "uses {REBOOT_MANAGER}, which is masked on every node: it reboots them without a drain, all within the same hour"
        );
        let remedy =
            "say \"mask\": false at that unit to have it all the same (docs/flatcar.md, Updates)";
        return Err(FileFault::new(what, remedy));
    }
    let unknown = unknown.iter().map(|warning| {
        FileFault::new(
            format!("has an {warning}"),
            "Ignition leaves it out: a slip?",
        )
    });
    let warnings = newer_spec(&version).into_iter().chain(unknown).collect();
    Ok(UserConfig { text, warnings })
}

/// `ignition.version` of a config that can be merged into ours.
fn spec_version(text: &str) -> Judged<String> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| not_json(text, &error))?;
    let version = json.pointer("/ignition/version").and_then(|v| v.as_str());
    let Some(version) = version else {
        return Err(FileFault::new(
            "is not an Ignition config: it has no ignition.version",
            format!("write {{\"ignition\": {{\"version\": \"{OLDEST_SPEC}\"}}, ...}}"),
        ));
    };
    if version.starts_with("2.") || version.starts_with("1.") {
        let what = format!(
            "is not an Ignition config that can be merged: ignition.version {version} is of an older kind, and a config of version 3 merges none of it"
        );
        let remedy = "write it as Butane (variant: flatcar, version: 1.0.0) and translate that: butane FILE.bu > FILE.ign";
        return Err(FileFault::new(what, remedy));
    }
    Ok(version.to_owned())
}

fn not_json(text: &str, error: &serde_json::Error) -> FileFault {
    let begins = |word: &str| text.lines().any(|line| line.starts_with(word));
    if begins("variant:") {
        let remedy = "translate it first: butane FILE.bu > FILE.ign";
        return FileFault::new("is not an Ignition config: it is Butane YAML", remedy);
    }
    if begins("#cloud-config") {
        let remedy = "write what it does as Butane (variant: flatcar), and translate that: butane FILE.bu > FILE.ign";
        return FileFault::new("is not an Ignition config: it is cloud-config", remedy);
    }
    let what = format!("is not an Ignition config: it is not JSON: {error}");
    let remedy = "Butane YAML must be translated first: butane FILE.bu > FILE.ign";
    FileFault::new(what, remedy)
}

/// Of a version that not every Flatcar reads: which ones do.
fn newer_spec(version: &str) -> Option<FileFault> {
    let reads = match version {
        "3.4.0" => "Flatcar reads it from stable 3602 on (Ignition 2.15)",
        "3.5.0" => "a Flatcar with Ignition 2.20 or newer reads it, as its release notes say",
        "3.6.0" => {
            "only a Flatcar with an Ignition newer than 2.25 reads it, as its release notes say"
        }
        _ => return None,
    };
    let what = format!(
        "is of Ignition version {version}: a machine whose Flatcar is older ends in the first boot with \"unsupported config version\""
    );
    let remedy = format!("{reads}; write {OLDEST_SPEC}, which all do, if it needs nothing newer");
    Some(FileFault::new(what, remedy))
}

/// An archive of container images, as docker, podman, skopeo and ctr write them; a compressed one is not looked into.
pub fn check_image_archive(path: &Path) -> Judged<()> {
    let remedy = "make one: docker save IMAGE -o FILE.tar, or ctr images export FILE.tar IMAGE";
    let mut file = open_file(path)?;
    let mut header = [0; tar::BLOCK];
    let mut first = true;
    while file.read_exact(&mut header).is_ok() {
        let compressed =
            header.starts_with(&[0x1f, 0x8b]) || header.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        if first && compressed {
            return Ok(());
        }
        if &header[257..262] != b"ustar" {
            break;
        }
        first = false;
        let name = tar::entry_name(&header);
        // Docker's list and OCI's.
        if name == b"manifest.json" || name == b"index.json" {
            return Ok(());
        }
        let size = tar::entry_size(&header).and_then(tar::padded);
        let Some(skip) = size.and_then(|size| i64::try_from(size).ok()) else {
            break;
        };
        file.seek(SeekFrom::Current(skip))
            .map_err(|e| fault_of_read_error(&e))?;
    }
    Err(if first {
        FileFault::new("is not a tar archive", remedy)
    } else {
        let what = "is not an archive of container images: it has neither manifest.json nor index.json (`docker export` writes such)";
        FileFault::new(what, remedy)
    })
}

fn check_node_image(path: &Path) -> Judged<()> {
    let meta = std::fs::metadata(path).map_err(|e| fault_of_read_error(&e))?;
    let systemd = path.join("root/usr/lib/systemd/systemd");
    if meta.is_dir() && systemd.exists() {
        return Ok(());
    }
    Err(FileFault::new(
        "is not a node image: it has no root/usr/lib/systemd/systemd",
        "name the image's directory (in this repository `make lab-images` makes one)",
    ))
}

#[cfg(test)]
mod tests;
