//! Characters that nobody sees, in values that are taken as they are.

use crate::diagnostic::{Fault, Place};
use crate::unseen::{Lines, describe_character, first_unread};
use crate::yaml::{Value, YamlNode, join_path};

/// Values that nothing else looks into (commands, paths, settings) and that hold such a character: a warning each.
pub(super) fn find_in_values(root: &YamlNode, text: &str) -> Vec<Fault> {
    let mut found = Vec::new();
    if !text.is_ascii() {
        find_unseen_below(root, "", &Lines::new(text), &mut found);
    }
    found
}

fn find_unseen_below(node: &YamlNode, path: &str, lines: &Lines<'_>, found: &mut Vec<Fault>) {
    match &node.value {
        Value::Empty => {}
        Value::Scalar { text, .. } => found.extend(judge_value(text, node.place, path, lines)),
        Value::List(items) => {
            for (i, item) in items.iter().enumerate() {
                find_unseen_below(item, &format!("{path}[{i}]"), lines, found);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                find_unseen_below(value, &join_path(path, &key.name), lines, found);
            }
        }
    }
}

fn judge_value(text: &str, place: Place, path: &str, lines: &Lines<'_>) -> Option<Fault> {
    let c = first_unread(text)?;
    let (line, column) = lines.find(c, place)?;
    let message = format!(
        "{path} holds {}, which looks like nothing or like another one",
        describe_character(c)?
    );
    let place = Place {
        line,
        column,
        width: 1,
    };
    let help = "type it anew if a plain character is meant: text copied from elsewhere brings such ones along";
    Some(Fault::error(place, path, message, help).warning())
}
