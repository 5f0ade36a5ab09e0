//! Characters that look like nothing or like another one: what text copied from web pages, documents and chats brings along.

use crate::diagnostic::{Fault, Place};

/// The frequent ones: what Unicode calls them, and what was meant.
const FREQUENT: [(char, &str, &str); 38] = [
    ('\u{a0}', "no-break space", " "),
    ('\u{ad}', "soft hyphen", ""),
    ('\u{2002}', "en space", " "),
    ('\u{2003}', "em space", " "),
    ('\u{2009}', "thin space", " "),
    ('\u{200b}', "zero width space", ""),
    ('\u{200c}', "zero width non-joiner", ""),
    ('\u{200d}', "zero width joiner", ""),
    ('\u{200e}', "left-to-right mark", ""),
    ('\u{200f}', "right-to-left mark", ""),
    ('\u{2010}', "hyphen", "-"),
    ('\u{2011}', "non-breaking hyphen", "-"),
    ('\u{2012}', "figure dash", "-"),
    ('\u{2013}', "en dash", "-"),
    ('\u{2014}', "em dash", "-"),
    ('\u{2018}', "left single quotation mark", "'"),
    ('\u{2019}', "right single quotation mark", "'"),
    ('\u{201c}', "left double quotation mark", "\""),
    ('\u{201d}', "right double quotation mark", "\""),
    ('\u{201e}', "double low-9 quotation mark", "\""),
    ('\u{2024}', "one dot leader", "."),
    ('\u{2026}', "horizontal ellipsis", "..."),
    ('\u{202f}', "narrow no-break space", " "),
    ('\u{2060}', "word joiner", ""),
    ('\u{2044}', "fraction slash", "/"),
    ('\u{2212}', "minus sign", "-"),
    ('\u{2215}', "division slash", "/"),
    ('\u{3000}', "ideographic space", " "),
    ('\u{fe55}', "small colon", ":"),
    ('\u{feff}', "zero width no-break space", ""),
    ('\u{ff0c}', "fullwidth comma", ","),
    ('\u{ff0e}', "fullwidth full stop", "."),
    ('\u{ff1a}', "fullwidth colon", ":"),
    ('\u{456}', "Cyrillic letter that looks like i", "i"),
    ('\u{458}', "Cyrillic letter that looks like j", "j"),
    ('\u{455}', "Cyrillic letter that looks like s", "s"),
    ('\u{3bf}', "Greek letter that looks like o", "o"),
    ('\u{3bd}', "Greek letter that looks like v", "v"),
];
/// Cyrillic letters that look like Latin ones.
const CYRILLIC: &str = "аaеeоoрpсcуyхxкkмmтtАAВBЕEКKМMНHОOРPСCТTХX";
/// More than these are not named one by one.
const MAX_NAMED: usize = 3;

/// Unicode's name and what was probably meant; none: a character that people see as what it is.
fn known_as(c: char) -> Option<(String, String)> {
    if c.is_ascii() {
        return None;
    }
    if let Some((_, name, meant)) = FREQUENT.iter().find(|(known, ..)| *known == c) {
        return Some(((*name).to_owned(), (*meant).to_owned()));
    }
    let mut pairs = CYRILLIC.chars();
    while let (Some(cyrillic), Some(latin)) = (pairs.next(), pairs.next()) {
        if cyrillic == c {
            return Some((
                format!("Cyrillic letter that looks like {latin}"),
                latin.into(),
            ));
        }
    }
    let (name, meant) = match c {
        '\u{370}'..='\u{3ff}' => ("Greek letter", c.to_string()),
        '\u{400}'..='\u{52f}' => ("Cyrillic letter", c.to_string()),
        '\u{ff01}'..='\u{ff5e}' => {
            // The block repeats ASCII, from `!` on.
            let ascii = char::from_u32(u32::from(c) - 0xff01 + 0x21).unwrap_or(c);
            ("fullwidth form", ascii.to_string())
        }
        _ if c.is_whitespace() => ("another kind of space", " ".to_owned()),
        _ if is_invisible(c) => ("invisible", String::new()),
        _ => return None,
    };
    Some((name.to_owned(), meant))
}

/// Control and format characters, variation selectors, private use.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e01ef}')
}

/// `U+00A0 (no-break space)`; none: a character that people see as what it is.
pub(crate) fn describe_character(c: char) -> Option<String> {
    known_as(c).map(|(name, _)| format!("U+{:04X} ({name})", u32::from(c)))
}

/// Whether something in it looks like nothing or like something else.
pub(crate) fn has_unseen(text: &str) -> bool {
    text.chars().any(|c| known_as(c).is_some())
}

/// The text as it was probably meant.
pub(crate) fn plain_text(text: &str) -> String {
    let meant = |c: char| known_as(c).map_or_else(|| c.to_string(), |(_, meant)| meant);
    text.chars().map(meant).collect()
}

/// The first one that is for nobody to read: letters of another script and dashes may well be meant.
pub(crate) fn first_unread(text: &str) -> Option<char> {
    let unread = |c: &char| {
        !c.is_ascii()
            && (c.is_whitespace()
                || is_invisible(*c)
                || matches!(c, '\u{ad}' | '\u{2018}'..='\u{201f}'))
    };
    text.chars().find(unread)
}

/// Whether it begins with a space or nothing that is neither to YAML.
pub(crate) fn begins_unseen(key: &str) -> bool {
    let first = key.chars().next().filter(|c| !c.is_ascii());
    first.is_some_and(|c| c.is_whitespace() || is_invisible(c))
}

/// What is wrong with a key that [`begins_unseen`], and what would be right.
pub(crate) fn indentation_words(text: &str, key: &str) -> (String, String) {
    let first = key.chars().next().unwrap_or(' ');
    let begins = |line: &&str| line.trim_start_matches(' ').starts_with(first);
    let lines = text.lines().filter(begins).count();
    let all = if lines > 1 {
        format!(" on all {lines} lines that begin like this one")
    } else {
        String::new()
    };
    let key = plain_text(key);
    (
        format!("no space that YAML knows stands before `{}`", key.trim()),
        format!("write ordinary spaces{all}: text copied from elsewhere brought others along"),
    )
}

/// The text, line by line.
pub(crate) struct Lines<'t>(Vec<&'t str>);

impl<'t> Lines<'t> {
    pub fn new(text: &'t str) -> Self {
        // No column counts it.
        Self(
            text.strip_prefix('\u{feff}')
                .unwrap_or(text)
                .lines()
                .collect(),
        )
    }

    fn line(&self, number: usize) -> &'t str {
        let line = number.checked_sub(1).and_then(|at| self.0.get(at));
        line.copied().unwrap_or_default()
    }

    /// What is underlined.
    fn span(&self, place: Place) -> String {
        let line = self.line(place.line).chars();
        line.skip(place.column.saturating_sub(1))
            .take(place.width)
            .collect()
    }

    /// Where this character stands first, from a place on.
    pub fn find(&self, c: char, from: Place) -> Option<(usize, usize)> {
        (from.line..=self.0.len()).find_map(|number| {
            let skip = if number == from.line {
                from.column.saturating_sub(1)
            } else {
                0
            };
            let column = self
                .line(number)
                .chars()
                .skip(skip)
                .position(|at| at == c)?;
            Some((number, column + skip + 1))
        })
    }
}

/// Names such characters in every fault that stands on one, and shows the text without them.
pub(crate) fn name_in_faults(text: &str, faults: &mut [Fault]) {
    if text.is_ascii() {
        return;
    }
    let lines = Lines::new(text);
    for fault in faults.iter_mut() {
        let span = lines.span(fault.place);
        // What is not YAML at all is noticed somewhere on its line.
        let syntax = fault.path.is_empty();
        let (shown, first) = if syntax && !has_unseen(&span) {
            let line = lines.line(fault.place.line);
            (line.split(" #").next().unwrap_or_default(), 1)
        } else {
            (span.as_str(), fault.place.column)
        };
        if !has_unseen(shown) {
            continue;
        }
        fault.message = format!("{}: {}", fault.message, name_all(shown, first));
        if !syntax {
            let meant = plain_text(shown);
            let meant = meant.trim().trim_matches('"');
            fault.help = format!(
                "write `{meant}`: text copied from elsewhere brought other characters along"
            );
        }
    }
}

/// `column 12 is U+00A0 (no-break space)`, and the next ones.
fn name_all(span: &str, first_column: usize) -> String {
    let named = |(i, c): (usize, char)| {
        Some(format!(
            "column {} is {}",
            first_column + i,
            describe_character(c)?
        ))
    };
    let mut all: Vec<String> = span.chars().enumerate().filter_map(named).collect();
    let more = all.len().saturating_sub(MAX_NAMED);
    all.truncate(MAX_NAMED);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_known_and_what_is_seen_is_not() {
        for (c, name) in [
            ('\u{a0}', "U+00A0 (no-break space)"),
            ('\u{200b}', "U+200B (zero width space)"),
            ('\u{2019}', "U+2019 (right single quotation mark)"),
            ('\u{441}', "U+0441 (Cyrillic letter that looks like c)"),
            ('\u{439}', "U+0439 (Cyrillic letter)"),
            ('\u{ff11}', "U+FF11 (fullwidth form)"),
            ('\u{2005}', "U+2005 (another kind of space)"),
            ('\u{202e}', "U+202E (invisible)"),
        ] {
            assert_eq!(describe_character(c).as_deref(), Some(name));
        }
        for c in ['a', '\n', '\u{1b}', 'ä', 'é', '中', '€', '✓'] {
            assert_eq!(describe_character(c), None, "{c}");
        }
        assert_eq!(
            plain_text("“1.34.4”\u{200b} \u{441}p\u{ff12}"),
            "\"1.34.4\" cp2"
        );
    }
}
