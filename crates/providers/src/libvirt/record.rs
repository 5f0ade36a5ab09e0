//! What the provider must know to find its things again: `machines/libvirt.json`, written before anything is made.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::files;
use ha_host_base::stored::parse_stored;
use ha_wire::format::Version;
use serde::{Deserialize, Serialize};

/// Its name. Names of nodes hold no dot.
const FILE: &str = "libvirt.json";
/// The one version there is.
const VERSION: Version<1> = Version;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Record {
    version: Version<1>,
    /// The id of the state directory: the mark of all that it makes.
    pub state: String,
    /// Every host that anything was made at.
    pub hosts: Vec<Known>,
}

/// A host that things were made at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Known {
    pub uri: String,
    pub pool: String,
    /// The pool was not there before.
    pub pool_made: bool,
}

impl Record {
    /// A new one with an id that no other state directory has, here or elsewhere.
    pub fn new() -> Self {
        Self {
            version: VERSION,
            state: format!("{:016x}", fastrand::u64(..)),
            hosts: Vec::new(),
        }
    }

    /// The one in the provider's directory; none: nothing was ever made.
    pub fn load(machines: &Path) -> Result<Option<Self>> {
        let path = record_path(machines);
        let Some(text) = files::read_optional(&path)? else {
            return Ok(None);
        };
        parse_stored(&text, VERSION)
            .map(Some)
            .with_context(|| format!("{} cannot be understood", path.display()))
    }

    /// The same with an id that is in use already.
    pub fn with_state(self, state: &str) -> Self {
        Self {
            state: state.into(),
            ..self
        }
    }

    pub fn save(&self, machines: &Path) -> Result<()> {
        files::make_dir(machines)?;
        files::write_atomic(
            &record_path(machines),
            serde_json::to_string_pretty(self)?.as_bytes(),
        )
    }

    /// What is known of a pool at a host.
    pub fn host(&self, uri: &str, pool: &str) -> Option<&Known> {
        let mut hosts = self.hosts.iter();
        hosts.find(|host| (host.uri.as_str(), host.pool.as_str()) == (uri, pool))
    }
}

fn record_path(machines: &Path) -> PathBuf {
    machines.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let machines = dir.path().join("machines");
        assert_eq!(Record::load(&machines).unwrap(), None);
        let mut record = Record::new();
        let host = Known {
            uri: "qemu:///system".into(),
            pool: "default".into(),
            pool_made: true,
        };
        record.hosts.push(host.clone());
        assert_eq!(record.host("qemu:///system", "default"), Some(&host));
        assert_eq!(record.host("qemu:///system", "other"), None);
        record.save(&machines).unwrap();
        assert_eq!(Record::load(&machines).unwrap(), Some(record.clone()));
        assert_ne!(Record::new().state, record.state);
    }

    #[test]
    fn version_one_stays_readable() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"version":1,"state":"0123456789abcdef","hosts":[{"uri":"qemu:///system","pool":"default","poolMade":false}]}"#;
        std::fs::write(dir.path().join(FILE), text).unwrap();
        assert_eq!(
            Record::load(dir.path()).unwrap().unwrap().hosts[0].pool,
            "default"
        );
    }

    #[test]
    fn a_record_of_a_newer_version_is_no_broken_one() {
        let dir = tempfile::tempdir().unwrap();
        for more in ["", r#","networks":[]"#] {
            let text = format!(r#"{{"version":2,"state":"0123456789abcdef","hosts":[]{more}}}"#);
            std::fs::write(dir.path().join(FILE), text).unwrap();
            let error = format!("{:#}", Record::load(dir.path()).unwrap_err());
            let words = "libvirt.json cannot be understood: version 2 is not known to this ha-host";
            assert!(error.contains(words), "{error}");
        }
    }
}
