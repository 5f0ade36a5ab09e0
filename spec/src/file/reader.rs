//! Reads mappings key by key and keeps all that is wrong.

use super::at::At;
use super::words::Word;
use crate::check::{Fault, Place, did_you_mean};
use crate::yaml::{Key, Node, Value, join_path};

/// Keeps what is wrong.
pub(super) struct Reader {
    pub faults: Vec<Fault>,
}

/// One mapping on its way into a type.
pub(super) struct Fields<'r> {
    reader: &'r mut Reader,
    path: String,
    place: Place,
    entries: Vec<(Key, Node)>,
    /// False if something else stands where this mapping should: then nothing in it is "missing".
    readable: bool,
}

impl<'r> Fields<'r> {
    /// The file itself.
    pub fn root(reader: &'r mut Reader, node: Option<Node>) -> Self {
        let readable = node.is_some() || reader.faults.is_empty();
        let node = node.unwrap_or(Node {
            place: Place::START,
            value: Value::Empty,
        });
        let fields = Self::open(reader, String::new(), Place::START, node);
        Self {
            readable: readable && fields.readable,
            ..fields
        }
    }

    /// A node that should be a mapping; `place` is where missing keys are reported.
    fn open(reader: &'r mut Reader, path: String, place: Place, node: Node) -> Self {
        let kind = node.kind();
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
            let message = format!("{what} must be a mapping and is {kind}");
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
            let meant = did_you_mean(&key.name, keys.iter().copied());
            let message = format!("unknown key `{}` in {place}{meant}", key.name);
            let help = format!("the keys here are {}", keys.join(", "));
            self.reader.faults.push(Fault::error(
                key.place,
                &join_path(&self.path, &key.name),
                message,
                help,
            ));
        }
    }

    /// The keys, for mappings whose keys are the user's own.
    pub fn keys(&self) -> Vec<At<String>> {
        let at = |key: &Key| At {
            value: key.name.clone(),
            place: key.place,
            path: join_path(&self.path, &key.name),
            given: true,
        };
        self.entries.iter().map(|(key, _)| at(key)).collect()
    }

    /// A value that has to be there.
    pub fn needed<T: Word>(&mut self, key: &str) -> Option<At<T>> {
        let path = join_path(&self.path, key);
        match self.take(key) {
            Some((_, node)) if !matches!(node.value, Value::Empty) => self.reader.word(node, path),
            Some((written, _)) => {
                let help = "write its value after the colon";
                self.reader.faults.push(Fault::error(
                    written.place,
                    &path,
                    format!("{path} is empty"),
                    help,
                ));
                None
            }
            None => {
                self.missing(key, &format!("write `{key}: ...`"));
                None
            }
        }
    }

    /// Says that a key is missing, unless something worse was said about this mapping.
    pub fn missing(&mut self, key: &str, help: &str) {
        if self.readable {
            let path = join_path(&self.path, key);
            self.reader.faults.push(Fault::error(
                self.place,
                &path,
                format!("{path} is missing"),
                help,
            ));
        }
    }

    /// A value that may be left out.
    pub fn maybe<T: Word>(&mut self, key: &str) -> Option<At<T>> {
        let path = join_path(&self.path, key);
        let (_, node) = self.take(key)?;
        if matches!(node.value, Value::Empty) {
            None
        } else {
            self.reader.word(node, path)
        }
    }

    /// A value with a default; none if what is there cannot be read.
    pub fn or<T: Word>(&mut self, key: &str, default: T) -> Option<At<T>> {
        if self.is_written(key) {
            self.maybe(key)
        } else {
            self.default(key, default)
        }
    }

    /// A default, at the place of the mapping. None if the mapping itself could not be read.
    pub fn default<T>(&self, key: &str, value: T) -> Option<At<T>> {
        let path = join_path(&self.path, key);
        self.readable.then_some(At {
            value,
            place: self.place,
            path,
            given: false,
        })
    }

    /// A mapping below this one; an empty one if it is left out.
    pub fn fields(&mut self, key: &str) -> Fields<'_> {
        let path = join_path(&self.path, key);
        match self.take(key) {
            Some((written, node)) => Fields::open(self.reader, path, written.place, node),
            None => {
                let (place, readable) = (self.place, self.readable);
                Fields {
                    reader: self.reader,
                    path,
                    place,
                    entries: Vec::new(),
                    readable,
                }
            }
        }
    }

    /// A list of single values.
    pub fn list<T: Word>(&mut self, key: &str) -> Vec<At<T>> {
        let path = join_path(&self.path, key);
        let Some((_, node)) = self.take(key) else {
            return Vec::new();
        };
        self.reader.words(node, &path)
    }

    /// The items of a list with their paths; none if it is left out or no list.
    pub fn items(&mut self, key: &str) -> Option<Vec<(String, Node)>> {
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
    pub fn item_word<T: Word>(&mut self, path: String, item: Node) -> Option<At<T>> {
        self.reader.word(item, path)
    }

    /// An item of a list as a mapping.
    pub fn open_item(&mut self, path: String, item: Node) -> Fields<'_> {
        let place = item.place;
        Fields::open(self.reader, path, place, item)
    }

    /// `key: word` or `key: {word: options}`, the word one of `words`; the first is the default.
    pub fn choice(
        &mut self,
        key: &str,
        words: &[&'static str],
    ) -> Option<(At<&'static str>, Node)> {
        if !self.is_written(key) {
            let empty = Node {
                place: self.place,
                value: Value::Empty,
            };
            return self.default(key, words[0]).map(|word| (word, empty));
        }
        let path = join_path(&self.path, key);
        let (written, node) = self.take(key)?;
        let (wrong_at, message) = match one_choice(written.place, node) {
            Ok((name, options)) => match words.iter().find(|word| **word == name.name) {
                Some(word) => {
                    return Some((
                        At {
                            value: word,
                            place: name.place,
                            path,
                            given: true,
                        },
                        options,
                    ));
                }
                None => {
                    let meant = did_you_mean(&name.name, words.iter().copied());
                    (
                        name.place,
                        format!("{path}: unknown choice `{}`{meant}", name.name),
                    )
                }
            },
            Err((place, kind)) => (
                place,
                format!("{path} must be one word or one `WORD: options` and is {kind}"),
            ),
        };
        let all: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let help = format!(
            "write one of {}, alone or as `{{WORD: options}}`",
            all.join(", ")
        );
        self.reader
            .faults
            .push(Fault::error(wrong_at, &path, message, help));
        None
    }

    /// The options of a [`Self::choice`] as a mapping.
    pub fn options(&mut self, choice: &At<&'static str>, options: Node) -> Fields<'_> {
        Fields::open(
            self.reader,
            join_path(&choice.path, choice.value),
            choice.place,
            options,
        )
    }

    /// The options of a [`Self::choice`] as a list of single values.
    pub fn option_list<T: Word>(&mut self, choice: &At<&'static str>, options: Node) -> Vec<At<T>> {
        self.reader
            .words(options, &join_path(&choice.path, choice.value))
    }

    /// The node of a key, whatever it is.
    pub fn raw(&mut self, key: &str) -> Option<(Key, Node)> {
        self.take(key)
    }

    /// Where the key itself stands.
    pub fn key_place(&self, key: &str) -> Option<Place> {
        self.entries
            .iter()
            .find(|(k, _)| k.name == key)
            .map(|(k, _)| k.place)
    }

    /// True if the key has a value.
    pub fn is_written(&self, key: &str) -> bool {
        self.entries
            .iter()
            .any(|(k, node)| k.name == key && !matches!(node.value, Value::Empty))
    }

    /// True if the key is there, whatever it says.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(k, _)| k.name == key)
    }

    /// Another fault.
    pub fn fault(&mut self, fault: Fault) {
        self.reader.faults.push(fault);
    }

    fn take(&mut self, key: &str) -> Option<(Key, Node)> {
        let at = self.entries.iter().position(|(k, _)| k.name == key)?;
        Some(self.entries.remove(at))
    }
}

/// The word of a choice and its options.
fn one_choice(key: Place, node: Node) -> Result<(Key, Node), (Place, &'static str)> {
    let (place, kind) = (node.place, node.kind());
    match node.value {
        Value::Scalar { text, .. } => Ok((
            Key { name: text, place },
            Node {
                place,
                value: Value::Empty,
            },
        )),
        Value::Map(mut entries) if entries.len() == 1 => Ok(entries.remove(0)),
        Value::Map(_) => Err((key, "a mapping of several")),
        _ => Err((place, kind)),
    }
}

impl Reader {
    fn word<T: Word>(&mut self, node: Node, path: String) -> Option<At<T>> {
        let place = node.place;
        let Value::Scalar { text, .. } = node.value else {
            let message = format!("{path} must be a single value and is {}", node.kind());
            self.faults
                .push(Fault::error(place, &path, message, "write one value"));
            return None;
        };
        match T::read(text.trim()) {
            Ok(value) => Some(At {
                value,
                place,
                path,
                given: true,
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

    fn words<T: Word>(&mut self, node: Node, path: &str) -> Vec<At<T>> {
        let items = self.items(node, path).unwrap_or_default();
        items
            .into_iter()
            .filter_map(|(path, item)| self.word(item, path))
            .collect()
    }

    /// The items of a list with their paths.
    fn items(&mut self, node: Node, path: &str) -> Option<Vec<(String, Node)>> {
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
                let message = format!("{path} must be a list and is {kind}");
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
