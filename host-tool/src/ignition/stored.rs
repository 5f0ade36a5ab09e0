//! What a config that was written earlier holds, and the one thing that is taken out of it: the permission to found.

use std::path::Path;

use anyhow::{Context, Result};
use ha_kube::Secret;
use ha_wire::paths;
use ignition_config::v3_3::{Config, Resource};
use serde_json::{Value, json};

use super::build::{inline_resource, inline_text, remove_nulls};

/// The node file's key; read as plain JSON, so that configs of other versions lose it too.
const KEY: &str = "founder";

/// The operator's own texts in a config.
#[derive(PartialEq, Eq)]
pub struct OperatorTexts {
    /// The user's own Ignition configs.
    pub merges: Vec<String>,
    /// Manifests of the pod network: name, text.
    pub manifests: Vec<(String, String)>,
}

/// Those that a machine was made with.
pub fn operator_texts(config: &str) -> Result<OperatorTexts> {
    let config: Config = serde_json::from_str(config)?;
    let merges = config.ignition.config.and_then(|config| config.merge);
    let merges = merges.iter().flatten().map(inline_text);
    let mut manifests = Vec::new();
    for file in config.storage.and_then(|s| s.files).into_iter().flatten() {
        let name = Path::new(&file.path).strip_prefix(paths::MANIFESTS_DIR);
        if let (Ok(name), Some(contents)) = (name, &file.contents) {
            manifests.push((name.display().to_string(), inline_text(contents)?));
        }
    }
    Ok(OperatorTexts {
        merges: merges.collect::<Result<_>>()?,
        manifests,
    })
}

/// The same config without the permission; none: it holds none.
pub fn without_founder(config: &str) -> Result<Option<Secret>> {
    let mut config: Value = serde_json::from_str(config)?;
    let files = config.pointer_mut("/storage/files");
    let mut files = files.and_then(Value::as_array_mut).into_iter().flatten();
    let contents = files
        .find(|file| file["path"] == paths::NODE_FILE)
        .and_then(|file| file.get_mut("contents"))
        .with_context(|| format!("it holds no {}", paths::NODE_FILE))?;
    let resource: Resource = serde_json::from_value(contents.take())?;
    let mut node: Value = serde_json::from_str(&inline_text(&resource)?)?;
    let removed = node.as_object_mut().and_then(|node| node.remove(KEY));
    if removed.is_none_or(|founder| founder.is_null()) {
        return Ok(None);
    }
    *contents = serde_json::to_value(inline_resource(&node.to_string())?)?;
    remove_nulls(contents);
    Ok(Some(Secret::new(serde_json::to_string(&config)?)))
}

/// A file that a node fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    pub path_on_node: String,
    pub url: String,
    pub sha256: String,
}

/// The same config with further files that the node fetches on its first boot.
pub fn with_fetched(config: &str, fetched: &[FetchedFile]) -> Result<Secret> {
    let mut config: Value = serde_json::from_str(config)?;
    let storage = config
        .pointer_mut("/storage")
        .context("it has no storage")?;
    let files = storage
        .as_object_mut()
        .map(|storage| storage.entry("files").or_insert_with(|| json!([])))
        .and_then(Value::as_array_mut)
        .context("its storage is not an object with a list of files")?;
    files.extend(fetched.iter().map(|file| {
        let hash = format!("sha256-{}", file.sha256);
        let contents = json!({"source": file.url, "verification": {"hash": hash}});
        json!({"path": file.path_on_node, "mode": 0o644, "overwrite": true, "contents": contents})
    }));
    Ok(Secret::new(serde_json::to_string(&config)?))
}

#[cfg(test)]
mod tests {
    use ha_test_support::parse_cluster;
    use ha_wire::node::NodeFile;

    use super::super::{ConfigRenderer, founder_permission};
    use super::*;
    use crate::inputs::OperatorFiles;
    use crate::pki::Pki;

    /// The config, and the node file in it.
    fn render_first_node(text: &str, until: Option<u64>) -> (Secret, Value, Option<String>) {
        let cluster = parse_cluster(text, std::path::Path::new("/"));
        let (pki, files) = (Pki::create().unwrap(), OperatorFiles::default());
        let founder = until.map(founder_permission);
        let renderer = ConfigRenderer {
            cluster: &cluster,
            pki: &pki,
            files: &files,
            founder,
        };
        let text = renderer.render(&cluster.nodes[0]).unwrap().text;
        let config: Value = serde_json::from_str(text.expose()).unwrap();
        let file = node_file(&config);
        let compression = file["contents"]["compression"].as_str().map(str::to_owned);
        (text, config, compression)
    }

    fn node_file(config: &Value) -> Value {
        let files = config["storage"]["files"].as_array().unwrap();
        let file = files.iter().find(|f| f["path"] == paths::NODE_FILE);
        file.unwrap().clone()
    }

    #[test]
    fn only_the_permission_goes_whether_the_node_file_is_packed_or_not() {
        let large = format!(
            "kubeletConfig: {{systemCgroups: \"{}\"}}",
            "y1z".repeat(2000)
        );
        let large = ha_test_support::DEMO.replace("cni: none}", &format!("cni: none, {large}}}"));
        for (text, packed) in [(ha_test_support::DEMO, None), (&large, Some("gzip"))] {
            let (with, mut config, compression) = render_first_node(text, Some(1));
            assert_eq!(compression.as_deref(), packed);
            let without = without_founder(with.expose()).unwrap().unwrap();
            let mut after: Value = serde_json::from_str(without.expose()).unwrap();
            let contents = node_file(&after)["contents"].clone();
            let resource: Resource = serde_json::from_value(contents).unwrap();
            let node = NodeFile::parse(&inline_text(&resource).unwrap()).unwrap();
            assert_eq!((node.founder, node.name.as_str()), (None, "node1"));
            for config in [&mut config, &mut after] {
                let files = config["storage"]["files"].as_array_mut().unwrap();
                files.retain(|f| f["path"] != paths::NODE_FILE);
            }
            assert_eq!(config, after, "all else is as it was");
            assert_eq!(without_founder(without.expose()).unwrap(), None);
        }
    }

    #[test]
    fn the_operators_texts_come_back_as_they_went_in() {
        let cluster = parse_cluster(ha_test_support::DEMO, Path::new("/"));
        let texts = OperatorTexts {
            merges: vec![r#"{"ignition":{"version":"3.3.0"}}"#.to_owned()],
            manifests: vec![
                ("00-small.yaml".to_owned(), "kind: A\n".to_owned()),
                ("01-large.yaml".to_owned(), "kind: B\n".repeat(1000)),
            ],
        };
        let mut files = OperatorFiles::default();
        files.merges.clone_from(&texts.merges);
        files.manifests.clone_from(&texts.manifests);
        let pki = Pki::create().unwrap();
        let renderer = ConfigRenderer {
            cluster: &cluster,
            pki: &pki,
            files: &files,
            founder: None,
        };
        let config = renderer.render(&cluster.nodes[0]).unwrap().text;
        assert!(operator_texts(config.expose()).unwrap() == texts);
    }

    #[test]
    fn a_config_without_it_is_left_as_it_is_and_what_is_no_config_is_said() {
        let (text, ..) = render_first_node(ha_test_support::DEMO, None);
        assert_eq!(without_founder(text.expose()).unwrap(), None);
        for bad in [
            "{}",
            "nothing",
            r#"{"storage":{"files":[{"path":"/etc/hostname"}]}}"#,
        ] {
            without_founder(bad).unwrap_err();
        }
    }
}
