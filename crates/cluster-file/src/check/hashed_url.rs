//! A URL with the hash of what has to be there.

use crate::diagnostic::Fault;
use crate::file::Spanned;

/// What differs from one kind of file to another, for people.
pub(super) struct HashedUrl {
    /// What could be named instead of a URL.
    pub instead: &'static str,
    /// Where people find the hash.
    pub where_hash_is: &'static str,
}

pub(super) fn check_hashed_url(
    url: &Spanned<String>,
    sha256: Option<&Spanned<String>>,
    kind: &HashedUrl,
    faults: &mut Vec<Fault>,
) {
    if !ha_wire::settings::is_url(&url.value) {
        let message = format!("`{}` is not an http or https URL", url.value);
        let help = format!("write https://..., or {}", kind.instead);
        faults.push(url.error(message, help));
    }
    let Some(sha256) = sha256 else {
        faults.push(url.error("needs a `sha256` beside it", kind.where_hash_is));
        return;
    };
    let text = sha256.value.as_str();
    if text.len() != 64 || !text.chars().all(|c| c.is_ascii_hexdigit()) {
        let help = match text
            .strip_prefix("sha256-")
            .or_else(|| text.strip_prefix("sha256:"))
        {
            Some(_) => "write the 64 hexadecimal digits alone",
            None => "write 64 hexadecimal digits, as sha256sum prints them",
        };
        faults.push(sha256.error("is not a SHA-256 hash", help));
    }
}
