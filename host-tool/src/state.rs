//! What is kept of each cluster: `$XDG_STATE_HOME/ha-host/CLUSTER`, 0700.
//!
//! ```text
//! state.json     the record: how far the cluster is          pki/          every CA and key
//! accepted.json  the cluster as it was last accepted         nodes/X.ign   each node's Ignition config
//! cluster.yaml   the same, as people wrote it                machines/     the provider's own
//! kubeconfig     the administrator's                         assets/       the disk that virtual machines share
//! launch.jsonl   what was seen of the last launch            launch.html   its picture
//! lock           held by the one ha-host that may write      sysexts.json  what the sysext bakery said of its releases
//! file-hashes.json  what the files that cluster.yaml names held
//! ```
//!
//! Verbs that look at a cluster or remove it read `accepted.json`: rules for cluster files become stricter, clusters stay.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::ClusterMachines;
use ha_host_base::files;

mod accepted;
mod contents;
mod file_hashes;
mod lock;
mod record;
mod store;
mod trust;

pub use file_hashes::{FileHash, FileHashes};
pub use record::{ClusterLife, ClusterRecord};
pub use store::{AcceptedFile, ClusterStore, record_life};

use crate::pki::Pki;
use ha_host_base::exit::Stop;
use lock::Lock;

/// The directory of all clusters.
#[derive(Debug, Clone)]
pub struct StateRoot(PathBuf);

impl StateRoot {
    /// As the command line says, or as XDG does.
    pub fn new(option: Option<&Path>) -> Result<Self> {
        if let Some(dir) = option {
            return Ok(Self(std::path::absolute(dir)?));
        }
        let set = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let base =
            set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
        let base =
            base.ok_or_else(|| Stop::bad_input("no HOME and no XDG_STATE_HOME: give --state-dir"))?;
        Ok(Self(base.join("ha-host")))
    }

    /// Refuses a place that others can write if this program is root's; else that is a warning, which comes back.
    pub fn check_place(&self) -> Result<Option<String>> {
        trust::check_place(&self.0, trust::Caller::of_this_process())
    }

    /// One cluster's directory, which may not exist.
    pub fn dir(&self, name: &str) -> ClusterDir {
        ClusterDir(self.0.join(name))
    }

    /// Every cluster that has a record.
    pub fn clusters(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let known = entries.filter(|e| e.path().join(record::FILE).exists());
        let mut names: Vec<String> = known
            .filter_map(|e| e.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Where each cluster's provider keeps its machines: of the clusters here, and of those where state is without --state-dir.
    pub fn machines(&self) -> Vec<ClusterMachines> {
        let usual = Self::new(None).ok().filter(|usual| usual.0 != self.0);
        let mut all = Vec::new();
        for root in [Some(self), usual.as_ref()].into_iter().flatten() {
            all.extend(root.clusters().into_iter().map(|name| ClusterMachines {
                dir: root.dir(&name).path().join("machines"),
                name,
            }));
        }
        all
    }

    /// The directory of a cluster that has a record.
    pub fn find(&self, name: &str) -> Result<ClusterDir> {
        let dir = self.dir(name);
        match dir.record()? {
            Some(record) if record.name == name => return Ok(dir),
            Some(record) => return Err(dir.is_a_copy(&record)),
            None => {}
        }
        let known = match self.clusters() {
            names if names.is_empty() => format!("there is none in {}", self.0.display()),
            names => format!("known are: {}", names.join(", ")),
        };
        Err(Stop::bad_input(format!(
            "no cluster is called {name}; {known}"
        )))
    }
}

/// One cluster's directory, for reading.
#[derive(Debug, Clone)]
pub struct ClusterDir(PathBuf);

impl ClusterDir {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The record; none: there is no such cluster.
    pub fn record(&self) -> Result<Option<ClusterRecord>> {
        let path = self.0.join(record::FILE);
        let Some(text) = files::read_optional(&path)? else {
            return Ok(None);
        };
        ClusterRecord::parse(&text)
            .map(Some)
            .with_context(|| format!("{} cannot be understood", path.display()))
    }

    /// The cluster as it was last accepted, whatever today's rules say of it; none: nothing was.
    pub fn accepted(&self) -> Result<Option<Cluster>> {
        let Some(record) = self.record()? else {
            return Ok(None);
        };
        accepted::read_accepted(&self.0, &record)
    }

    /// The same, for verbs that need one.
    pub fn cluster(&self) -> Result<Cluster> {
        self.accepted()?.with_context(|| {
            let dir = self.0.display();
            format!("{dir} holds no cluster file: launch again")
        })
    }

    /// As much of it as its removal needs: [`Self::accepted`], or a stand-in that has its name and its provider. None: no machine
    /// was ever made.
    pub fn removable(&self) -> Result<Option<Cluster>> {
        match self.record()? {
            Some(record) => accepted::read_for_removal(&self.0, &record),
            None => Ok(None),
        }
    }

    /// What the files that the accepted cluster file names held then.
    pub fn file_hashes(&self) -> Result<FileHashes> {
        file_hashes::read_hashes(&self.0)
    }

    /// Where a node's Ignition config is.
    pub fn ignition(&self, node: &str) -> PathBuf {
        self.0.join(contents::NODES).join(format!("{node}.ign"))
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join(contents::KUBECONFIG)
    }

    /// Where the facts of the last launch are.
    pub fn launch_facts(&self) -> PathBuf {
        self.0.join(contents::LAUNCH_FACTS)
    }

    /// Where the picture of the last launch is.
    pub fn launch_picture(&self) -> PathBuf {
        self.0.join(contents::LAUNCH_PICTURE)
    }

    /// The keys; none: not made yet. Keys that were made and are not there any more are an error: new ones would be another
    /// cluster's.
    pub fn pki(&self) -> Result<Option<Pki>> {
        let dir = self.0.join(contents::PKI);
        match dir.try_exists() {
            Ok(true) => Pki::load(&dir).map(Some),
            Ok(false) if self.had_keys()? => Err(self.lost_keys(&dir)),
            Ok(false) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot look for {}", dir.display())),
        }
    }

    /// The same, for verbs that need them.
    pub fn keys(&self) -> Result<Pki> {
        self.pki()?
            .context("this cluster has no keys yet: launch it")
    }

    /// Whether there is anything that only keys could have made.
    fn had_keys(&self) -> Result<bool> {
        let used = self
            .record()?
            .is_some_and(|r| r.founded || r.life != ClusterLife::Rendered);
        Ok(used || self.kubeconfig().exists() || contents::has_configs(&self.0)?)
    }

    fn lost_keys(&self, dir: &Path) -> anyhow::Error {
        anyhow!(
            "{} is missing, and this cluster's keys are in no other place here: restore it, or fetch it from a control plane \
             (/etc/kubernetes/pki: ca, front-proxy-ca and etcd/ca, each .crt and .key, and sa.pub, sa.key). Without it nothing was \
             changed; with new keys this would be another cluster",
            dir.display()
        )
    }

    /// Refuses a directory with a stranger's files in it. What [`Self::lock`] does first, for those who have much to do before.
    pub fn refuse_foreign(&self) -> Result<()> {
        contents::refuse_foreign_dir(&self.0)
    }

    /// Takes the right to write. Makes the directory.
    pub fn lock(self) -> Result<ClusterStore> {
        self.refuse_foreign()?;
        files::make_dir(&self.0)?;
        let lock = Lock::take(&self.0.join(contents::LOCK))?;
        // Until there is a record the directory may be a stranger's who came at the same time.
        if self.record()?.is_some() {
            contents::remove_interrupted_writes(&self.0)?;
        }
        Ok(ClusterStore {
            dir: self,
            _lock: lock,
        })
    }

    /// The same for a cluster that must be known: one that was destroyed meanwhile does not come back as an empty directory.
    pub fn lock_known(self) -> Result<ClusterStore> {
        if self.record()?.is_none() {
            return Err(self.is_gone());
        }
        let store = self.lock()?;
        match store.record()? {
            Some(_) => Ok(store),
            None => Err(store.is_gone()),
        }
    }

    /// What is done to it would be done to the machines of the one it was copied from.
    fn is_a_copy(&self, record: &ClusterRecord) -> anyhow::Error {
        let (dir, name) = (self.0.display(), &record.name);
        Stop::bad_input(format!(
            "{dir} is the state of {name}, copied or renamed: its machines are those of {name}. If it is a copy, remove it \
             yourself; if {name} is to be found again, call it {name} again"
        ))
    }

    fn is_gone(&self) -> anyhow::Error {
        anyhow!("{} is gone: the cluster was destroyed", self.0.display())
    }
}
