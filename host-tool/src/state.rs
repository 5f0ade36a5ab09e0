//! What is kept of each cluster: `$XDG_STATE_HOME/ha-host/CLUSTER`, 0700.
//!
//! ```text
//! state.json    the record: how far the cluster is          pki/          every CA and key
//! cluster.yaml  the cluster file as last accepted           nodes/X.ign   each node's Ignition config
//! kubeconfig    the administrator's                         machines/     the provider's own
//! lock          held by the one ha-host that may write
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::ClusterMachines;
use ha_host_base::files;

mod lock;
mod record;

pub use record::{ClusterLife, ClusterRecord};

use crate::pki::Pki;
use crate::pki::kubeconfig::{self, Server};
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

/// A checked cluster file, to be kept.
#[derive(Debug, Clone, Copy)]
pub struct AcceptedFile<'a> {
    pub cluster: &'a str,
    pub text: &'a str,
    /// The absolute directory that its relative paths start from.
    pub base: &'a Path,
    /// As named on the command line.
    pub path: &'a Path,
}

/// A cluster file that was kept.
#[derive(Debug)]
pub struct StoredFile {
    /// Where it is kept.
    pub path: PathBuf,
    pub text: String,
    /// The absolute directory that its relative paths start from.
    pub base: PathBuf,
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

    /// The cluster file as it was last accepted.
    pub fn stored_file(&self) -> Result<Option<StoredFile>> {
        let path = self.0.join("cluster.yaml");
        let (Some(record), Some(text)) = (self.record()?, files::read(&path)?) else {
            return Ok(None);
        };
        let base = record.base;
        Ok(Some(StoredFile { path, text, base }))
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

/// One cluster's directory with the right to write.
#[derive(Debug)]
pub struct ClusterStore {
    dir: ClusterDir,
    _lock: Lock,
}

impl std::ops::Deref for ClusterStore {
    type Target = ClusterDir;
    fn deref(&self) -> &ClusterDir {
        &self.dir
    }
}

impl ClusterStore {
    /// Accepts a cluster file: the record's copy changes, and the record if there is none.
    pub fn accept(&self, file: &AcceptedFile<'_>) -> Result<ClusterRecord> {
        let old = self.record()?;
        let mut record = old.clone().unwrap_or_else(|| {
            ClusterRecord::new(file.cluster, file.base.to_owned(), file.path.to_owned())
        });
        file.base.clone_into(&mut record.base);
        file.path.clone_into(&mut record.file);
        let copy = self.0.join("cluster.yaml");
        if files::read(&copy)?.as_deref() != Some(file.text) {
            files::write(&copy, file.text.as_bytes())?;
        }
        if old.as_ref() != Some(&record) {
            self.put(&record)?;
        }
        Ok(record)
    }

    /// The same for `render`: a cluster with machines keeps the file that it was launched with.
    pub fn accept_for_render(&self, file: &AcceptedFile<'_>) -> Result<ClusterRecord> {
        match self.record()? {
            Some(record) if record.life != ClusterLife::Rendered => Ok(record),
            _ => self.accept(file),
        }
    }

    pub fn put(&self, record: &ClusterRecord) -> Result<()> {
        let mut text = serde_json::to_string_pretty(record)?;
        text.push('\n');
        files::write(&self.0.join("state.json"), text.as_bytes())
    }

    /// The keys, and whether they are new.
    pub fn ensure_pki(&self) -> Result<(Pki, bool)> {
        if let Some(pki) = self.pki()? {
            return Ok((pki, false));
        }
        let pki = Pki::create()?;
        pki.save(&self.0.join("pki"))?;
        Ok((pki, true))
    }

    /// The kubeconfig, made anew if it is missing, wrong or about to end.
    pub fn ensure_kubeconfig(
        &self,
        cluster: &Cluster,
        pki: &Pki,
        server: &Server,
    ) -> Result<PathBuf> {
        let path = self.kubeconfig();
        let text = files::read(&path)?;
        if !text.is_some_and(|text| kubeconfig::is_current(&text, server, pki)) {
            let config = kubeconfig::render(&cluster.name, server, pki)?;
            files::write(&path, config.expose().as_bytes())?;
        }
        Ok(path)
    }

    /// Stores a node's Ignition config.
    pub fn put_ignition(&self, node: &str, text: &str) -> Result<()> {
        files::write(&self.ignition(node), text.as_bytes())
    }

    /// Removes the directory, the record last, so that a cut-off removal can be seen and repeated.
    pub fn remove(self) -> Result<()> {
        let dir = self.dir.path().to_owned();
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            if matches!(
                entry.file_name().to_str(),
                Some("state.json" | "lock" | "cluster.yaml")
            ) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => std::fs::remove_dir_all(entry.path()),
                false => std::fs::remove_file(entry.path()),
            }
            .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))
    }
}

/// Notes how far the cluster is.
pub fn record_life(store: &ClusterStore, life: ClusterLife) -> Result<()> {
    match store.record()? {
        Some(record) if record.life != life => store.put(&ClusterRecord { life, ..record }),
        _ => Ok(()),
    }
}
