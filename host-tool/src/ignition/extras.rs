//! What a config takes from the operator's own files, read once for all nodes.

use std::path::Path;

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_host_base::exit::Stop;
use ha_wire::settings::Cni;
use ignition_config::Config;

use crate::bakery::{self, Artefacts, Known};
use crate::state::{Dir, Store};

/// Files that the cluster file names, as the nodes get them.
#[derive(Debug, Default)]
pub struct Extras {
    /// Manifests of the pod network that are local files: name on the node, text.
    pub manifests: Vec<(String, String)>,
    /// `cni.manifests` as the node file says it: names of the above, or URLs.
    pub sources: Vec<String>,
    /// The user's own Ignition configs.
    pub merges: Vec<String>,
    /// Where each system extension's image comes from.
    pub sysexts: Artefacts,
    /// What the bakery said of them.
    known: Known,
}

impl Extras {
    /// Reads everything; an unreadable file is bad input. What the bakery said before is taken from the cluster's directory;
    /// what it says now is kept there by [`Self::keep`].
    pub fn gather(cluster: &Cluster, dir: &Dir) -> Result<Self> {
        let mut extras = Self::default();
        if let Cni::Manifests { sources } = &cluster.kubernetes.cni {
            for (index, source) in sources.iter().enumerate() {
                extras.manifest(index, source)?;
            }
        }
        for path in &cluster.ignition_merge {
            extras.merges.push(user_config(path)?);
        }
        extras.known = Known::read(dir.path())?;
        extras.sysexts = bakery::resolve(cluster, &mut extras.known)?;
        Ok(extras)
    }

    /// Remembers what the bakery said, so that no later launch asks again or gets another answer.
    pub fn keep(&self, store: &Store) -> Result<()> {
        self.known.keep(store)
    }

    fn manifest(&mut self, index: usize, source: &str) -> Result<()> {
        if ha_wire::settings::is_url(source) {
            self.sources.push(source.to_owned());
            return Ok(());
        }
        let path = Path::new(source);
        let text = read(path, "kubernetes.cni.manifests")?;
        let base = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{index:02}-{base}");
        self.sources.push(name.clone());
        self.manifests.push((name, text));
        Ok(())
    }
}

fn read(path: &Path, key: &str) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|e| Stop::bad_input(format!("{key}: {} cannot be read: {e}", path.display())))
}

/// A user's Ignition config, checked as far as its types go; what the types do not know is said and left to Ignition.
fn user_config(path: &Path) -> Result<String> {
    let text = read(path, "ignition.merge")?;
    let (_, warnings) = Config::parse_str(&text).map_err(|e| {
        let hint = "Butane YAML must be translated first: butane FILE.bu > FILE.ign";
        Stop::bad_input(format!(
            "ignition.merge: {} is no Ignition config: {e}; {hint}",
            path.display()
        ))
    })?;
    for warning in warnings {
        eprintln!("warning: {}: {warning}", path.display());
    }
    Ok(text)
}
