//! What differs between two clusters, key by key as the cluster file calls them, with both values. What may be a secret is
//! not shown.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_host_base::text::printable_line;
use ha_wire::phase::Role;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longer values are cut.
const SHOWN: usize = 60;
/// Keys below which everybody writes secrets: commands, and variables of containers.
const SECRET_PLACES: [&str; 2] = ["hooks", "extraEnvs"];
/// What a secret's name, or a line with one in it, mostly holds.
const SECRET_WORDS: [&str; 5] = ["token", "secret", "passw", "credential", "key"];
/// Beside the nodes' addresses: what there is one of, or one for each address family.
const FAMILY_PAIRS: [&str; 4] = [
    "kubernetes.podCIDR",
    "kubernetes.serviceCIDR",
    "network.prefix",
    "network.gateway",
];

/// One key that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As the cluster file has it: `kubernetes.kubeletConfig.maxPods`, `nodes[node5].address`.
    pub key: String,
    pub kind: DifferenceKind,
    /// Both values, as they may be shown: nothing is decided by them.
    pub old: String,
    pub new: String,
}

/// What a difference is, beside its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceKind {
    /// A node that the old cluster did not have.
    NodeAdded(Role),
    /// A node that the new one has not.
    NodeLost(Role),
    /// There was one address family and would be two, or the other way round.
    Families,
    /// Another version of Kubernetes, and what the cluster itself says of its own.
    Version(VersionOfCluster),
    /// Another value, or another file's content.
    Value,
}

/// Which version of Kubernetes a cluster that stands has by its own word, where its file names another than it was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionOfCluster {
    /// The file's: somebody has upgraded it.
    OfFile,
    /// This one.
    Other(String),
    /// It could not be asked: why.
    Unknown(String),
}

impl DifferenceKind {
    fn of_values(key: &str, old: Option<&Value>, new: Option<&Value>) -> Self {
        // A node's name may hold dots.
        let is_node = key.starts_with("nodes[") && key.find(']') == Some(key.len() - 1);
        let role = |node: &Value| Role::deserialize(&node["role"]).ok();
        let kind = match (old, new) {
            (None, Some(node)) if is_node => role(node).map(Self::NodeAdded),
            (Some(node), None) if is_node => role(node).map(Self::NodeLost),
            _ => None,
        };
        let is_pair = |value: Option<&Value>| value.is_some_and(Value::is_array);
        let families = may_be_pair(key) && is_pair(old) != is_pair(new);
        let other = if families {
            Self::Families
        } else {
            Self::Value
        };
        kind.unwrap_or(other)
    }
}

fn may_be_pair(key: &str) -> bool {
    FAMILY_PAIRS.contains(&key) || key.starts_with("nodes[") && key.ends_with("].address")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.key, self.old, self.new)
    }
}

impl Difference {
    /// A file whose text is another one.
    pub fn of_content(key: &str, file: &str) -> Self {
        Self {
            key: key.to_owned(),
            kind: DifferenceKind::Value,
            old: format!("what {file} held"),
            new: "what it holds now".to_owned(),
        }
    }

    /// What the cluster says of its own `kubernetes.version`; `of_file`: the new one.
    pub fn note_version_of_cluster(&mut self, of_file: &str, said: Result<String, String>) {
        let version = match said {
            Ok(version) if version == of_file => VersionOfCluster::OfFile,
            Ok(version) => VersionOfCluster::Other(version),
            Err(error) => VersionOfCluster::Unknown(error),
        };
        self.kind = DifferenceKind::Version(version);
    }

    /// Whether the key is this one, or below it.
    pub fn is_below(&self, key: &str) -> bool {
        let rest = self.key.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

/// Every key that differs, in the order of their names.
pub fn find_differences(old: &Cluster, new: &Cluster) -> Result<Vec<Difference>> {
    let (old, new) = (as_written(old)?, as_written(new)?);
    let mut found = Vec::new();
    compare_values("", Some(&old), Some(&new), &mut found);
    Ok(found)
}

/// A cluster by the cluster file's own keys.
fn as_written(cluster: &Cluster) -> Result<Value> {
    let mut value = serde_json::to_value(cluster)?;
    let mut take = |key: &str| value.as_object_mut().and_then(|all| all.remove(key));
    let (keys, merge) = (take("authorizedKeys"), take("ignitionMerge"));
    let kubeconfig = take("coreKubeconfig");
    value["ssh"] = json!({"authorizedKeys": keys, "kubeconfig": kubeconfig});
    value["ignition"] = json!({"merge": merge});
    pairs_as_written(&mut value);
    rename_key(&mut value["kubernetes"], "podCidr", "podCIDR");
    rename_key(&mut value["kubernetes"], "serviceCidr", "serviceCIDR");
    rename_key(&mut value, "trustedCas", "trustedCAs");
    rename_key(&mut value["kubernetes"], "certSans", "certSANs");
    rename_key(
        &mut value["loadBalancer"],
        "advertIntervalMs",
        "advertInterval",
    );
    let balancer = &mut value["loadBalancer"];
    for key in ["client", "server", "tunnel"] {
        rename_key(&mut balancer["timeouts"], &format!("{key}Ms"), key);
    }
    // Made of prefix and gateway.
    if let Some(network) = value["network"].as_object_mut() {
        network.remove("cidr");
    }
    for node in value["nodes"].as_array_mut().into_iter().flatten() {
        taints_as_written(node);
    }
    let kubernetes = value["kubernetes"].as_object_mut();
    let hashes = kubernetes.and_then(|kubernetes| kubernetes.remove("manifestHashes"));
    let cni = value["kubernetes"]["cni"].take();
    value["kubernetes"]["cni"] = cni_as_written(cni, &hashes.unwrap_or_default());
    for provider in ["libvirt", "qemu"] {
        if let Some(options) = value["provider"].get_mut(provider) {
            flatten_key(options, "vm");
        }
    }
    Ok(value)
}

/// What is of the second family stands beside what is of the first.
fn pairs_as_written(value: &mut Value) {
    let mut second = value["secondary"].take();
    for (place, key) in [
        ("network", "prefix"),
        ("network", "gateway"),
        ("kubernetes", "podCidr"),
        ("kubernetes", "serviceCidr"),
    ] {
        pair_values(&mut value[place][key], second[key].take());
    }
    for node in value["nodes"].as_array_mut().into_iter().flatten() {
        let second = node["secondAddress"].take();
        pair_values(&mut node["address"], second);
    }
}

fn pair_values(first: &mut Value, second: Value) {
    if !second.is_null() {
        *first = json!([first.take(), second]);
    }
}

fn rename_key(object: &mut Value, from: &str, to: &str) {
    if let Some(object) = object.as_object_mut()
        && let Some(value) = object.remove(from)
    {
        object.insert(to.to_owned(), value);
    }
}

/// What is below a key comes one step up.
fn flatten_key(object: &mut Value, key: &str) {
    if let Some(object) = object.as_object_mut()
        && let Some(Value::Object(below)) = object.remove(key)
    {
        object.extend(below);
    }
}

/// `taints: []` is another word than none at all.
fn taints_as_written(node: &mut Value) {
    if let Some(node) = node.as_object_mut()
        && node.remove("untainted").is_some()
    {
        node.insert("taints".to_owned(), "[]".into());
    }
}

fn cni_as_written(mut cni: Value, hashes: &Value) -> Value {
    let kind = cni["kind"].as_str().unwrap_or_default().to_owned();
    if let Some(fields) = cni.as_object_mut() {
        fields.remove("kind");
    }
    match kind.as_str() {
        "cilium" => json!({"cilium": cni}),
        "manifests" => json!({"manifests": manifests_as_written(&cni["sources"], hashes)}),
        _ => Value::String(kind),
    }
}

/// On one line each, that people see which one differs.
fn manifests_as_written(sources: &Value, hashes: &Value) -> Value {
    let sources = sources.as_array().into_iter().flatten();
    let line = |source: &Value| match source.as_str().and_then(|url| hashes.get(url)?.as_str()) {
        Some(hash) => format!(
            "{{url: {}, sha256: {hash}}}",
            source.as_str().unwrap_or_default()
        )
        .into(),
        None => source.clone(),
    };
    sources.map(line).collect()
}

const NONE: &str = "none";

fn compare_values(
    key: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    let (old, new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    if old == new {
        return;
    }
    // Each of them that is new or gone is one difference.
    let whole_node = key.starts_with("nodes[") && (old.is_none() || new.is_none());
    let parts = (!whole_node).then(|| paired_children(old, new)).flatten();
    let Some(parts) = parts else {
        found.push(difference_of(key, old, new));
        return;
    };
    for (name, old, new) in parts {
        let key = match (key, name.starts_with('[')) {
            ("", _) => name,
            (_, true) => format!("{key}{name}"),
            (_, false) => format!("{key}.{name}"),
        };
        compare_values(&key, old, new, found);
    }
}

type Child<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// What both consist of, if both (or the only one) are maps, or lists of things with names.
fn paired_children<'a>(old: Option<&'a Value>, new: Option<&'a Value>) -> Option<Vec<Child<'a>>> {
    let parts = |value: Option<&'a Value>| match value {
        None => Some(Vec::new()),
        Some(Value::Object(map)) => Some(map.iter().map(|(k, v)| (k.clone(), v)).collect()),
        Some(Value::Array(items)) => named_items(items),
        Some(_) => None,
    };
    let is_list = |value: Option<&Value>| value.map(Value::is_array);
    if is_list(old).zip(is_list(new)).is_some_and(|(a, b)| a != b) {
        return None;
    }
    let (old, new) = (parts(old)?, parts(new)?);
    let names: BTreeSet<&String> = old.iter().chain(&new).map(|(name, _)| name).collect();
    let value = |all: &[(String, &'a Value)], name: &str| {
        all.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    };
    // An empty map beside nothing: the difference is the map itself.
    (!names.is_empty()).then(|| {
        let child = |name: &String| (name.clone(), value(&old, name), value(&new, name));
        names.into_iter().map(child).collect()
    })
}

/// `[NAME]` and the item, if each item has a name of its own.
fn named_items(items: &[Value]) -> Option<Vec<(String, &Value)>> {
    let name = |item: &Value| Some(format!("[{}]", item.get("name")?.as_str()?));
    let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
    let different: BTreeSet<&String> = names.iter().collect();
    let values = items.iter().map(|item| plain_value(item).unwrap_or(item));
    (different.len() == names.len()).then(|| names.into_iter().zip(values).collect())
}

/// The value of an item that has a name, a value and nothing else, as kubeadm's `extraArgs` have.
fn plain_value(item: &Value) -> Option<&Value> {
    let fields = item.as_object().filter(|fields| fields.len() == 2)?;
    fields.get("value")
}

/// Null is not a value.
pub(super) fn difference_of(key: &str, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let (old, new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    let kind = DifferenceKind::of_values(key, old, new);
    let (old, new) = (shown_value(key, old), shown_value(key, new));
    let differ = old != new;
    Difference {
        key: key.to_owned(),
        kind,
        new: if differ {
            new
        } else {
            format!("another ({new})")
        },
        old,
    }
}

/// A value as it may be shown.
fn shown_value(key: &str, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NONE.to_owned(),
        Some(Value::Object(node)) if key.starts_with("nodes[") => {
            node["role"].as_str().unwrap_or(NONE).to_owned()
        }
        Some(Value::Object(map)) => format!("a map of {}", map.len()),
        Some(Value::Array(items)) if items.is_empty() => NONE.to_owned(),
        Some(Value::Array(items)) => shown_list(key, items),
        Some(value) if may_be_secret(key, value) => "not shown".to_owned(),
        Some(Value::String(text)) => shorten_value(text),
        Some(value) => value.to_string(),
    }
}

fn shown_list(key: &str, items: &[Value]) -> String {
    let structured = |item: &Value| item.is_object() || item.is_array();
    if items.iter().any(structured) || items.iter().any(|item| may_be_secret(key, item)) {
        return format!("a list of {}", items.len());
    }
    let words = items.iter().map(|item| match item {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    shorten_value(&words.collect::<Vec<_>>().join(", "))
}

fn may_be_secret(key: &str, value: &Value) -> bool {
    let has_word = |text: &str| {
        let text = text.to_lowercase();
        SECRET_WORDS.iter().any(|word| text.contains(word))
    };
    // `https://user:password@host`.
    let in_url = |text: &str| text.contains("://") && text.contains('@');
    let place = |place: &&str| key.split(['.', '[', ']']).any(|part| part == *place);
    let text = value.as_str().unwrap_or_default();
    SECRET_PLACES.iter().any(place) || has_word(key) || has_word(text) || in_url(text)
}

fn shorten_value(text: &str) -> String {
    let text = printable_line(text);
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
