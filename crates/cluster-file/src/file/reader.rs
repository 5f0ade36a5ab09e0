//! Reads mappings key by key and keeps all that is wrong.

use super::scalars::Scalar;
use super::spanned::Spanned;
use crate::diagnostic::{Fault, Place};
use crate::suggest::{closest_match, did_you_mean};
use crate::yaml::{Key, Value, YamlNode, join_path};

/// Keeps what is wrong.
pub(super) struct Reader {
    pub faults: Vec<Fault>,
}

/// One mapping on its way into a type.
pub(super) struct Fields<'r> {
    pub(super) reader: &'r mut Reader,
    pub(super) path: String,
    pub(super) place: Place,
    entries: Vec<(Key, YamlNode)>,
    /// False if something else stands where this mapping should: then nothing in it is "missing".
    readable: bool,
    /// True if this mapping itself is not in the file.
    left_out: bool,
    /// Keys that are there under a misspelt name: they are not "missing" either.
    misspelt: Vec<String>,
}

impl<'r> Fields<'r> {
    /// The file's own mapping, which has no key.
    pub fn root(reader: &'r mut Reader, node: Option<YamlNode>) -> Self {
        let readable = node.is_some() || reader.faults.is_empty();
        let node = node.unwrap_or(YamlNode {
            place: Place::START,
            value: Value::Empty,
        });
        let fields = Self::open(reader, String::new(), Place::START, node);
        Self {
            readable: readable && fields.readable,
            left_out: false,
            ..fields
        }
    }

    /// A node that should be a mapping; `place` is where missing keys are reported.
    pub(super) fn open(reader: &'r mut Reader, path: String, place: Place, node: YamlNode) -> Self {
        let kind = node.kind();
        let left_out = matches!(node.value, Value::Empty);
        let (entries, readable) = match node.value {
            Value::Map(entries) => (entries, true),
            Value::Empty => (Vec::new(), true),
            Value::Scalar { .. } | Value::List(_) => (Vec::new(), false),
        };
        if !readable {
            let what = if path.is_empty() {
                "the cluster file"
            } else {
                &path
            };
            let message = format!("{what} must be a mapping, not {kind}");
            reader.faults.push(Fault::error(
                node.place,
                &path,
                message,
                "write `key: value` lines below it, indented",
            ));
        }
        Self {
            reader,
            path,
            place,
            entries,
            readable,
            left_out,
            misspelt: Vec::new(),
        }
    }

    /// Everything that is not in `keys` is a fault.
    pub fn known(&mut self, keys: &[&str]) {
        let (known, unknown): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|(key, _)| keys.contains(&key.name.as_str()));
        self.entries = known;
        let place = if self.path.is_empty() {
            "the cluster file"
        } else {
            &self.path
        };
        for (key, _) in unknown {
            let meant = closest_match(&key.name, keys.iter().copied());
            let question = did_you_mean(&key.name, keys.iter().copied());
            self.misspelt.extend(meant.map(str::to_owned));
            let message = format!("unknown key `{}` in {place}{question}", key.name);
            let help = match keys {
                [] => "it takes no options".to_owned(),
                keys => format!("the valid keys are {}", keys.join(", ")),
            };
            let path = join_path(&self.path, &key.name);
            self.reader
                .faults
                .push(Fault::error(key.place, &path, message, help));
        }
    }

    /// Every key with its value, for mappings whose keys are the user's own.
    pub fn take_all(&mut self) -> Vec<(Spanned<String>, YamlNode)> {
        let named = |(key, node): (Key, YamlNode)| {
            let name = Spanned {
                path: join_path(&self.path, &key.name),
                value: key.name,
                place: key.place,
                given: true,
                paired: false,
            };
            (name, node)
        };
        let entries = std::mem::take(&mut self.entries);
        entries.into_iter().map(named).collect()
    }

    /// A value that has to be there, like `example`.
    pub fn needed<T: Scalar>(&mut self, key: &str, example: &str) -> Option<Spanned<T>> {
        if self.is_written(key) {
            return self.maybe(key);
        }
        let help = if self.left_out {
            let name = self.path.rsplit('.').next().unwrap_or(&self.path);
            format!("write `{name}: {{{key}: {example}}}`")
        } else {
            format!("write `{key}: {example}`")
        };
        self.missing(key, &help);
        None
    }

    /// Says that a key is missing or has no value, unless something worse was said about it.
    pub fn missing(&mut self, key: &str, help: &str) {
        let path = join_path(&self.path, key);
        match self.take(key) {
            Some((written, _)) => {
                let message = format!("{path} is empty");
                self.fault(Fault::error(written.place, &path, message, help));
            }
            None if self.expects(key) => {
                let message = format!("{path} is missing");
                self.fault(Fault::error(self.place, &path, message, help));
            }
            None => {}
        }
    }

    /// False if the file says something about this key that could not be understood.
    fn expects(&self, key: &str) -> bool {
        self.readable && !self.misspelt.iter().any(|misspelt| misspelt == key)
    }

    /// A value that may be left out.
    pub fn maybe<T: Scalar>(&mut self, key: &str) -> Option<Spanned<T>> {
        let path = join_path(&self.path, key);
        let (_, node) = self.take(key)?;
        if matches!(node.value, Value::Empty) {
            None
        } else {
            self.reader.scalar(node, path)
        }
    }

    /// A value with a default; none if what is there cannot be read.
    pub fn or<T: Scalar>(&mut self, key: &str, default: T) -> Option<Spanned<T>> {
        if self.is_written(key) {
            self.maybe(key)
        } else {
            self.default(key, default)
        }
    }

    /// A default, at the place of the mapping. None if the mapping itself could not be read.
    pub fn default<T>(&self, key: &str, value: T) -> Option<Spanned<T>> {
        let path = join_path(&self.path, key);
        self.expects(key).then_some(Spanned {
            value,
            place: self.place,
            path,
            given: false,
            paired: false,
        })
    }

    /// A mapping below this one; an empty one if it is left out.
    pub fn fields(&mut self, key: &str) -> Fields<'_> {
        let path = join_path(&self.path, key);
        match self.take(key) {
            Some((written, node)) => Fields::open(self.reader, path, written.place, node),
            None => {
                let readable = self.expects(key);
                let node = YamlNode {
                    place: self.place,
                    value: Value::Empty,
                };
                Fields {
                    readable,
                    ..Fields::open(self.reader, path, self.place, node)
                }
            }
        }
    }

    /// A list of single values.
    pub fn list<T: Scalar>(&mut self, key: &str) -> Vec<Spanned<T>> {
        let path = join_path(&self.path, key);
        let Some((_, node)) = self.take(key) else {
            return Vec::new();
        };
        self.reader.scalars(node, &path)
    }

    /// The items of a list with their paths; none if it is left out or no list.
    pub fn items(&mut self, key: &str) -> Option<Vec<(String, YamlNode)>> {
        let path = join_path(&self.path, key);
        let (_, node) = self.take(key)?;
        self.reader.items(node, &path)
    }

    /// A list of mappings.
    pub fn each<T>(&mut self, key: &str, read: impl Fn(Fields<'_>) -> T) -> Vec<T> {
        let items = self.items(key).unwrap_or_default();
        items
            .into_iter()
            .map(|(path, item)| read(self.open_item(path, item)))
            .collect()
    }

    /// An item of a list as a single value.
    pub fn item_scalar<T: Scalar>(&mut self, path: String, item: YamlNode) -> Option<Spanned<T>> {
        self.reader.scalar(item, path)
    }

    /// An item of a list as a mapping.
    pub fn open_item(&mut self, path: String, item: YamlNode) -> Fields<'_> {
        let place = item.place;
        Fields::open(self.reader, path, place, item)
    }

    /// What stands at a key of [`Self::take_all`] as a mapping.
    pub fn open_value(&mut self, key: &Spanned<String>, node: YamlNode) -> Fields<'_> {
        Fields::open(self.reader, key.path.clone(), key.place, node)
    }

    /// The node of a key, whatever it is.
    pub fn raw(&mut self, key: &str) -> Option<(Key, YamlNode)> {
        self.take(key)
    }

    /// Where the key itself stands.
    pub fn key_place(&self, key: &str) -> Option<Place> {
        self.entries
            .iter()
            .find(|(k, _)| k.name == key)
            .map(|(k, _)| k.place)
    }

    /// The key's place as a value, if something is written there.
    pub fn where_written(&self, key: &str) -> Option<Spanned<()>> {
        let place = self.key_place(key).filter(|_| self.is_written(key))?;
        Some(Spanned {
            value: (),
            place,
            path: join_path(&self.path, key),
            given: true,
            paired: false,
        })
    }

    /// True if the key has a value.
    pub fn is_written(&self, key: &str) -> bool {
        self.entries
            .iter()
            .any(|(k, node)| k.name == key && !matches!(node.value, Value::Empty))
    }

    /// True if the key's value is this word.
    pub fn has_text(&self, key: &str, word: &str) -> bool {
        self.entries.iter().any(|(k, node)| {
            k.name == key && matches!(&node.value, Value::Scalar { text, .. } if text == word)
        })
    }

    /// True if the key's value is a list.
    pub fn is_list(&self, key: &str) -> bool {
        self.entries
            .iter()
            .any(|(k, node)| k.name == key && matches!(node.value, Value::List(_)))
    }

    /// True if the key's value is a mapping.
    pub fn is_mapping(&self, key: &str) -> bool {
        self.entries
            .iter()
            .any(|(k, node)| k.name == key && matches!(node.value, Value::Map(_)))
    }

    /// Keeps a fault that a caller found.
    pub fn fault(&mut self, fault: Fault) {
        self.reader.faults.push(fault);
    }

    pub(super) fn take(&mut self, key: &str) -> Option<(Key, YamlNode)> {
        let at = self.entries.iter().position(|(k, _)| k.name == key)?;
        Some(self.entries.remove(at))
    }
}

impl Reader {
    fn scalar<T: Scalar>(&mut self, node: YamlNode, path: String) -> Option<Spanned<T>> {
        let place = node.place;
        let Value::Scalar { text, .. } = node.value else {
            let message = format!("{path} must be a single value, not {}", node.kind());
            self.faults
                .push(Fault::error(place, &path, message, "write one value"));
            return None;
        };
        match T::read(text.trim()) {
            Ok(value) => Some(Spanned {
                value,
                place,
                path,
                given: true,
                paired: false,
            }),
            Err((is_not, help)) => {
                self.faults.push(Fault::error(
                    place,
                    &path,
                    format!("{path}: `{text}` {is_not}"),
                    help,
                ));
                None
            }
        }
    }

    pub(super) fn scalars<T: Scalar>(&mut self, node: YamlNode, path: &str) -> Vec<Spanned<T>> {
        let items = self.items(node, path).unwrap_or_default();
        items
            .into_iter()
            .filter_map(|(path, item)| self.scalar(item, path))
            .collect()
    }

    /// The items of a list with their paths.
    pub(super) fn items(&mut self, node: YamlNode, path: &str) -> Option<Vec<(String, YamlNode)>> {
        let kind = node.kind();
        match node.value {
            Value::List(items) => Some(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(i, item)| (format!("{path}[{i}]"), item))
                    .collect(),
            ),
            Value::Empty => Some(Vec::new()),
            _ => {
                let message = format!("{path} must be a list, not {kind}");
                self.faults.push(Fault::error(
                    node.place,
                    path,
                    message,
                    "write `[a, b]`, or one `- item` a line",
                ));
                None
            }
        }
    }
}
