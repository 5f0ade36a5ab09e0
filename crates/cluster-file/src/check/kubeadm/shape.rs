//! What type each key has of a document that is handed on, and whatever has another.

use std::fmt::Write;

use serde_json::Value as Json;

use super::given::Given;
use crate::diagnostic::{Fault, Severity};
use crate::suggest::did_you_mean;
use crate::yaml::Value;

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Bool,
    Whole,
    /// With a fraction.
    Number,
    Text,
    /// Go's notation, e.g. `1m30s`.
    Duration,
    /// One of these.
    Word(&'static [&'static str]),
    /// kubeadm's `extraArgs`: `{name, value}` each.
    Arguments,
    /// Of an unbounded mapping all values.
    MapOf(&'static Shape),
    ListOf(&'static Shape),
    Object(&'static [(&'static str, Shape)]),
    /// Deeper than is looked at here.
    Any,
}

/// A document, and what is thought of a key that it does not know.
#[derive(Debug, Clone, Copy)]
pub(super) struct KubeadmDocument {
    pub keys: &'static [(&'static str, Shape)],
    /// What it is called, e.g. `kubeadm's ClusterConfiguration`.
    pub name: &'static str,
    /// Errors where the reader is strict, warnings where another release may know the key.
    pub unknown: Severity,
    /// Keys of another document or an older version, and what to write instead.
    pub elsewhere: &'static [(&'static str, &'static str)],
}

impl KubeadmDocument {
    /// The type of a key at the top.
    pub fn shape(&self, key: &str) -> Option<Shape> {
        shape_of(self.keys, key)
    }

    /// A value against its type, and everything in it.
    pub fn check(&self, given: &Given<'_>, shape: Shape, faults: &mut Vec<Fault>) {
        match (&given.node.value, shape) {
            (Value::Empty, _) | (_, Shape::Any) => {}
            (Value::Map(_), Shape::Object(keys)) => self.check_keys(given, keys, faults),
            (Value::Map(_), Shape::MapOf(shape)) => {
                for (_, value) in given.entries() {
                    self.check(&value, *shape, faults);
                }
            }
            (Value::List(_), Shape::ListOf(shape)) => {
                for item in given.items() {
                    self.check(&item, *shape, faults);
                }
            }
            (_, Shape::Arguments) => self.check_arguments(given, faults),
            (Value::Scalar { text, .. }, shape) if scalar_fits(text, &given.scalar(), shape) => {}
            (_, shape) => {
                let fault = wrong_type(given, shape);
                // "is text, not a boolean" was said of it already, as a warning.
                faults.retain(|said| said.place != fault.place || said.path != fault.path);
                faults.push(fault);
            }
        }
    }

    fn check_keys(
        &self,
        given: &Given<'_>,
        keys: &'static [(&'static str, Shape)],
        faults: &mut Vec<Fault>,
    ) {
        for (key, value) in given.entries() {
            match shape_of(keys, &key.name) {
                Some(shape) => self.check(&value, shape, faults),
                None => {
                    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
                    let owner = given.path.clone();
                    faults.push(self.unknown_key(&owner, &key.name, key.place, &names));
                }
            }
        }
    }

    /// A key that `owner` does not have.
    pub fn unknown_key(
        &self,
        owner: &str,
        key: &str,
        place: crate::diagnostic::Place,
        known: &[&str],
    ) -> Fault {
        let path = format!("{owner}.{key}");
        let moved = self.elsewhere.iter().find(|(name, _)| *name == key);
        let holder = if known.len() == self.keys.len() {
            self.name
        } else {
            owner
        };
        let (meant, help) = match moved {
            Some((_, instead)) => (String::new(), (*instead).to_owned()),
            None => (did_you_mean(key, known.iter().copied()), list_keys(known)),
        };
        let fault = Fault::error(
            place,
            &path,
            format!("{holder} has no key `{key}`{meant}"),
            help,
        );
        Fault {
            // What moved is nowhere else, and no version has keys that look like flags.
            severity: if moved.is_some() || is_flag(key) {
                Severity::Error
            } else {
                self.unknown
            },
            ..fault
        }
    }

    fn check_arguments(&self, given: &Given<'_>, faults: &mut Vec<Fault>) {
        const ITEM: Shape = Shape::Object(&[("name", Shape::Text), ("value", Shape::Text)]);
        if let Value::Map(_) = given.node.value {
            let first = given.entries().into_iter().next();
            let example = first.map_or_else(
                || example_argument("NAME", "VALUE"),
                |(key, value)| example_argument(&key.name, value.text().unwrap_or_default()),
            );
            let message = "is a mapping, which is the form of kubeadm's v1beta3: v1beta4 takes a list of {name, value}";
            faults.push(given.error(message, format!("write `extraArgs: [{example}]`")));
            return;
        }
        let Value::List(_) = given.node.value else {
            faults.push(wrong_type(given, Shape::Arguments));
            return;
        };
        for item in given.items() {
            match lone_argument(&item) {
                Some(help) => faults.push(item.error("is not {name, value}", help)),
                None => self.check(&item, ITEM, faults),
            }
        }
    }
}

/// `eviction-hard`, as on a command line.
fn is_flag(key: &str) -> bool {
    key.is_ascii() && key.contains('-')
}

fn shape_of(keys: &[(&'static str, Shape)], key: &str) -> Option<Shape> {
    keys.iter().find(|(name, _)| *name == key).map(|(_, s)| *s)
}

/// `{name: NAME, value: "VALUE"}`.
pub(super) fn example_argument(name: &str, value: &str) -> String {
    let name = name.trim_start_matches('-');
    format!("{{name: {name}, value: \"{value}\"}}")
}

/// An argument in one piece, `--name=value` or `{name: value}`: how it is written.
fn lone_argument(item: &Given<'_>) -> Option<String> {
    if let Some(text) = item.text() {
        let (name, value) = text.split_once('=').unwrap_or((text, "VALUE"));
        return Some(format!("write `{}`", example_argument(name, value)));
    }
    let entries = item.entries();
    match entries.as_slice() {
        [(key, value)] if !matches!(key.name.as_str(), "name" | "value") => {
            let value = value.text().unwrap_or_default();
            Some(format!("write `{}`", example_argument(&key.name, value)))
        }
        entries if !entries.is_empty() && entries.iter().all(|(key, _)| key.name != "name") => {
            Some("give it a `name`, e.g. `{name: v, value: \"2\"}`".to_owned())
        }
        _ => None,
    }
}

/// Whether a single value is of this type as the JSON that kubeadm gets.
fn scalar_fits(text: &str, json: &Option<Json>, shape: Shape) -> bool {
    match (json, shape) {
        (Some(Json::Bool(_)), Shape::Bool)
        | (Some(Json::Number(_)), Shape::Number)
        | (Some(Json::String(_)), Shape::Text) => true,
        (Some(Json::Number(number)), Shape::Whole) => number.is_i64() || number.is_u64(),
        (Some(Json::String(_)), Shape::Duration) => parse_go_duration(text).is_some(),
        (Some(Json::String(_)), Shape::Word(words)) => words.contains(&text),
        _ => false,
    }
}

fn wrong_type(given: &Given<'_>, shape: Shape) -> Fault {
    let text = given.text();
    let quoted = || format!("write it in quotes: \"{}\"", text.unwrap_or_default());
    let (wanted, help) = match shape {
        Shape::Bool => (
            "true or false",
            "write true or false, without quotes".to_owned(),
        ),
        Shape::Whole => ("a whole number", "write digits, without quotes".to_owned()),
        Shape::Number => ("a number", "write digits, without quotes".to_owned()),
        Shape::Text if text.is_some() => ("text", quoted()),
        Shape::Text => ("text", "write one value".to_owned()),
        Shape::Duration => (
            "a length of time",
            "write number and unit, e.g. 30s, 5m or 1m30s".to_owned(),
        ),
        Shape::Word(words) => {
            let meant = did_you_mean(text.unwrap_or_default(), words.iter().copied());
            let help = format!("write one of {}", words.join(", "));
            let message = format!("is {}{meant}, which it does not know", given.describe());
            let message = if meant.is_empty() {
                message
            } else {
                format!("is {}{meant}", given.describe())
            };
            return given.error(message, help);
        }
        Shape::Arguments => (
            "a list of {name, value}",
            "write `extraArgs: [{name: v, value: \"2\"}]`".to_owned(),
        ),
        Shape::MapOf(_) => ("a mapping", pairs_help(text.unwrap_or_default())),
        Shape::ListOf(_) => (
            "a list",
            text.map_or_else(
                || "write `[a, b]`".to_owned(),
                |text| format!("write `[{text}]`"),
            ),
        ),
        Shape::Object(keys) => ("a mapping", keys_help(keys)),
        Shape::Any => ("a value", String::new()),
    };
    given.error(format!("must be {wanted}, not {}", given.describe()), help)
}

/// Of very many keys nobody finds one in a line.
fn list_keys(known: &[&str]) -> String {
    const MAX_LISTED: usize = 40;
    if known.len() > MAX_LISTED {
        return "kubeadm refuses a key that its own version does not know: see kubernetes.io/docs/reference/config-api"
            .to_owned();
    }
    format!("its keys are {}", known.join(", "))
}

/// The pair that a flag's notation means, e.g. `memory.available<500Mi`.
fn pairs_help(text: &str) -> String {
    let first = text.split(',').next().unwrap_or_default();
    match first.split_once(['<', '=', ':']) {
        Some((name, value)) => {
            let value = value.trim();
            format!("write `{{{}: \"{value}\"}}`", name.trim())
        }
        None => "write `{name: value}`".to_owned(),
    }
}

fn keys_help(keys: &[(&str, Shape)]) -> String {
    let mut help = "its keys are ".to_owned();
    for (i, (key, _)) in keys.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(help, "{}{key}", if i == 0 { "" } else { ", " });
    }
    help
}

/// Go's `time.ParseDuration`, in seconds.
pub(super) fn parse_go_duration(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if bare == "0" {
        return Some(0.0);
    }
    let (mut rest, mut sum) = (bare, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    (!bare.is_empty()).then_some(sum * sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, value) in [
            ("0", Some(0.0)),
            ("30s", Some(30.0)),
            ("1m30s", Some(90.0)),
            ("1.5h", Some(5400.0)),
            ("-2s", Some(-2.0)),
            ("100ms", Some(0.1)),
            ("30", None),
            ("1d", None),
            ("", None),
            ("s", None),
            ("5 m", None),
            ("1,5s", None),
        ] {
            assert_eq!(parse_go_duration(text), value, "{text}");
        }
    }
}
