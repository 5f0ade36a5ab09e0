//! Words, widths and colours.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Something is wrong.
const RED: Style = AnsiColor::Red.on_default().bold();
/// Something is good.
const GREEN: Style = AnsiColor::Green.on_default();

/// Colour for one stream: only on a terminal that has some, and unless the person wants none (`NO_COLOR`, `CLICOLOR`).
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// For standard output.
    pub fn stdout() -> Self {
        Self(has_colour(&std::io::stdout()))
    }

    /// For standard error.
    pub fn stderr() -> Self {
        Self(has_colour(&std::io::stderr()))
    }

    /// Something is wrong.
    pub fn red(self, text: &str) -> String {
        self.wrap(RED, text)
    }

    /// Something is good.
    pub fn green(self, text: &str) -> String {
        self.wrap(GREEN, text)
    }

    fn wrap(self, style: Style, text: &str) -> String {
        if self.0 {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

fn has_colour(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Lower-case hexadecimal digits.
pub fn hex_digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `1 node`, `2 nodes`.
pub fn pluralize(n: usize, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

/// `41 s`, `3 min 5 s`, `2 h 4 min`.
pub fn human_duration(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..=119 => format!("{s} s"),
        120..=7199 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

/// A path as people would write it here: below the working directory from there on, else with `~` for the home directory;
/// without `.` and `..` in it, if it leads to the same place without.
pub fn shown_path(path: &Path) -> String {
    let base = std::env::current_dir().ok();
    let home = std::env::var_os("HOME").filter(|h| !h.is_empty() && h != "/");
    shown_from(path, base.as_deref(), home.as_deref().map(Path::new))
}

fn shown_from(path: &Path, base: Option<&Path>, home: Option<&Path>) -> String {
    let straight = normalize_path(path);
    let from = |dir: Option<&Path>| {
        let rest = straight.strip_prefix(dir?).ok()?;
        (!rest.as_os_str().is_empty()).then(|| rest.display().to_string())
    };
    if let Some(rest) = from(base.filter(|b| *b != Path::new("/"))) {
        return rest;
    }
    match from(home) {
        Some(rest) => format!("~/{rest}"),
        None => straight.display().to_string(),
    }
}

/// Without `.` and `..`. A link before a `..` may lead elsewhere: then, and where nothing can be found, it stays as it is.
fn normalize_path(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    let mut goes_back = false;
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if straight.file_name().is_some() => {
                goes_back = true;
                straight.pop();
            }
            part => straight.push(part),
        }
    }
    let same = |a: &Path| Some(a.canonicalize().ok()? == path.canonicalize().ok()?);
    if straight.as_os_str().is_empty() || (goes_back && same(&straight) != Some(true)) {
        return path.to_owned();
    }
    straight
}

/// The text in at most so many columns of a terminal; what does not fit is cut, and `…` stands for it.
pub fn truncate_to_width(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        cut.push(c);
    }
    let mut cut = cut.trim_end().to_owned();
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// The same, filled up with spaces to exactly so many columns.
pub fn pad_to_width(text: &str, columns: usize) -> String {
    let mut text = truncate_to_width(text, columns);
    text.push_str(&" ".repeat(columns.saturating_sub(text.width())));
    text
}

/// Whole seconds, minutes or hours: `90s`, `15m`, `1h30m`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write 90s, 15m or 1h30m");
    let (mut total, mut number) = (0_u64, String::new());
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        total = add_units(total, &number, unit).ok_or_else(wrong)?;
        number.clear();
    }
    if !number.is_empty() {
        total = add_units(total, &number, 1).ok_or_else(wrong)?;
    }
    if total == 0 {
        Err(wrong())
    } else {
        Ok(Duration::from_secs(total))
    }
}

fn add_units(total: u64, number: &str, unit: u64) -> Option<u64> {
    total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)
}

/// A list in lines of at most `width` characters, each but the first indented; no item is torn.
pub fn wrap_list(items: &[String], width: usize, indent: usize) -> String {
    let (mut text, mut column) = (String::new(), indent);
    for (index, item) in items.iter().enumerate() {
        let length = item.chars().count() + 1;
        if index > 0 && column + length > width {
            text.push_str(",\n");
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if index > 0 {
            text.push_str(", ");
            column += 1;
        }
        text.push_str(item);
        column += length;
    }
    text
}

/// One line of what a stranger's program said: control characters would move the cursor or worse.
pub fn printable_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h30m", 5400),
            ("7", 7),
            ("1m5", 65),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "0s",
            "m",
            "5 m",
            "-1s",
            "1d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_with_an_ellipsis_by_columns() {
        for (text, columns, expected) in [
            ("waiting", 7, "waiting"),
            ("waiting for it", 7, "waitin…"),
            ("waiting for it", 9, "waiting…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(
                truncate_to_width(text, columns),
                expected,
                "{text} {columns}"
            );
        }
        assert_eq!(pad_to_width("日本語", 4), "日… ");
        assert_eq!(pad_to_width("ab", 4), "ab  ");
    }

    #[test]
    fn paths_are_shown_as_people_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().canonicalize().unwrap();
        for name in ["examples", "lab/out", "elsewhere/deep"] {
            std::fs::create_dir_all(work.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(work.join("elsewhere/deep"), work.join("link")).unwrap();
        let shown = |path: &str| {
            let path = path.replace("WORK", work.to_str().unwrap());
            let shown = shown_from(Path::new(&path), Some(&work), Some(Path::new("/home/me")));
            shown.replace(work.to_str().unwrap(), "WORK")
        };
        for (path, expected) in [
            ("WORK/examples/../lab/out", "lab/out"),
            ("WORK/./lab/out", "lab/out"),
            ("WORK/lab/out", "lab/out"),
            ("WORK", "WORK"),
            ("/home/me/.local/x", "~/.local/x"),
            ("/home/mean", "/home/mean"),
            (
                "WORK/link/../lab/out",
                "WORK/link/../lab/out".strip_prefix("WORK/").unwrap(),
            ),
            ("WORK/not/../there", "not/../there"),
            ("demo.yaml", "demo.yaml"),
            ("./demo.yaml", "demo.yaml"),
            ("/", "/"),
            (".", "."),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }

    #[test]
    fn lists_are_wrapped() {
        let items = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(wrap_list(&items, 80, 4), "one, two, three");
        assert_eq!(wrap_list(&items, 15, 4), "one, two,\n    three");
        assert_eq!(wrap_list(&items, 1, 2), "one,\n  two,\n  three");
        assert_eq!(wrap_list(&[], 80, 4), "");
    }

    #[test]
    fn durations_are_shown() {
        assert_eq!(human_duration(Duration::from_secs(41)), "41 s");
        assert_eq!(human_duration(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(human_duration(Duration::from_secs(7440)), "2 h 4 min");
    }
}
