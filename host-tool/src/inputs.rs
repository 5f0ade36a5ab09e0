//! The operator's own files that the cluster file names, read once for all nodes.

use std::path::Path;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Registry};
use ha_host_base::exit::Stop;
use ha_kube::Secret;
use ha_wire::settings::Cni;

mod certificates;
mod chart;
mod contents;
mod etcd;
mod file;
mod manifests;
mod password;
mod reboot_manager;
mod tar;

#[cfg(test)]
pub use chart::tests::packed_chart;
pub use contents::{check_image_archive, judge_named_files};
pub use etcd::EtcdClientFiles;
use file::FileFault;
pub use password::environment_line;
pub use reboot_manager::REBOOT_MANAGER;

use crate::bakery::cache::Cache;
use crate::bakery::{self, Artefacts, KnownReleases};

/// What a registry's files hold.
#[derive(Default)]
pub struct RegistryTexts {
    /// The CA's certificates, PEM.
    pub ca: Option<String>,
    pub password: Option<Secret>,
}

/// Files that the cluster file names, as the nodes get them.
#[derive(Default)]
pub struct OperatorFiles {
    /// Manifests of the pod network that nodes get as files: name on the node, text.
    pub manifests: Vec<(String, String)>,
    /// `cni.manifests` as the node file says it: names of the above, or URLs.
    pub sources: Vec<String>,
    /// Cilium's chart, if the cluster file brings it along.
    pub chart: Option<Vec<u8>>,
    /// Certificates of CAs that nodes trust besides the image's, PEM, one each.
    pub trusted_cas: Vec<String>,
    /// Those of `registries`, in the same order.
    pub registries: Vec<RegistryTexts>,
    /// The user's own Ignition configs.
    pub merges: Vec<String>,
    /// What haproxy's statistics page asks for.
    pub stats_password: Option<Secret>,
    /// What control planes ask an external etcd with.
    pub etcd: Option<EtcdClientFiles>,
    /// Where each system extension's image comes from.
    pub sysexts: Artefacts,
    /// What reading them gave rise to, one sentence each.
    pub warnings: Vec<String>,
    /// What the bakery said of them.
    known: KnownReleases,
    /// What of that the cluster's directory knew already.
    known_before: KnownReleases,
}

/// Without the files' texts: manifests and configs hold secrets.
impl std::fmt::Debug for OperatorFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let manifests: Vec<&String> = self.manifests.iter().map(|(name, _)| name).collect();
        f.debug_struct("OperatorFiles")
            .field("manifests", &manifests)
            .field("merges", &self.merges.len())
            .field("sysexts", &self.sysexts)
            .finish_non_exhaustive()
    }
}

impl OperatorFiles {
    /// Reads everything; an unreadable file is bad input. What the bakery said before is taken from the cluster's directory;
    /// what it says now is kept there by [`Self::keep`].
    pub fn read(cluster: &Cluster, dir: &Path) -> Result<Self> {
        let mut files = Self::default();
        match &cluster.kubernetes.cni {
            Cni::Manifests { sources } => {
                let hashes = &cluster.kubernetes.manifest_hashes;
                for (index, source) in sources.iter().enumerate() {
                    files.add_manifest(index, source, hashes.get(source))?;
                }
            }
            Cni::Cilium {
                version,
                chart: Some(path),
                ..
            } => {
                let path = Path::new(path);
                let chart = chart::read_chart(path, version);
                let key = "kubernetes.cni.cilium.chart";
                files.chart = Some(chart.map_err(|e| bad_file(key, path, &e))?);
            }
            Cni::Cilium { .. } | Cni::None => {}
        }
        for path in &cluster.trusted_cas {
            let texts = certificates::read_certificates(path);
            let texts = texts.map_err(|e| bad_file("trustedCAs", path, &e))?;
            files.trusted_cas.extend(texts);
        }
        for (index, registry) in cluster.registries.iter().enumerate() {
            files.add_registry(index, registry)?;
        }
        for path in &cluster.ignition_merge {
            files.add_user_config(path)?;
        }
        let stats = cluster.load_balancer.stats.as_ref();
        if let Some(path) = stats.and_then(|stats| stats.password_file.as_deref()) {
            let password = files.read_password("loadBalancer.stats.passwordFile", path)?;
            files.stats_password = Some(password);
        }
        if let Some(etcd) = cluster.kubernetes.external_etcd() {
            let (client, warnings) = EtcdClientFiles::read(etcd)?;
            files.etcd = Some(client);
            files.warnings.extend(warnings);
        }
        files.known_before = KnownReleases::read(dir)?;
        files.known = files.known_before.clone();
        files.sysexts = bakery::resolve_sysexts(cluster, &mut files.known)?;
        Ok(files)
    }

    /// Whether another ha-host has not learnt anything of the bakery since they were read.
    pub fn are_current(&self, dir: &Path) -> Result<bool> {
        Ok(KnownReleases::read(dir)? == self.known_before)
    }

    /// Remembers what the bakery said, so that no later launch asks again or gets another answer.
    pub fn keep(&self, dir: &Path) -> Result<()> {
        self.known.keep(dir)
    }

    fn add_manifest(&mut self, index: usize, source: &str, sha256: Option<&String>) -> Result<()> {
        let key = format!("kubernetes.cni.manifests[{index}]");
        let manifest = match sha256 {
            Some(sha256) => {
                let cache = Cache::open(manifests::MANIFESTS)?;
                manifests::read_fetched(&key, source, sha256, &cache)?
            }
            None if ha_wire::settings::is_url(source) => {
                self.sources.push(source.to_owned());
                return Ok(());
            }
            None => manifests::read_local(&key, Path::new(source))?,
        };
        let name = format!("{index:02}-{}", manifest.name);
        self.sources.push(name.clone());
        self.manifests.push((name, manifest.text));
        Ok(())
    }

    fn add_registry(&mut self, index: usize, registry: &Registry) -> Result<()> {
        let mut texts = RegistryTexts::default();
        if let Some(path) = &registry.ca {
            let key = format!("registries[{index}].ca");
            let ca = certificates::read_certificates(path).map_err(|e| bad_file(&key, path, &e))?;
            texts.ca = Some(ca.concat());
        }
        if let Some(auth) = &registry.auth {
            let key = format!("registries[{index}].auth.passwordFile");
            texts.password = Some(self.read_password(&key, &auth.password_file)?);
        }
        self.registries.push(texts);
        Ok(())
    }

    fn read_password(&mut self, key: &str, path: &Path) -> Result<Secret> {
        let read = password::read_password(path);
        let (password, warning) = read.map_err(|e| bad_file(key, path, &e))?;
        let named = |fault: FileFault| format!("{} {fault}", path.display());
        self.warnings.extend(warning.map(named));
        Ok(password)
    }

    fn add_user_config(&mut self, path: &Path) -> Result<()> {
        let config =
            contents::read_ignition(path).map_err(|e| bad_file("ignition.merge", path, &e))?;
        let named = |fault: FileFault| format!("{} {fault}", path.display());
        self.warnings.extend(config.warnings.into_iter().map(named));
        self.merges.push(config.text);
        Ok(())
    }
}

fn bad_file(key: &str, path: &Path, fault: &FileFault) -> anyhow::Error {
    Stop::bad_input(format!("{key}: {} {fault}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_ha_host_learnt_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let text = ha_test_support::DEMO.replace("nodes:", "provider: none\nnodes:");
        let cluster = ha_test_support::parse_cluster(&text, Path::new("/"));
        let files = OperatorFiles::read(&cluster, dir.path()).unwrap();
        assert!(files.are_current(dir.path()).unwrap());
        let learnt = r#"{"version":1,"sysexts":[{"name":"a","version":"1","arch":"x86-64","url":"u","sha256":"s"}]}"#;
        std::fs::write(dir.path().join("sysexts.json"), learnt).unwrap();
        assert!(!files.are_current(dir.path()).unwrap());
        let again = OperatorFiles::read(&cluster, dir.path()).unwrap();
        assert!(again.are_current(dir.path()).unwrap());
    }

    #[test]
    fn debug_shows_no_text_of_the_operators() {
        let files = OperatorFiles {
            manifests: vec![("00-a.yaml".to_owned(), "token: hush".to_owned())],
            merges: vec!["hush".to_owned()],
            ..OperatorFiles::default()
        };
        let shown = format!("{files:?}");
        assert!(
            shown.contains("00-a.yaml") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
