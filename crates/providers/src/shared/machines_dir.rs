//! The directory of a cluster's machines.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The provider's part of a cluster's state directory. Node names are hostnames and end in no `.json`, so names there
/// that start with `_` or `.` and those of JSON files are free for other uses.
#[derive(Debug, Clone)]
pub struct MachinesDir {
    cluster: String,
    path: PathBuf,
}

impl MachinesDir {
    /// `dir` is the cluster's state directory.
    pub fn new(cluster: &str, dir: &Path) -> Self {
        Self {
            cluster: cluster.into(),
            path: dir.join("machines"),
        }
    }

    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The directory that holds everything of the provider.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or directory in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Names of all nodes that have a directory, whatever the cluster file says today.
    pub fn nodes(&self) -> Result<Vec<String>> {
        let unreadable = || format!("cannot read {}", self.path.display());
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(unreadable)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(unreadable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('_') && entry.path().is_dir() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_node_directories_are_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let machines = MachinesDir::new("demo", dir.path());
        assert_eq!(machines.nodes().unwrap(), Vec::<String>::new());
        for name in ["node2", "node1", "_gateway", "_new.node3"] {
            std::fs::create_dir_all(machines.join(name)).unwrap();
        }
        std::fs::write(machines.join("ports.json"), "").unwrap();
        assert_eq!(machines.nodes().unwrap(), ["node1", "node2"]);
    }
}
