//! Ignition files that tests bring along through `ignition: {merge: [...]}`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A config in the making.
#[derive(Debug, Clone, Default)]
pub struct IgnitionConfig {
    files: Vec<Value>,
    units: Vec<Value>,
}

impl IgnitionConfig {
    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, text: &str) -> Self {
        let source = format!("data:;base64,{}", BASE64.encode(text));
        self.files.push(
            json!({"path": path, "mode": mode, "overwrite": true, "contents": {"source": source}}),
        );
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
        json!({"ignition": {"version": "3.3.0"}, "storage": {"files": self.files}, "systemd": {"units": self.units}})
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
