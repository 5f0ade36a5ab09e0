//! `registries`: names and URLs that both container runtimes read alike.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use super::files::check_local_path;
use super::name_syntax::is_dns_name;
use crate::cluster::Registry;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, RegistryAuthFile, RegistryFile, Spanned};

const HOST_HELP: &str =
    "write what the images' names begin with, e.g. docker.io, registry.example.org:5000";
const MIRROR_HELP: &str = "write https://HOST[:PORT], and behind it a path if images are below one, e.g. https://mirror.example.org/docker";
/// What Docker's registry is asked by, and what its images' names do not begin with.
const NAMES_OF_DOCKER: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "hub.docker.com"];

pub(super) fn check_registries(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let mut seen: HashMap<&str, &Spanned<String>> = HashMap::new();
    for registry in &file.registries {
        check_registry(registry, faults);
        let Some(host) = &registry.host else { continue };
        if let Some(first) = seen.get(host.value.as_str()) {
            let message = format!("`{}` is given twice", host.value);
            let help = "say all of it in one place";
            faults.push(host.error(message, help).also(first.place, "first here"));
        }
        seen.entry(&host.value).or_insert(host);
    }
}

fn check_registry(registry: &RegistryFile, faults: &mut Vec<Fault>) {
    if let Some(host) = &registry.host {
        check_registry_host(host, faults);
        let skips = registry.skip_verify.as_ref().is_some_and(|at| at.given);
        let says = skips || registry.ca.is_some() || registry.auth.is_some();
        if registry.mirrors.is_empty() && !says {
            let message = format!("`{}` stands alone: nothing is said of it", host.value);
            let help = "write `mirrors`, `ca`, `skipVerify` or `auth` beside it, or leave it out";
            faults.push(host.error(message, help));
        }
    }
    for mirror in &registry.mirrors {
        check_mirror(mirror, faults);
    }
    if let Some(ca) = &registry.ca {
        check_local_path(ca, faults);
    }
    if let Some(skip) = registry.skip_verify.as_ref().filter(|skip| skip.value) {
        let message = "lets whoever is on the way give the nodes other images";
        faults.push(
            skip.error(message, "name the registry's CA in `ca` instead")
                .warning(),
        );
    }
    if let Some(auth) = &registry.auth {
        check_auth(auth, faults);
    }
}

fn check_registry_host(host: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = host.value.as_str();
    if NAMES_OF_DOCKER.contains(&text) {
        let message = format!("`{text}` is in no image's name");
        faults.push(host.error(message, "write docker.io"));
    } else if text.contains("://") {
        let help = "write the host alone; a registry without TLS is a mirror of itself: `mirrors: [http://HOST:PORT]`";
        faults.push(host.error("is a URL", help));
    } else if !is_host_and_port(text) {
        let message = format!("`{text}` is not a registry's name");
        faults.push(host.error(message, HOST_HELP));
    }
}

fn check_mirror(mirror: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = mirror.value.as_str();
    let (host, path) = Registry::split_mirror(text);
    let is_part = |part: &str| {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(fine)
    };
    if text.contains('@') {
        // Not shown: it may be a password.
        let message = "has a user in its URL";
        faults.push(mirror.error(message, "write it as `auth` of this registry"));
    } else if !ha_wire::settings::is_url(text) || !is_host_and_port(host) {
        faults.push(mirror.error(format!("`{text}` is not a mirror's URL"), MIRROR_HELP));
    } else if path == "v2" || path.starts_with("v2/") {
        let help = "leave /v2 out: the runtimes write it themselves, before the path";
        faults.push(mirror.error(format!("`{text}` has /v2 in it"), help));
    } else if !path.is_empty() && !path.split('/').all(is_part) {
        let message = format!("`{text}` has a path that no image can be below");
        faults.push(mirror.error(message, MIRROR_HELP));
    } else if text.starts_with("http://") {
        let message = "lets whoever is on the way give the nodes other images";
        faults.push(
            mirror
                .error(message, "write https://, if it speaks that")
                .warning(),
        );
    }
}

fn check_auth(auth: &RegistryAuthFile, faults: &mut Vec<Fault>) {
    if let Some(path) = &auth.password_file {
        check_local_path(path, faults);
    }
    let Some(user) = &auth.user else { return };
    if user.value.is_empty() || user.value.contains(':') || user.value.chars().any(char::is_control)
    {
        let message = "is not a user's name: a registry takes all before the first colon for it";
        faults.push(user.error(
            message,
            "write the name alone, and the password into `passwordFile`",
        ));
    }
}

/// A name or an address, an IPv6 one in brackets, and a port if there is one.
fn is_host_and_port(text: &str) -> bool {
    let v6 = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (is_host, port) = match v6 {
        Some((host, port)) => (host.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_dns_name(host), port)
        }
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}
