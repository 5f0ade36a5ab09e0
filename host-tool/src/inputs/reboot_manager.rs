//! Flatcar's own reboot manager, and what a user's Ignition config says about it.

use serde::Deserialize;

/// Reboots a machine five minutes after an update was installed, without a drain and without asking the other nodes.
pub const REBOOT_MANAGER: &str = "locksmithd.service";

/// As much of a config as is looked at here; the same in every version.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    systemd: Systemd,
}

#[derive(Deserialize, Default)]
struct Systemd {
    #[serde(default)]
    units: Vec<Unit>,
}

#[derive(Deserialize)]
struct Unit {
    name: String,
    mask: Option<bool>,
    enabled: Option<bool>,
    contents: Option<String>,
    #[serde(default)]
    dropins: Vec<serde_json::Value>,
}

/// Whether a config makes use of it and leaves it masked: that would do nothing, without a word.
/// One that Ignition's types refuse makes use of nothing.
pub fn is_used_though_masked(config: &str) -> bool {
    let units = serde_json::from_str(config)
        .map_or_else(|_| Vec::new(), |config: Config| config.systemd.units);
    units.iter().any(|unit| {
        let used =
            unit.enabled == Some(true) || unit.contents.is_some() || !unit.dropins.is_empty();
        unit.name == REBOOT_MANAGER && unit.mask.is_none() && used
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_uses_it_must_unmask_it() {
        for (unit, refused) in [
            (r#""enabled": true"#, true),
            (
                r#""dropins": [{"name": "10-window.conf", "contents": "[Service]"}]"#,
                true,
            ),
            (r#""enabled": true, "mask": false"#, false),
            (r#""mask": false"#, false),
            (r#""mask": true"#, false),
            (r#""enabled": false"#, false),
            (r#""dropins": []"#, false),
        ] {
            for (name, concerned) in [
                ("locksmithd.service", true),
                ("update-engine.service", false),
            ] {
                let text = format!(
                    r#"{{"ignition":{{"version":"3.4.0"}},"systemd":{{"units":[{{"name":"{name}",{unit}}}]}}}}"#
                );
                let said = is_used_though_masked(&text);
                assert_eq!(said, refused && concerned, "{text}");
            }
        }
        assert!(!is_used_though_masked(
            r#"{"ignition":{"version":"3.3.0"}}"#
        ));
    }
}
