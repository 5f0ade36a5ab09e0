//! A cluster's directory in the hands of the one ha-host that may write.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_host_base::files;

use super::lock::Lock;
use super::{ClusterDir, ClusterLife, ClusterRecord, FileHashes};
use super::{accepted, contents, file_hashes, record};
use crate::pki::Pki;
use crate::pki::kubeconfig::{self, Server};

/// A checked cluster file, to be kept.
#[derive(Debug, Clone, Copy)]
pub struct AcceptedFile<'a> {
    pub cluster: &'a Cluster,
    pub text: &'a str,
    /// The absolute directory that its relative paths start from.
    pub base: &'a Path,
    /// As named on the command line.
    pub path: &'a Path,
}

/// One cluster's directory with the right to write.
#[derive(Debug)]
pub struct ClusterStore {
    pub(super) dir: ClusterDir,
    pub(super) _lock: Lock,
}

impl std::ops::Deref for ClusterStore {
    type Target = ClusterDir;
    fn deref(&self) -> &ClusterDir {
        &self.dir
    }
}

impl ClusterStore {
    /// Accepts a cluster file: what it means is kept, and its text. The record comes first, for it says whose the directory is;
    /// the text last, so that a text that is there means what is kept.
    pub fn accept(&self, file: &AcceptedFile<'_>) -> Result<ClusterRecord> {
        // Before anything is written: for a cluster whose keys are lost nothing can be accepted.
        self.pki()?;
        let old = self.record()?;
        let mut record = old.clone().unwrap_or_else(|| {
            let name = &file.cluster.name;
            ClusterRecord::new(name, file.base.to_owned(), file.path.to_owned())
        });
        file.base.clone_into(&mut record.base);
        file.path.clone_into(&mut record.file);
        if old.as_ref() != Some(&record) {
            self.put(&record)?;
        }
        if old.is_none() {
            // From here on the directory is ours, and so is what an earlier try left in it.
            contents::remove_interrupted_writes(self.path())?;
        }
        self.put_if_changed(accepted::FILE, &accepted::accepted_text(file.cluster)?)?;
        self.put_if_changed(accepted::TEXT, file.text)?;
        Ok(record)
    }

    /// Notes that an apiserver answered under this cluster's CA: from now on no node may found it.
    pub fn note_founded(&self) -> Result<()> {
        match self.record()? {
            Some(mut record) if !record.founded => {
                record.founded = true;
                self.put(&record)
            }
            _ => Ok(()),
        }
    }

    /// Keeps what the files that the accepted cluster file names hold.
    pub fn keep_file_hashes(&self, hashes: &FileHashes) -> Result<()> {
        self.put_if_changed(file_hashes::FILE, &file_hashes::hashes_text(hashes)?)
    }

    /// Removes the Ignition configs of nodes that the cluster does not have any more.
    pub fn forget_other_configs(&self, cluster: &Cluster, old: &Cluster) -> Result<()> {
        let is_gone = |name: &str| !cluster.nodes.iter().any(|node| node.name == name);
        for node in old.nodes.iter().filter(|node| is_gone(&node.name)) {
            contents::remove_entry(&self.ignition(&node.name))?;
        }
        Ok(())
    }

    fn put_if_changed(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path().join(name);
        if files::read_optional(&path)?.as_deref() == Some(text) {
            return Ok(());
        }
        files::write_atomic(&path, text.as_bytes())
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
        files::write_atomic(&self.path().join(record::FILE), text.as_bytes())
    }

    /// The keys, and whether they are new.
    pub fn ensure_pki(&self) -> Result<(Pki, bool)> {
        if let Some(pki) = self.pki()? {
            return Ok((pki, false));
        }
        let pki = Pki::create()?;
        pki.save(&self.path().join(contents::PKI))?;
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
        let text = files::read_optional(&path)?;
        if !text.is_some_and(|text| kubeconfig::is_current(&text, server, pki)) {
            let config = kubeconfig::render(&cluster.name, server, pki)?;
            files::write_atomic(&path, config.expose().as_bytes())?;
        }
        Ok(path)
    }

    /// Stores a node's Ignition config.
    pub fn put_ignition(&self, node: &str, text: &str) -> Result<()> {
        let path = self.ignition(node);
        if let Some(dir) = path.parent() {
            files::make_dir(dir)?;
        }
        files::write_atomic(&path, text.as_bytes())
    }

    /// Removes all that is ha-host's, and the directory unless something else is in it. Returns what is left there.
    pub fn remove(self) -> Result<Vec<String>> {
        contents::remove_own(self.path())
    }
}

/// Notes how far the cluster is.
pub fn record_life(store: &ClusterStore, life: ClusterLife) -> Result<()> {
    match store.record()? {
        Some(record) if record.life != life => store.put(&ClusterRecord { life, ..record }),
        _ => Ok(()),
    }
}
