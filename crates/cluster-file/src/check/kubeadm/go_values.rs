//! Values as Go's flag parsers read them.

use std::ops::RangeInclusive;

/// As Go's `strconv.ParseBool` does.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

pub(super) fn is_false(text: &str) -> bool {
    parse_bool(text) == Some(false)
}

/// `30000-32767`, or `30000+2767`, as apimachinery's `PortRange` reads it.
pub(super) fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |digits: &str| digits.trim().parse::<u16>().ok();
    let range = match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), _) => number(first)?..=number(last)?,
        (None, Some((first, more))) => {
            number(first)?..=number(first)?.checked_add(number(more)?)?
        }
        (None, None) => number(text)?..=number(text)?,
    };
    (!range.is_empty() && *range.start() > 0).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports_are_read() {
        assert_eq!(parse_port_range("30000-32767"), Some(30000..=32767));
        assert_eq!(parse_port_range("30000+10"), Some(30000..=30010));
        assert_eq!(parse_port_range("80"), Some(80..=80));
        for wrong in ["", "a-b", "2-1", "1-70000", "0-5", "1-2-3"] {
            assert_eq!(parse_port_range(wrong), None, "{wrong}");
        }
    }
}
