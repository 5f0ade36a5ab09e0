//! YAML as a tree in which every key and value knows its place, so that one wrong type hides no other fault.
//!
//! Built on the events of granit-parser instead of serde: a serde deserializer stops at the first fault, and
//! it turns `1.30` into 1.3 before anybody can see what was written.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScanError, Span, StructureStyle, Tag, options};

use crate::diagnostic::{Fault, Place};
use crate::unseen::{begins_unseen, indentation_words};

mod expansion;

use expansion::ExpandedSize;

/// Bytes of a cluster file. 5,000 machines with a dozen labels each are 3 MiB.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// Depth of nesting. A cluster file needs 7, Helm values below it seldom more than 15.
const MAX_DEPTH: usize = 64;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct YamlNode {
    pub place: Place,
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Empty,
    /// Text as written (escapes resolved); plain if it stands without quotes.
    Scalar { text: String, plain: bool },
    /// A sequence, in either style.
    List(Vec<YamlNode>),
    /// A mapping, in the order of the file, without duplicates.
    Map(Vec<(Key, YamlNode)>),
}

/// The key of a mapping, with its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub name: String,
    pub place: Place,
}

impl YamlNode {
    /// What the value is, in words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Empty => "empty",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// A value that aliases may repeat.
struct Anchored {
    node: YamlNode,
    size: ExpandedSize,
    path: String,
}

/// Reads one document. What can be read is returned even when there are faults; none: it is not YAML at all.
pub(crate) fn parse_yaml(text: &str, faults: &mut Vec<Fault>) -> Option<YamlNode> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        let help = "this is not a cluster file: those of 5,000 machines have 3 MiB";
        faults.push(Fault::error(Place::START, "", message, help));
        return None;
    }
    let mut builder = TreeBuilder::new(text, faults);
    match builder.document() {
        Ok(node) => node,
        Err(fault) => {
            faults.push(*fault);
            None
        }
    }
}

type Fallible<T> = Result<T, Box<Fault>>;

struct TreeBuilder<'t, 'f> {
    text: &'t str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Anchored>,
    spent: ExpandedSize,
    /// What is held once more for aliases to repeat: anchors may be nested.
    anchored: ExpandedSize,
    faults: &'f mut Vec<Fault>,
}

impl<'t, 'f> TreeBuilder<'t, 'f> {
    fn new(text: &'t str, faults: &'f mut Vec<Fault>) -> Self {
        let options = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
        Self {
            text,
            parser: Parser::new_from_str_with_options(text, options),
            anchors: HashMap::new(),
            spent: ExpandedSize::default(),
            anchored: ExpandedSize::default(),
            faults,
        }
    }

    fn document(&mut self) -> Fallible<Option<YamlNode>> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart
                | Event::DocumentStart(..)
                | Event::DocumentEnd
                | Event::StreamEnd => {}
                _ if root.is_some() => {
                    let help =
                        "keep one cluster in one file: everything after `---` goes into another";
                    return Err(fatal_fault(
                        place_of(span),
                        "a second document in the file",
                        help,
                    ));
                }
                event => root = Some(self.node(event, span, "")?),
            }
        }
        Ok(root)
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Fallible<Option<(Event<'t>, Span)>> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(syntax_fault(&error)),
        }
    }

    /// The next event where the document cannot end.
    fn more(&mut self, at: Place) -> Fallible<(Event<'t>, Span)> {
        self.next()?.ok_or_else(|| {
            fatal_fault(
                at,
                "the file ends in the middle",
                "write the rest of this value",
            )
        })
    }

    fn node(&mut self, event: Event<'t>, span: Span, path: &str) -> Fallible<YamlNode> {
        let at = place_of(span);
        let before = self.spent;
        self.spend(1, path.len(), at)?;
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(0, text.len(), at)?;
                self.tag(tag.as_deref(), at, path);
                let plain = style == granit_parser::ScalarStyle::Plain;
                let empty = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let text = text.into_owned();
                let value = match empty {
                    true => Value::Empty,
                    false => Value::Scalar { text, plain },
                };
                (anchor, YamlNode { place: at, value })
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.tag(tag.as_deref(), at, path);
                (anchor, self.list(style, at, path)?)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.tag(tag.as_deref(), at, path);
                (anchor, self.map(style, at, path)?)
            }
            Event::Alias(anchor) => return self.alias(anchor, at, path),
            other => {
                return Err(fatal_fault(
                    at,
                    format!("unexpected YAML: {other:?}"),
                    "write a plain value here",
                ));
            }
        };
        if anchor != 0 {
            self.keep_for_aliases(anchor, &node, self.spent.since(before), path)?;
        }
        Ok(node)
    }

    fn keep_for_aliases(
        &mut self,
        anchor: usize,
        node: &YamlNode,
        size: ExpandedSize,
        path: &str,
    ) -> Fallible<()> {
        self.anchored.add(size);
        check_size(self.anchored, node.place)?;
        let (node, path) = (node.clone(), path.to_owned());
        self.anchors.insert(anchor, Anchored { node, size, path });
        Ok(())
    }

    fn list(&mut self, style: StructureStyle, at: Place, path: &str) -> Fallible<YamlNode> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.more(at)?;
            if event == Event::SequenceEnd {
                let place = if style == StructureStyle::Flow {
                    join_places(at, span)
                } else {
                    at
                };
                return Ok(YamlNode {
                    place,
                    value: Value::List(items),
                });
            }
            let item = self.node(event, span, &format!("{path}[{}]", items.len()))?;
            items.push(item);
        }
    }

    fn map(&mut self, style: StructureStyle, at: Place, path: &str) -> Fallible<YamlNode> {
        let mut entries: Vec<(Key, YamlNode)> = Vec::new();
        let mut merged: Vec<(Key, YamlNode)> = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        let end = loop {
            let (event, span) = self.more(at)?;
            if event == Event::MappingEnd {
                break span;
            }
            let key = self.key(event, span, path)?;
            let (event, span) = self.more(key.place)?;
            let inner = join_path(path, &key.name);
            let value = self.node(event, span, &inner)?;
            if key.name == "<<" {
                self.merge(value, &mut merged, &inner);
            } else if let Some(first) = seen.get(&key.name) {
                let message = format!("`{}` is given twice", key.name);
                let fault = Fault::error(key.place, &inner, message, "keep one of the two");
                self.faults.push(fault.also(*first, "first here"));
            } else {
                seen.insert(key.name.clone(), key.place);
                entries.push((key, value));
            }
        };
        for (key, value) in merged {
            if !seen.contains_key(&key.name) {
                seen.insert(key.name.clone(), key.place);
                entries.push((key, value));
            }
        }
        let place = match (style, entries.first()) {
            (StructureStyle::Flow, _) => join_places(at, end),
            (StructureStyle::Block, Some((key, _))) if key.place.line == at.line => key.place,
            _ => at,
        };
        Ok(YamlNode {
            place,
            value: Value::Map(entries),
        })
    }

    fn key(&mut self, event: Event<'t>, span: Span, path: &str) -> Fallible<Key> {
        let node = self.node(event, span, path)?;
        let name = match node.value {
            Value::Scalar { text, .. } => text,
            Value::Empty => String::new(),
            _ => {
                return Err(fatal_fault(
                    node.place,
                    "a key must be a single value",
                    "write `key: value`",
                ));
            }
        };
        if begins_unseen(&name) {
            // Like a tab: what belongs to what is anybody's guess, so nothing below is judged.
            let (message, help) = indentation_words(self.text, &name);
            let place = Place {
                width: 1,
                ..node.place
            };
            return Err(fatal_fault(place, message, &help));
        }
        Ok(Key {
            name,
            place: node.place,
        })
    }

    /// `<<: *base` (or a list of such): the keys of `base` which are not given here.
    fn merge(&mut self, value: YamlNode, merged: &mut Vec<(Key, YamlNode)>, path: &str) {
        match value.value {
            Value::Map(entries) => merged.extend(entries),
            Value::List(items) => items
                .into_iter()
                .for_each(|item| self.merge(item, merged, path)),
            _ => {
                let help = "give it a mapping: `<<: *anchor`";
                self.faults.push(Fault::error(
                    value.place,
                    path,
                    "`<<` merges mappings only",
                    help,
                ));
            }
        }
    }

    fn alias(&mut self, anchor: usize, at: Place, path: &str) -> Fallible<YamlNode> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(fatal_fault(
                at,
                "an alias inside its own anchor",
                "write the value out",
            ));
        };
        // Counted first: what is too much is never made.
        let ExpandedSize { nodes, bytes } = anchored.size.moved(&anchored.path, path);
        self.spend(nodes, bytes, at)?;
        let value = self.anchors[&anchor].node.value.clone();
        Ok(YamlNode { place: at, value })
    }

    fn spend(&mut self, nodes: usize, bytes: usize, at: Place) -> Fallible<()> {
        self.spent.add(ExpandedSize { nodes, bytes });
        check_size(self.spent, at)
    }

    fn tag(&mut self, tag: Option<&Tag>, at: Place, path: &str) {
        if let Some(tag) = tag.filter(|t| !t.is_yaml_core_schema()) {
            let message = format!("unknown YAML tag `{}`", tag.original());
            self.faults
                .push(Fault::error(at, path, message, "leave the tag out"));
        }
    }
}

/// `a.b`, or `b` at the top.
pub(crate) fn join_path(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn place_of(span: Span) -> Place {
    let (start, end) = (span.start, span.end);
    let width = if end.line() == start.line() {
        end.col().saturating_sub(start.col()).max(1)
    } else {
        1
    };
    Place {
        line: start.line().max(1),
        column: start.col() + 1,
        width,
    }
}

/// From the opening bracket to the closing one, if that is on the same line.
fn join_places(start: Place, end: Span) -> Place {
    let closing = end.end.col();
    let same = end.end.line() == start.line && closing >= start.column;
    Place {
        width: if same { closing + 1 - start.column } else { 1 },
        ..start
    }
}

fn fatal_fault(place: Place, message: impl Into<String>, help: &str) -> Box<Fault> {
    Box::new(Fault::error(place, "", message, help))
}

fn check_size(size: ExpandedSize, at: Place) -> Fallible<()> {
    size.excess().map_or(Ok(()), |what| {
        let message = format!("{what} in the file, aliases expanded");
        Err(fatal_fault(at, message, "write fewer aliases of aliases"))
    })
}

fn syntax_fault(error: &ScanError) -> Box<Fault> {
    let at = error.marker();
    let place = Place {
        line: at.line().max(1),
        column: at.col() + 1,
        width: 1,
    };
    let help = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => "indent with spaces: YAML does not allow tabs",
        ErrorKind::UnknownAnchor | ErrorKind::MissingAnchorOrAliasName => {
            "define `&name` before `*name`; text that begins with `*` or `&` needs quotes"
        }
        ErrorKind::RecursionLimitExceeded => "use fewer levels of nesting",
        _ => "look here and in the lines above: indentation, brackets, quotes",
    };
    fatal_fault(place, format!("not valid YAML: {}", error.info()), help)
}

#[cfg(test)]
mod tests;
