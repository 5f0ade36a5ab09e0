//! Faults as people see them.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::diagnostic::{Fault, Place, Severity};
use crate::passwords::hide_passwords;

/// Longer lines are shown as a window around the fault: they would wrap and tear the carets off.
const LINE_WIDTH: usize = 120;
/// A second place farther away is named without its line: the work for a fault grows with the lines between the two.
const MAX_DISTANCE: usize = 1000;

/// The faults as people see them: message, `file:line:column`, the lines with carets, the help. No colour, and no password.
pub fn render_faults(faults: &[Fault], text: &str, file_name: &str) -> String {
    let text = hide_passwords(text);
    let source = SourceText::new(&text, file_name);
    let renderer = Renderer::plain().term_width(LINE_WIDTH);
    let blocks: Vec<String> = faults
        .iter()
        .map(|fault| source.render(fault, &renderer) + "\n")
        .collect();
    blocks.join("\n")
}

struct SourceText<'t> {
    text: &'t str,
    file_name: &'t str,
    /// Where each line begins, in bytes, and where the last one ends.
    starts: Vec<usize>,
}

impl<'t> SourceText<'t> {
    fn new(text: &'t str, file_name: &'t str) -> Self {
        // No column counts it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let ends = text.split_inclusive('\n').scan(0, |end, line| {
            *end += line.len();
            Some(*end)
        });
        let starts = std::iter::once(0).chain(ends).collect();
        Self {
            text,
            file_name,
            starts,
        }
    }

    fn render(&self, fault: &Fault, renderer: &Renderer) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let near = |(at, _): &&(Place, String)| at.line.abs_diff(fault.place.line) < MAX_DISTANCE;
        let also = fault.also.as_ref();
        let shown = also.filter(near);
        let first = shown.map_or(fault.place.line, |(at, _)| at.line.min(fault.place.line));
        let last = shown.map_or(fault.place.line, |(at, _)| at.line.max(fault.place.line));
        let (start, end) = (self.line_start(first), self.line_start(last + 1));
        let span = |place: Place| {
            let Range { start: from, end } = self.span(place);
            from - start..end - start
        };
        let mut snippet = Snippet::source(&self.text[start..end])
            .line_start(first)
            .path(self.file_name)
            .annotation(AnnotationKind::Primary.span(span(fault.place)));
        if let Some((at, word)) = shown {
            snippet = snippet.annotation(AnnotationKind::Context.span(span(*at)).label(word));
        }
        let mut block = level.primary_title(&fault.message).element(snippet);
        if let Some((at, word)) = also.filter(|also| !near(also)) {
            let (file, line, column) = (self.file_name, at.line, at.column);
            block = block.element(Level::NOTE.message(format!("{word}: {file}:{line}:{column}")));
        }
        if !fault.help.is_empty() {
            block = block.element(Level::HELP.message(&fault.help));
        }
        renderer.render(&[block])
    }

    /// Where a line begins; beyond the last one: where the text ends.
    fn line_start(&self, line: usize) -> usize {
        let start = self.starts.get(line.saturating_sub(1));
        start.copied().unwrap_or(self.text.len())
    }

    /// The bytes of a place, within its line.
    fn span(&self, place: Place) -> Range<usize> {
        let start = self.line_start(place.line);
        let line = self.text[start..self.line_start(place.line + 1)].trim_end_matches(['\r', '\n']);
        let byte = |column: usize| {
            let mut chars = line.char_indices();
            chars.nth(column).map_or(line.len(), |(byte, _)| byte)
        };
        let from = place.column.saturating_sub(1);
        start + byte(from)..start + byte(from + place.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_place_far_away_is_named_without_the_lines_between() {
        let text = "a: 1\n".repeat(3 * MAX_DISTANCE);
        let at = |line| Place {
            line,
            column: 1,
            width: 1,
        };
        let fault = Fault::error(at(2500), "a", "`a` is given twice", "keep one");
        let shown = render_faults(&[fault.also(at(1), "first here")], &text, "cluster.yaml");
        let expected = "error: `a` is given twice
    --> cluster.yaml:2500:1
     |
2500 | a: 1
     | ^
     |
     = note: first here: cluster.yaml:1:1
     = help: keep one
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_place_beyond_the_text_is_shown_at_its_end() {
        let place = Place {
            line: 7,
            column: 9,
            width: 3,
        };
        let shown = render_faults(
            &[Fault::error(place, "", "cut off", "")],
            "a: 1",
            "cluster.yaml",
        );
        assert!(shown.starts_with("error: cut off\n"), "{shown}");
    }
}
