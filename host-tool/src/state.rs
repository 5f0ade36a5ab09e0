//! What is kept of each cluster: `$XDG_STATE_HOME/ha-host/CLUSTER`, 0700.
//!
//! ```text
//! state.json     the record: how far the cluster is          pki/          every CA and key
//! accepted.json  the cluster as it was last accepted         nodes/X.ign   each node's Ignition config
//! cluster.yaml   the same, as people wrote it                machines/     the provider's own
//! kubeconfig     the administrator's                         assets/       the disk that virtual machines share
//! lock           held by the one ha-host that may write      sysexts.json  what the sysext bakery said of its releases
//! ```
//!
//! Verbs that look at a cluster or remove it read `accepted.json`: rules for cluster files become stricter, clusters stay.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::ClusterMachines;
use ha_host_base::files;

mod accepted;
mod lock;
mod record;
mod store;

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

    /// One cluster's directory, which may not exist.
    pub fn dir(&self, name: &str) -> ClusterDir {
        ClusterDir(self.0.join(name))
    }

    /// Every cluster that has a record.
    pub fn clusters(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let known = entries.filter(|e| e.path().join("state.json").exists());
        let mut names: Vec<String> = known
            .filter_map(|e| e.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Where each cluster's provider keeps its machines.
    pub fn machines(&self) -> Vec<ClusterMachines> {
        let of = |name: String| ClusterMachines {
            dir: self.dir(&name).path().join("machines"),
            name,
        };
        self.clusters().into_iter().map(of).collect()
    }

    /// The directory of a cluster that has a record.
    pub fn find(&self, name: &str) -> Result<ClusterDir> {
        let dir = self.dir(name);
        if dir.record()?.is_some() {
            return Ok(dir);
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
        let path = self.0.join("state.json");
        let Some(text) = files::read(&path)? else {
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
        accepted::read(&self.0, &record)
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

    /// Where a node's Ignition config is.
    pub fn ignition(&self, node: &str) -> PathBuf {
        self.0.join("nodes").join(format!("{node}.ign"))
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// The keys; none: not made yet.
    pub fn pki(&self) -> Result<Option<Pki>> {
        let dir = self.0.join("pki");
        if dir.exists() {
            Pki::load(&dir).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes the right to write. Makes the directory.
    pub fn lock(self) -> Result<ClusterStore> {
        files::make_dir(&self.0)?;
        let lock = Lock::take(&self.0.join("lock"))?;
        files::sweep(&self.0)?;
        files::make_dir(&self.0.join("nodes"))?;
        files::sweep(&self.0.join("nodes"))?;
        Ok(ClusterStore {
            dir: self,
            _lock: lock,
        })
    }
}
