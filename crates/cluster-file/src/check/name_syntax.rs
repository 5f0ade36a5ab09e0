//! The forms of names that Kubernetes, DNS and systemd ask for.

/// What a DNS label is made of, as help says it.
pub(super) const LABEL_HELP: &str = "use lower-case letters, digits and `-` in between, at most 63";

/// RFC 1123: what a hostname, a Node object and an etcd member can all be called.
pub(super) fn is_dns_label(text: &str) -> bool {
    let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.chars().all(|c| alnum(c) || c == '-')
        && text.starts_with(alnum)
        && text.ends_with(alnum)
}

/// [`LABEL_HELP`] with the nearest right name, if there is one.
pub(super) fn label_help(text: &str) -> String {
    let dashed: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let near: String = dashed.trim_matches('-').chars().take(63).collect();
    if is_dns_label(&near) {
        format!("{LABEL_HELP}, e.g. {near}")
    } else {
        LABEL_HELP.to_owned()
    }
}

/// How an interface may be called, as help says it.
pub(super) const INTERFACE_HELP: &str =
    "write one name as `ip link` shows it: at most 15 letters, digits, `_`, `.` and `-`, e.g. eth0";

/// A name of an interface that the kernel, networkd, `ip -batch`, keepalived and libvirt all read as that one name: none of
/// their wildcards, options, comments and quotes, nor what they take for a number or for every interface.
pub(super) fn is_interface_name(text: &str) -> bool {
    /// IFNAMSIZ less its zero.
    const MAX: usize = 15;
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (1..=MAX).contains(&text.len())
        && text.chars().all(fine)
        && !text.starts_with(['-', '.'])
        && !text.chars().all(|c| c.is_ascii_digit())
        && !matches!(text, "all" | "default")
}

/// Dotted DNS labels, at most 253 characters.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Kubernetes' label values: empty, or 63 letters, digits, `-`, `_`, `.` with a letter or digit at both ends.
pub(super) fn is_label_value(text: &str) -> bool {
    let alnum = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.chars().all(|c| alnum(c) || "-_.".contains(c))
            && text.starts_with(alnum)
            && text.ends_with(alnum)
}

/// Kubernetes' qualified names: `[PREFIX/]NAME`.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_dns_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_names() {
        for (text, label, value, qualified) in [
            ("node1", true, true, true),
            ("Node1", false, true, true),
            ("-a", false, false, false),
            ("a_b", false, true, true),
            ("", false, true, false),
            ("example.com/a", false, false, true),
            ("Example.com/a", false, false, false),
            ("example.com/", false, false, false),
            ("a/b/c", false, false, false),
        ] {
            assert_eq!(
                (
                    is_dns_label(text),
                    is_label_value(text),
                    is_qualified_name(text)
                ),
                (label, value, qualified),
                "{text}"
            );
        }
        assert_eq!(
            label_help("My Node!"),
            format!("{LABEL_HELP}, e.g. my-node")
        );
        for name in ["eth0", "br-lan.100", "enp0s31f6", "_a", "0a"] {
            assert!(is_interface_name(name), "{name}");
        }
        for name in [
            "",
            "!eth0",
            "eth#",
            "et;h",
            "eth'",
            "e h",
            "-eth0",
            ".",
            "..",
            "12",
            "all",
            "default",
            "eth0/1",
            "ähm",
            "a234567890123456",
        ] {
            assert!(!is_interface_name(name), "{name}");
        }
    }
}
