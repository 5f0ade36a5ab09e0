//! Kubernetes manifests, as far as everybody who applies one needs them: YAML, and objects that say what they are.

use granit_parser::{Event, Parser, Span, options};

/// Depth of nesting. Schemas of custom resources have some fifty levels.
const MAX_DEPTH: usize = 512;

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFault {
    /// Line of the manifest, counted from 1.
    pub line: usize,
    /// What is wrong, to go on after the file's name and "line N: ".
    pub message: String,
    /// What would be right.
    pub help: &'static str,
}

/// How many objects a manifest holds.
///
/// # Errors
/// The first thing that keeps it from being applied.
pub fn count_objects(text: &str) -> Result<usize, ManifestFault> {
    let first = text.trim_start_matches('\u{feff}').trim_start();
    if first.starts_with('<') {
        return Err(manifest_fault(
            1,
            "it is a web page",
            "fetch the raw file itself, not the page that shows it",
        ));
    }
    let options = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let (mut objects, mut document) = (0, ManifestDocument::default());
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let help = if text.contains("{{") {
                "it looks like a template: render it first, e.g. `helm template`"
            } else {
                "look here and in the lines above: indentation, brackets, quotes"
            };
            let line = error.marker().line().max(1);
            manifest_fault(line, &format!("not valid YAML: {}", error.info()), help)
        })?;
        if event == Event::DocumentEnd {
            objects += usize::from(std::mem::take(&mut document).end()?);
        } else {
            document.take(&event, span);
        }
    }
    match objects {
        0 => Err(manifest_fault(
            1,
            "it holds no object",
            "name a file with Kubernetes objects",
        )),
        objects => Ok(objects),
    }
}

fn manifest_fault(line: usize, message: &str, help: &'static str) -> ManifestFault {
    ManifestFault {
        line,
        message: message.to_owned(),
        help,
    }
}

/// An empty value, as the parser or people write it.
fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}

/// One document, event by event.
#[derive(Debug, Default)]
struct ManifestDocument {
    line: usize,
    depth: usize,
    /// What stands at the top; none: nothing.
    top: Option<Top>,
    /// The key whose value comes next, at the top.
    key: Option<String>,
    /// Whether `apiVersion` and `kind` have a value.
    has: [bool; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Top {
    Mapping,
    Other,
}

const NEEDED: [&str; 2] = ["apiVersion", "kind"];

impl ManifestDocument {
    fn take(&mut self, event: &Event<'_>, span: Span) {
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let mapping = matches!(event, Event::MappingStart(..));
                self.begin(if mapping { Top::Mapping } else { Top::Other }, span);
                if self.depth == 1 {
                    // A collection is the key's value, or a key that nothing asks for.
                    self.key = if self.key.is_some() {
                        None
                    } else {
                        Some(String::new())
                    };
                }
                self.depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => self.depth = self.depth.saturating_sub(1),
            Event::Scalar(text, ..) => {
                if self.depth == 0 && !is_nothing(text) {
                    self.begin(Top::Other, span);
                }
                self.scalar(text);
            }
            Event::Alias(..) => self.scalar("alias"),
            _ => {}
        }
    }

    fn begin(&mut self, top: Top, span: Span) {
        if self.top.is_none() {
            self.top = Some(top);
            self.line = span.start.line().max(1);
        }
    }

    fn scalar(&mut self, text: &str) {
        if self.depth != 1 {
            return;
        }
        match self.key.take() {
            None => self.key = Some(text.to_owned()),
            Some(key) => {
                for (needed, has) in NEEDED.iter().zip(&mut self.has) {
                    *has |= key == *needed && !is_nothing(text);
                }
            }
        }
    }

    /// True: an object. False: nothing.
    fn end(self) -> Result<bool, ManifestFault> {
        let help = "each document is one object, with apiVersion and kind";
        match self.top {
            None => Ok(false),
            Some(Top::Other) => Err(manifest_fault(self.line, "it is not an object", help)),
            Some(Top::Mapping) => {
                let lacks = NEEDED.iter().zip(self.has).find(|(_, has)| !has);
                match lacks {
                    None => Ok(true),
                    Some((key, _)) => Err(manifest_fault(
                        self.line,
                        &format!("an object without {key}"),
                        help,
                    )),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted() {
        let two = "# a comment\n---\napiVersion: v1\nkind: List\nitems: [{a: 1}]\n---\n---\n{\"kind\": \"Pod\", \"apiVersion\": \"v1\", \"x\": {\"kind\": 1}}\n";
        assert_eq!(count_objects(two), Ok(2));
        assert_eq!(
            count_objects("a: &a {b: c}\nkind: X\nd: *a\napiVersion: v1\n"),
            Ok(1)
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, message) in [
            ("", 1, "it holds no object"),
            ("---\n# nothing\n", 1, "it holds no object"),
            ("<!DOCTYPE html>\n<html>\n", 1, "it is a web page"),
            ("404: Not Found", 1, "an object without apiVersion"),
            (
                "kind: Pod\nspec: {apiVersion: v1}\n",
                1,
                "an object without apiVersion",
            ),
            (
                "apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind:\n",
                4,
                "an object without kind",
            ),
            (
                "apiVersion: v1\nkind: A\n---\n- kind: B\n",
                4,
                "it is not an object",
            ),
            ("just words\n", 1, "it is not an object"),
        ] {
            let told = count_objects(text).unwrap_err();
            assert_eq!(
                (told.line, told.message.as_str()),
                (line, message),
                "{text}"
            );
        }
        let template = count_objects("kind: A\nname: {{ .Values.name }}\n  b: 1\n").unwrap_err();
        assert!(
            template.message.starts_with("not valid YAML: "),
            "{template:?}"
        );
        assert!(template.help.contains("helm template"), "{template:?}");
        let tab = count_objects("kind: A\nspec:\n\tb: 1\n").unwrap_err();
        assert_eq!(tab.line, 3, "{tab:?}");
    }
}
