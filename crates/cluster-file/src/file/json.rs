//! Free-form settings that are passed on: YAML to JSON by YAML 1.2's core schema.

use serde_json::{Map, Number, Value as Json};

use super::reader::Fields;
use super::spanned::Spanned;
use crate::diagnostic::Fault;
use crate::yaml::{Value, YamlNode, join_path};

/// One free-form setting at the top of its mapping.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its key.
    pub key: Spanned<String>,
    /// What it holds, by YAML 1.2's core schema.
    pub value: Json,
    /// The same as written, with the place of everything in it.
    pub(crate) node: YamlNode,
}

/// A free-form mapping: its keys with their places, and what they hold.
pub(super) fn read_settings(f: &mut Fields<'_>, key: &str) -> Vec<Setting> {
    let mut inner = f.fields(key);
    let mut settings = Vec::new();
    for (name, node) in inner.take_all() {
        let mut faults = Vec::new();
        let value = node_as_json(node.clone(), &name.path, &mut faults);
        faults.into_iter().for_each(|fault| inner.fault(fault));
        settings.push(Setting {
            key: name,
            value,
            node,
        });
    }
    settings
}

/// The settings as JSON.
pub(crate) fn settings_as_object(settings: Vec<Setting>) -> Map<String, Json> {
    settings
        .into_iter()
        .map(|setting| (setting.key.value, setting.value))
        .collect()
}

fn node_as_json(node: YamlNode, path: &str, faults: &mut Vec<Fault>) -> Json {
    match node.value {
        Value::Empty => Json::Null,
        Value::Scalar { text, plain: false } => Json::String(text),
        Value::Scalar { text, plain: true } => {
            if matches!(text.to_lowercase().as_str(), "yes" | "no" | "on" | "off") {
                let message = format!("{path}: `{text}` is text in YAML 1.2, not a boolean");
                let help = format!("write true or false, or \"{text}\" in quotes if text is meant");
                faults.push(Fault::error(node.place, path, message, help).warning());
            }
            scalar_as_json(text)
        }
        Value::List(items) => {
            let item = |(i, item)| node_as_json(item, &format!("{path}[{i}]"), faults);
            Json::Array(items.into_iter().enumerate().map(item).collect())
        }
        Value::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let value = node_as_json(value, &join_path(path, &key.name), faults);
                map.insert(key.name, value);
            }
            Json::Object(map)
        }
    }
}

/// A plain scalar by the core schema.
pub(crate) fn scalar_as_json(text: String) -> Json {
    let hex = text
        .strip_prefix("0x")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let octal = text
        .strip_prefix("0o")
        .and_then(|digits| u64::from_str_radix(digits, 8).ok());
    // Rust also reads `inf` and `nan`, which are words here.
    let numeric = text
        .chars()
        .all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
        && text.contains(|c: char| c.is_ascii_digit());
    let float = || {
        text.parse()
            .ok()
            .filter(|_| numeric)
            .and_then(Number::from_f64)
            .map(Json::Number)
    };
    match text.as_str() {
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        _ => hex
            .or(octal)
            .or_else(|| text.parse::<u64>().ok())
            .map(Json::from)
            .or_else(|| text.parse::<i64>().ok().map(Json::from))
            .or_else(float)
            .unwrap_or(Json::String(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_follow_the_core_schema() {
        for (text, value) in [
            ("1", Json::from(1)),
            ("-5", Json::from(-5)),
            ("010", Json::from(10)),
            ("0x1F", Json::from(31)),
            ("0o17", Json::from(15)),
            ("1.5", Json::from(1.5)),
            ("1e3", Json::from(1000.0)),
            ("true", Json::from(true)),
            ("inf", Json::from("inf")),
            ("e", Json::from("e")),
            ("10.0.0.1", Json::from("10.0.0.1")),
            ("10m", Json::from("10m")),
        ] {
            assert_eq!(scalar_as_json(text.to_owned()), value, "{text}");
        }
    }
}
