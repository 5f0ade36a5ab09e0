//! Choices: `key: word`, or `key: {word: options}`.

use super::reader::Fields;
use super::spanned::Spanned;
use crate::diagnostic::{Fault, Place};
use crate::suggest::did_you_mean;
use crate::yaml::{Value, YamlNode, join_path};

impl Fields<'_> {
    /// `key: word` or `key: {word: options}`, the word one of `words`; the first is the default. `hint` ends the help.
    pub fn choice(
        &mut self,
        key: &str,
        words: &[&'static str],
        hint: &str,
    ) -> Option<(Spanned<&'static str>, YamlNode)> {
        if !self.is_written(key) {
            let (place, value) = (self.place, Value::Empty);
            let word = self.default(key, words[0])?;
            return Some((word, YamlNode { place, value }));
        }
        let path = join_path(&self.path, key);
        let (written, node) = self.take(key)?;
        let (place, message) = match split_choice(written.place, node, words) {
            Ok((value, place, options)) => {
                let given = true;
                return Some((
                    Spanned {
                        value,
                        place,
                        path,
                        given,
                        paired: false,
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
    pub fn options(&mut self, choice: &Spanned<&'static str>, options: YamlNode) -> Fields<'_> {
        Fields::open(
            self.reader,
            join_path(&choice.path, choice.value),
            choice.place,
            options,
        )
    }

    /// The options of a [`Self::choice`] as a list: its items with their paths.
    pub fn option_items(
        &mut self,
        choice: &Spanned<&'static str>,
        options: YamlNode,
    ) -> Vec<(String, YamlNode)> {
        let path = join_path(&choice.path, choice.value);
        self.reader.items(options, &path).unwrap_or_default()
    }
}

/// The word of a choice, its place and its options; or where it is wrong and why.
fn split_choice(
    key: Place,
    node: YamlNode,
    words: &[&'static str],
) -> Result<(&'static str, Place, YamlNode), (Place, String)> {
    let (place, kind) = (node.place, node.kind());
    let wrong = |kind: &str| format!(" must be one word or one `WORD: options`, not {kind}");
    let (name, place, options) = match node.value {
        Value::Scalar { text, .. } => {
            let value = Value::Empty;
            (text, place, YamlNode { place, value })
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
