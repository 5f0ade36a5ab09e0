//! Which line of a failing program says why, for people. No code reads it; `phases::cause` compares it with that of earlier runs: a
//! program whose runs end with the same line ends alike.

use std::borrow::Cow;

use serde_json::Value;

/// What programs put before their last word.
const VERDICTS: [&str; 7] = [
    "error:",
    "Error:",
    "error execution phase",
    "panic:",
    "fatal error:",
    "fatal:",
    "FATAL:",
];
/// A line of a kubeadm check that failed; the line after it only counts them.
const FAILED_CHECK: &str = "[ERROR ";
/// One of several reasons, below a line that announces them with a colon (podman).
const REASON: &str = "* ";
/// What surrounds a failure and says nothing about it.
const BOILERPLATE: [&str; 6] = [
    "To see the stack trace",
    "- '",
    "Usage:",
    "goroutine ",
    "exit status",
    "[preflight] If you know what you are doing",
];

/// The line that says why: the last verdict, else the last that is logged as an error, else the last that is neither usage
/// nor boilerplate; with the reasons that it announces. None: there is no line.
pub fn telling_line<'a>(lines: &[&'a str]) -> Option<Cow<'a, str>> {
    let ranked = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    // Of equals the last one counts.
    let (at, line) = ranked.max_by_key(|(_, line)| rank_line(line))?;
    let line = line.trim();
    let after = lines[at + 1..].iter();
    let reasons: Vec<&str> = after
        .map_while(|line| line.trim_start().strip_prefix(REASON))
        .collect();
    Some(match line.ends_with(':') && !reasons.is_empty() {
        true => format!("{line} {}", reasons.join("; ")).into(),
        false => line.into(),
    })
}

fn rank_line(line: &str) -> u8 {
    let bare = line.trim_start();
    let begins = |words: &[&str]| words.iter().any(|word| bare.starts_with(word));
    if bare.starts_with(FAILED_CHECK) {
        4
    } else if begins(&VERDICTS) {
        3
    } else if is_severe(line) {
        2
    } else if begins(&BOILERPLATE) || line.starts_with(char::is_whitespace) {
        0
    } else {
        1
    }
}

/// Logged as an error or worse: klog's `E1126 07:41:02.361514 ...` and `F...`, or JSON's `level`.
pub fn is_severe(line: &str) -> bool {
    let level = json_field(line, "level");
    match klog_header(line) {
        Some(level) => matches!(level, 'E' | 'F'),
        None => level.is_some_and(|l| matches!(l.as_str(), "error" | "fatal" | "panic")),
    }
}

fn klog_header(line: &str) -> Option<char> {
    let level = line.chars().next().filter(char::is_ascii_uppercase)?;
    let day = line.get(1..5)?;
    (day.bytes().all(|b| b.is_ascii_digit()) && line.get(5..6) == Some(" ")).then_some(level)
}

fn json_field(line: &str, name: &str) -> Option<String> {
    let json: Value = serde_json::from_str(line)
        .ok()
        .filter(|_| line.starts_with('{'))?;
    json.get(name)?.as_str().map(str::to_owned)
}

/// A line without what changes at each run (time, process id, place in the source): the quoted error of a klog line, message
/// and error of a JSON line, everything else as it is without the word `error:`.
pub fn bare_words(line: &str) -> String {
    if klog_header(line).is_some() {
        return klog_words(line);
    }
    if let Some(message) = json_field(line, "msg") {
        let error = json_field(line, "error");
        return error.map_or_else(|| message.clone(), |error| format!("{message}: {error}"));
    }
    let bare = line.trim();
    let bare = bare.strip_prefix("error: ").unwrap_or(bare);
    bare.strip_prefix("Error: ").unwrap_or(bare).to_owned()
}

/// `E1126 07:41:02.361514 7 run.go:72] "command failed" err="unknown flag"` says `unknown flag`.
fn klog_words(line: &str) -> String {
    let text = line.split_once("] ").map_or(line, |(_, text)| text);
    match text.split_once(" err=\"") {
        Some((_, quoted)) => unquoted_go_string(quoted),
        None => text.trim().to_owned(),
    }
}

/// To the quotation mark that ends it, as Go writes strings.
fn unquoted_go_string(text: &str) -> String {
    let mut words = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n' | 't') => words.push(' '),
                other => words.extend(other),
            },
            c => words.push(c),
        }
    }
    words
}

#[cfg(test)]
mod tests;
