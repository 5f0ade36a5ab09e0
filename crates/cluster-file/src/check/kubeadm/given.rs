//! A value that the file hands on to kubeadm or the kubelet, as written, with its path.

use serde_json::Value as Json;

use crate::diagnostic::Fault;
use crate::file::{Setting, scalar_as_json};
use crate::yaml::{Key, Value, YamlNode, join_path};

/// A value with its path, e.g. `kubernetes.clusterConfiguration.apiServer`.
#[derive(Debug, Clone)]
pub(super) struct Given<'f> {
    pub node: &'f YamlNode,
    pub path: String,
}

impl<'f> Given<'f> {
    /// The setting of this key.
    pub fn find(settings: &'f [Setting], key: &str) -> Option<Self> {
        let setting = settings.iter().find(|setting| setting.key.value == key)?;
        Some(Self::from_setting(setting)).filter(|given| !given.is_empty())
    }

    pub fn from_setting(setting: &'f Setting) -> Self {
        Self {
            node: &setting.node,
            path: setting.key.path.clone(),
        }
    }

    /// Nothing is said by it: a merge takes the key away, and its default holds.
    pub fn is_empty(&self) -> bool {
        matches!(self.node.value, Value::Empty)
    }

    /// The value of a key, if this is a mapping that gives it one.
    pub fn get(&self, key: &str) -> Option<Self> {
        let mut entries = self.entries().into_iter();
        let (_, found) = entries.find(|(name, _)| name.name == key)?;
        Some(found).filter(|found| !found.is_empty())
    }

    /// Keys and values; none if it is not a mapping.
    pub fn entries(&self) -> Vec<(&'f Key, Self)> {
        let Value::Map(entries) = &self.node.value else {
            return Vec::new();
        };
        let named = |(key, node): &'f (Key, YamlNode)| {
            let path = join_path(&self.path, &key.name);
            (key, Given { node, path })
        };
        entries.iter().map(named).collect()
    }

    /// The items; none if it is not a list.
    pub fn items(&self) -> Vec<Self> {
        let Value::List(items) = &self.node.value else {
            return Vec::new();
        };
        let numbered = |(i, node): (usize, &'f YamlNode)| Given {
            node,
            path: format!("{}[{i}]", self.path),
        };
        items.iter().enumerate().map(numbered).collect()
    }

    /// A single value as it is written, whatever type that is.
    pub fn text(&self) -> Option<&'f str> {
        match &self.node.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A single value as kubeadm gets it: text, a number or a boolean.
    pub fn scalar(&self) -> Option<Json> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => Some(scalar_as_json(text.clone())),
            Value::Scalar { text, plain: false } => Some(Json::String(text.clone())),
            _ => None,
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        self.scalar()?.as_bool()
    }

    pub fn whole(&self) -> Option<i64> {
        self.scalar()?.as_i64()
    }

    /// What it is, in words: `the text `no``, `a list`.
    pub fn describe(&self) -> String {
        match (self.scalar(), self.text()) {
            (Some(Json::String(_)), Some(text)) => format!("the text `{text}`"),
            (Some(Json::Bool(_)), Some(text)) => format!("the boolean {text}"),
            (Some(_), Some(text)) => format!("the number {text}"),
            _ => self.node.kind().to_owned(),
        }
    }

    /// A fault of this value. The message goes on after the path.
    pub fn error(&self, message: impl AsRef<str>, help: impl Into<String>) -> Fault {
        let message = format!("{} {}", self.path, message.as_ref());
        Fault::error(self.node.place, &self.path, message, help)
    }
}
