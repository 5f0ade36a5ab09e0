//! Choices: `key: word`, or `key: {word: options}`.

use super::at::At;
use super::reader::Fields;
use super::words::Word;
use crate::diagnostic::{Fault, Place};
use crate::suggest::did_you_mean;
use crate::yaml::{Node, Value, join_path};

impl Fields<'_> {
    /// `key: word` or `key: {word: options}`, the word one of `words`; the first is the default. `hint` ends the help.
    pub fn choice(
        &mut self,
        key: &str,
        words: &[&'static str],
        hint: &str,
    ) -> Option<(At<&'static str>, Node)> {
        if !self.is_written(key) {
            let (place, value) = (self.place, Value::Empty);
            let word = self.default(key, words[0])?;
            return Some((word, Node { place, value }));
        }
        let path = join_path(&self.path, key);
        let (written, node) = self.take(key)?;
        let (place, message) = match one_of(written.place, node, words) {
            Ok((value, place, options)) => {
                let given = true;
                return Some((
                    At {
                        value,
                        place,
                        path,
                        given,
                    },
                    options,
                ));
            }
            Err(wrong) => wrong,
        };
        let all: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let all = all.join(", ");
        let help = format!("write one of {all}, alone or as `{{WORD: options}}`{hint}");
        self.fault(Fault::error(place, &path, format!("{path}{message}"), help));
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

/// The word of a choice, its place and its options; or where it is wrong and why.
fn one_of(
    key: Place,
    node: Node,
    words: &[&'static str],
) -> Result<(&'static str, Place, Node), (Place, String)> {
    let (place, kind) = (node.place, node.kind());
    let wrong = |kind: &str| format!(" must be one word or one `WORD: options`, not {kind}");
    let (name, place, options) = match node.value {
        Value::Scalar { text, .. } => {
            let value = Value::Empty;
            (text, place, Node { place, value })
        }
        Value::Map(mut entries) if entries.len() == 1 => {
            let (key, options) = entries.remove(0);
            (key.name, key.place, options)
        }
        Value::Map(_) => return Err((key, wrong("a mapping of several"))),
        _ => return Err((place, wrong(kind))),
    };
    match words.iter().find(|word| **word == name) {
        Some(word) => Ok((word, place, options)),
        None => {
            let meant = did_you_mean(&name, words.iter().copied());
            Err((place, format!(": unknown choice `{name}`{meant}")))
        }
    }
}
