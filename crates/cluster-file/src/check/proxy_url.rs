//! A proxy's URL, taken apart: `http://[USER[:PASSWORD]@]HOST[:PORT]`. Stricter than any one program that reads it, because
//! several do: Go's, curl's and Ignition's readers part at whatever is not escaped.

use std::net::Ipv6Addr;

use super::name_syntax::is_dns_name;

/// Where a proxy is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UrlParts<'u> {
    /// A name or an address, an IPv6 one without its brackets.
    pub host: &'u str,
    pub port: Option<u16>,
}

/// What is wrong, after the key's path, and what would be right. Neither holds anything of the URL but its scheme.
type WrongUrl = (String, &'static str);

const FORM: &str = "write http://HOST:PORT, e.g. http://10.1.0.5:3128; user and password, if it asks for them, before the host \
                    as in every URL";

/// The parts of a URL.
pub(super) fn split_url(text: &str) -> Result<UrlParts<'_>, WrongUrl> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong_url("has no scheme", FORM);
    };
    check_scheme(scheme)?;
    let allowed = |c: char| c.is_ascii_graphic() && !"\"'<>\\^`{|}$".contains(c);
    if !rest.chars().all(allowed) {
        let what =
            "holds a character that a URL cannot have (a space, a quote, a letter beyond ASCII)";
        return wrong_url(what, "write it percent-encoded, e.g. %20 for a space");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (userinfo, at) = authority
        .rsplit_once('@')
        .map_or(("", authority), |both| both);
    if userinfo.contains('@') || tail.contains('@') {
        let what = "has `@`, `/`, `?` or `#` in its user or password";
        return wrong_url(
            what,
            "write them percent-encoded: %40 for @, %2F for /, %3F for ?, %23 for #",
        );
    }
    if !is_percent_encoded(userinfo) {
        let what = "has a `%` in its user or password that two hexadecimal digits do not follow";
        return wrong_url(what, "write %25 for a percent sign");
    }
    if !matches!(tail, "" | "/") {
        let what = "goes on behind host and port";
        return wrong_url(
            what,
            "name the proxy itself: a PAC file is read by nobody on a node",
        );
    }
    split_authority(at)
}

fn wrong_url<T>(what: &str, help: &'static str) -> Result<T, WrongUrl> {
    Err((what.to_owned(), help))
}

fn check_scheme(scheme: &str) -> Result<(), WrongUrl> {
    if matches!(scheme, "http" | "https") {
        return Ok(());
    }
    let is_scheme = scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if scheme.is_empty() || !is_scheme {
        return wrong_url("has no scheme", FORM);
    }
    let help = "write http:// or https://, in small letters: a node's programs and Ignition speak to no other kind of proxy alike";
    Err((format!("has the scheme `{scheme}`"), help))
}

fn split_authority(text: &str) -> Result<UrlParts<'_>, WrongUrl> {
    let v6 = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match v6 {
        Some((host, port)) => (host, port),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_host = match v6 {
        Some(_) => host.parse::<Ipv6Addr>().is_ok(),
        None => is_dns_name(&host.to_ascii_lowercase()),
    };
    if !is_host {
        return wrong_url("names no host that can be", FORM);
    }
    if port.is_empty() {
        return Ok(UrlParts { host, port: None });
    }
    let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
    match port {
        Some(1..) => Ok(UrlParts { host, port }),
        _ => wrong_url("has no port from 1 to 65535", FORM),
    }
}

fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_taken_apart() {
        for (text, host, port) in [
            ("http://10.1.0.5:3128", "10.1.0.5", Some(3128)),
            (
                "https://me:p%40ss@Proxy.example.com:443/",
                "Proxy.example.com",
                Some(443),
            ),
            ("http://me@proxy", "proxy", None),
            ("http://a:b:c@[fd00::1]:3128", "fd00::1", Some(3128)),
        ] {
            assert_eq!(split_url(text), Ok(UrlParts { host, port }), "{text}");
        }
    }

    #[test]
    fn what_two_programs_read_differently_is_refused_without_showing_it() {
        for text in [
            "hush",
            "//hush",
            "me:hush://h",
            "http://",
            "http://me:hush@",
            "http://me:hush@h:0",
            "http://me:hush@h:+1x",
            "http://me:hush@h:",
            "http://me:hu$sh@h:1",
            "http://me:hush%2@h:1",
            "http://me:hush%@h:1",
            "http://me:hush%é@h:1",
            "http://me:hush?@h:1",
            "http://me:hush@h:1#a",
            "http://me:hush@[::1:1",
            "http://me:hush@-h:1",
        ] {
            let (what, help) = split_url(text).unwrap_err();
            assert!(!format!("{what} {help}").contains("hu"), "{text}: {what}");
        }
    }
}
