//! Choices: `key: word`, or `key: {word: options}`.

use super::at::At;
use super::reader::Fields;
use super::words::Word;
use crate::check::{Fault, Place, did_you_mean};
use crate::yaml::{Key, Node, Value, join_path};

impl Fields<'_> {
    /// `key: word` or `key: {word: options}`, the word one of `words`; the first is the default. `hint` ends the help.
    pub fn choice(
        &mut self,
        key: &str,
        words: &[&'static str],
        hint: &str,
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
            "write one of {}, alone or as `{{WORD: options}}`{hint}",
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
