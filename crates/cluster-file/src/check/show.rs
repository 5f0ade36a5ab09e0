//! Faults as people see them.

use std::fmt::Write;

use crate::diagnostic::{Fault, Severity};

/// Lines longer than this are shown as a window around the fault: they would wrap and tear the carets off.
const LINE_WIDTH: usize = 110;

/// The faults as people see them: message, `file:line:column`, the line with carets, the help. No colour.
pub fn show(faults: &[Fault], text: &str, file_name: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let blocks: Vec<String> = faults
        .iter()
        .map(|fault| one(fault, &lines, file_name))
        .collect();
    blocks.join("\n")
}

fn one(fault: &Fault, lines: &[&str], file: &str) -> String {
    let severity = match fault.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (line, column) = (fault.place.line, fault.place.column);
    let digits = line.to_string().len().max(2);
    let margin = " ".repeat(digits + 1);
    let message = printable(&fault.message);
    let mut out = format!("{severity}: {message}\n{margin}{file}:{line}:{column}\n");
    let text = lines.get(line - 1).copied().unwrap_or_default();
    if let Some((shown, from, carets)) = window(text, column, fault.place.width) {
        let also = also(fault, file);
        let (pad, carets) = (" ".repeat(from), "^".repeat(carets));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{line:>digits$} │ {shown}");
        let _ = writeln!(out, "{margin}│ {pad}{carets}{also}");
    }
    if !fault.help.is_empty() {
        let _ = writeln!(out, "{margin}= {}", printable(&fault.help));
    }
    out
}

fn also(fault: &Fault, file: &str) -> String {
    fault.also.as_ref().map_or_else(String::new, |(at, word)| {
        let word = printable(word);
        format!(" also {file}:{}:{} ({word})", at.line, at.column)
    })
}

/// The line, or the part of it that fits, where in it the carets begin, and how many there are. None: an empty line.
fn window(line: &str, column: usize, width: usize) -> Option<(String, usize, usize)> {
    let chars: Vec<char> = printable(line).chars().collect();
    if chars.is_empty() {
        return None;
    }
    let at = column.saturating_sub(1).min(chars.len());
    if chars.len() <= LINE_WIDTH {
        let carets = width.min(chars.len() - at).max(1);
        return Some((chars.into_iter().collect(), at, carets));
    }
    let first = at
        .saturating_sub(LINE_WIDTH / 3)
        .min(chars.len() - LINE_WIDTH);
    let last = first + LINE_WIDTH;
    let mut shown: Vec<char> = chars[first..last].to_vec();
    if first > 0 {
        shown[0] = '…';
    }
    if last < chars.len() {
        shown[LINE_WIDTH - 1] = '…';
    }
    let carets = width.min(last - at).max(1);
    Some((shown.into_iter().collect(), at - first, carets))
}

/// Control characters would move the cursor or worse.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
