//! Ignition files that tests bring along through `ignition: {merge: [...]}`, and what is in those that `ha-host` wrote.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A config in the making.
#[derive(Debug, Clone, Default)]
pub struct IgnitionConfig {
    files: Vec<Value>,
    links: Vec<Value>,
    units: Vec<Value>,
}

impl IgnitionConfig {
    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        let source = format!("data:;base64,{}", BASE64.encode(content));
        self.files.push(
            json!({"path": path, "mode": mode, "overwrite": true, "contents": {"source": source}}),
        );
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links
            .push(json!({"path": path, "target": target, "overwrite": true}));
        self
    }

    /// Adds a unit; an enabled one has an `[Install]` section.
    #[must_use]
    pub fn unit(mut self, name: &str, enabled: bool, text: &str) -> Self {
        self.units
            .push(json!({"name": name, "enabled": enabled, "contents": text}));
        self
    }

    /// Masks a unit that the image or a system extension brings.
    #[must_use]
    pub fn masked(mut self, name: &str) -> Self {
        self.units.push(json!({"name": name, "mask": true}));
        self
    }

    /// The config as JSON.
    pub fn json(&self) -> Value {
        json!({
            "ignition": {"version": "3.3.0"},
            "storage": {"files": self.files, "links": self.links},
            "systemd": {"units": self.units},
        })
    }

    /// Writes it to `dir/NAME.ign`.
    pub fn write(&self, dir: &Path, name: &str) -> Result<PathBuf> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!("{name}.ign"));
        fs::write(&path, self.json().to_string())
            .with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// The text that a config gives to a file of the node.
pub fn file_in_config(config: &str, path: &str) -> Result<String> {
    let config: Value = serde_json::from_str(config).context("the Ignition config is not JSON")?;
    let mut files = config["storage"]["files"].as_array().into_iter().flatten();
    let file = files
        .find(|file| file["path"] == path)
        .with_context(|| format!("the Ignition config has no {path}"))?;
    let contents = &file["contents"];
    ensure!(contents["compression"].is_null(), "{path} is compressed");
    let source = contents["source"].as_str().unwrap_or_default();
    let data = source
        .strip_prefix("data:;base64,")
        .with_context(|| format!("{path} comes from {source:?}"))?;
    Ok(String::from_utf8(BASE64.decode(data)?)?)
}

/// The symbolic links that a config makes: each one's path, and where it leads.
pub fn links_in_config(config: &str) -> Result<Vec<(String, String)>> {
    let config: Value = serde_json::from_str(config).context("the Ignition config is not JSON")?;
    let links = config["storage"]["links"].as_array().into_iter().flatten();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(links
        .map(|link| (word(&link["path"]), word(&link["target"])))
        .collect())
}

/// The config with another text for a file that it has.
pub fn with_file(config: &str, path: &str, text: &str) -> Result<String> {
    let mut config: Value =
        serde_json::from_str(config).context("the Ignition config is not JSON")?;
    let files = config["storage"]["files"].as_array_mut();
    let file = files
        .into_iter()
        .flatten()
        .find(|file| file["path"] == path)
        .with_context(|| format!("the Ignition config has no {path}"))?;
    file["contents"] = json!({"source": format!("data:;base64,{}", BASE64.encode(text))});
    Ok(config.to_string())
}

/// Everything that a node would have to fetch from elsewhere before it is made of a config.
pub fn remote_sources(config: &str) -> Result<Vec<String>> {
    let config: Value = serde_json::from_str(config).context("the Ignition config is not JSON")?;
    let mut sources = Vec::new();
    collect_sources(&config, &mut sources);
    ensure!(
        !sources.is_empty(),
        "the Ignition config has no file at all"
    );
    sources.retain(|source| !source.starts_with("data:"));
    Ok(sources)
}

fn collect_sources(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("source").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|v| collect_sources(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_sources(v, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
