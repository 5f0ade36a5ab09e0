//! Passwords in URLs, which nobody is shown: neither in a message nor in the line of the file below it.

use std::borrow::Cow;

/// The same text, as long, with a `*` for each character of a password: of `http://me:hush@host` and of `me:hush@host`.
pub(crate) fn hide_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_inclusive('\n').map(hide_in_line).collect())
}

/// What stands between a `://` and the next, then each word: in a URL that is wrong a password may hold spaces.
fn hide_in_line(line: &str) -> String {
    let mut pieces = line.split("://").map(hide_in_words);
    let first = pieces.next().unwrap_or_default();
    let rest = pieces.map(|piece| format!("://{}", hide_userinfo(&piece)));
    std::iter::once(first).chain(rest).collect()
}

fn hide_in_words(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'{}[],".contains(c);
    text.split_inclusive(ends).map(hide_userinfo).collect()
}

/// From behind the first `:` to before the last `@`.
fn hide_userinfo(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    let range = text.rfind('@').and_then(|end| {
        let begin = text[..end].find(':')? + 1;
        Some(begin..end)
    });
    let Some(range) = range else {
        return text.to_owned();
    };
    let stars = "*".repeat(text[range.clone()].chars().count());
    [&text[..range.start], &stars, &text[range.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_the_password_goes_and_the_rest_stays_in_its_column() {
        for (text, shown) in [
            ("http://me:hush@host:1", "http://me:****@host:1"),
            ("a: \"http://me:hü@sh@h\"\nb", "a: \"http://me:*****@h\"\nb"),
            ("https: me:hush@host:1", "https: me:****@host:1"),
            ("{a: \"me:hush@h\", b: 1}", "{a: \"me:****@h\", b: 1}"),
            (
                "{a: \"http://me:hu sh@h\", b: \"http://x:y@z\"}",
                "{a: \"http://me:*****@h\", b: \"http://x:*@z\"}",
            ),
            (
                "ssh-ed25519 AAAA me@example.com",
                "ssh-ed25519 AAAA me@example.com",
            ),
            (
                "qemu+ssh://core@host2/system",
                "qemu+ssh://core@host2/system",
            ),
            ("http://host:1", "http://host:1"),
        ] {
            assert_eq!(hide_passwords(text), shown);
        }
    }
}
