//! What a config takes from the operator's own files, read once for all nodes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use ha_spec::cluster::{Cluster, Cni, Sysext};
use ignition_config::Config;

use crate::exit::Stop;

/// Files that the cluster file names, as the nodes get them.
#[derive(Debug, Default)]
pub struct Extras {
    /// Manifests of the pod network that are local files: name on the node, text.
    pub manifests: Vec<(String, String)>,
    /// `cni.manifests` as the node file says it: names of the above, or URLs.
    pub sources: Vec<String>,
    /// The user's own Ignition configs.
    pub merges: Vec<String>,
    /// File name of each system extension's image under `/opt/extensions/NAME`.
    pub images: BTreeMap<String, String>,
}

impl Extras {
    /// Reads everything; an unreadable file is bad input.
    pub fn gather(cluster: &Cluster) -> Result<Self> {
        let mut extras = Self::default();
        if let Cni::Manifests { sources } = &cluster.kubernetes.cni {
            for (index, source) in sources.iter().enumerate() {
                extras.manifest(index, source)?;
            }
        }
        for path in &cluster.ignition_merge {
            extras.merges.push(user_config(path)?);
        }
        for (name, sysext) in &cluster.sysexts {
            extras
                .images
                .insert(name.clone(), image_name(name, sysext)?);
        }
        Ok(extras)
    }

    fn manifest(&mut self, index: usize, source: &str) -> Result<()> {
        if source.starts_with("http://") || source.starts_with("https://") {
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

/// The name of the image behind `/etc/extensions/NAME.raw`.
fn image_name(name: &str, sysext: &Sysext) -> Result<String> {
    let file = match sysext {
        Sysext::Url { url, .. } => {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        }
        Sysext::Bakery { .. } | Sysext::Bundled => {
            return Err(Stop::bad_input(format!(
                "sysexts.{name}: the bakery's artefacts are not supported yet; name a file or a URL with its hash"
            )));
        }
        Sysext::File(path) => {
            let real = path.canonicalize().map_err(|e| {
                Stop::bad_input(format!(
                    "sysexts.{name}: {} cannot be read: {e}",
                    path.display()
                ))
            })?;
            let file = real.file_name().context("no file name")?;
            file.to_str()
                .with_context(|| format!("{} is no UTF-8 name", real.display()))?
                .to_owned()
        }
    };
    Ok(if file.is_empty() {
        format!("{name}.raw")
    } else {
        file
    })
}
