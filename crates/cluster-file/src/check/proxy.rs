//! `proxy`: URLs that every program on a node reads alike, and exceptions that they all understand. No URL is told: it may hold a
//! password.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::name_syntax::is_dns_name;
use super::proxy_url::{UrlParts, split_url};
use crate::cluster::ProxyUrl;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, ProxyFile, Spanned};

const EXCEPTION_HELP: &str = "write an address, a network, a name or a domain with a dot before it, e.g. 10.1.0.7, 10.0.0.0/8, \
                              registry.example.com, .example.com";

pub(super) fn check_proxy(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(proxy) = &file.proxy else {
        return;
    };
    check_targets(proxy, faults);
    for url in proxy.http.iter().chain(&proxy.https) {
        match split_url(url.value.expose()) {
            Ok(parts) => check_proxy_host(file, url, &parts, faults),
            Err((message, help)) => faults.push(url.error(message, help)),
        }
    }
    for exception in &proxy.except {
        check_exception(exception, faults);
    }
}

/// Whether it is asked for anything, and for what registries speak.
fn check_targets(proxy: &ProxyFile, faults: &mut Vec<Fault>) {
    match (&proxy.http, &proxy.https) {
        (None, None) => faults.push(Fault::error(
            proxy.place,
            "proxy",
            "proxy names no proxy",
            "write `https: http://HOST:PORT` below it, and `http:` with the same URL, or leave `proxy` out",
        )),
        (Some(http), None) => faults.push(
            http.error(
                "is asked for http:// alone: registries speak https://, so no image is pulled through it",
                "write `https:` with the same URL too: whatever the proxy itself speaks, it is asked for https:// then",
            )
            .warning(),
        ),
        (_, Some(_)) => {}
    }
}

/// What is not a fault of the URL, but seldom what was meant.
fn check_proxy_host(
    file: &ClusterFile,
    url: &Spanned<ProxyUrl>,
    parts: &UrlParts<'_>,
    faults: &mut Vec<Fault>,
) {
    if parts.port.is_none() {
        let message = "names no port, and programs differ in which they take (80, 443, 1080)";
        faults.push(url.error(message, "write it, e.g. :3128").warning());
    }
    let address = parts.host.parse::<IpAddr>().ok();
    let kubernetes = &file.kubernetes;
    let is_in = |nets: [&Option<Spanned<IpNet>>; 2]| {
        let mut nets = nets.into_iter().flatten();
        address.is_some_and(|a| nets.any(|net| net.value.contains(&a)))
    };
    let is_own = !file.load_balancer.is_external();
    let is_vip =
        is_own && address.is_some() && address == file.endpoint.vip.as_ref().map(|vip| vip.value);
    let what = if parts.host == "localhost" || address.is_some_and(|a| a.is_loopback()) {
        "is each node itself: nothing is fetched before a proxy runs there"
    } else if is_vip {
        "is the cluster's VIP, where nobody answers before the cluster stands"
    } else if is_in([&kubernetes.pod_cidr, &kubernetes.second_pod_cidr]) {
        "is in kubernetes.podCIDR, which no node reaches before the cluster stands"
    } else if is_in([&kubernetes.service_cidr, &kubernetes.second_service_cidr]) {
        "is in kubernetes.serviceCIDR, which no node reaches before the cluster stands"
    } else {
        return;
    };
    let help = "name a proxy outside of the cluster: nodes fetch their first images through it";
    faults.push(url.error(what, help).warning());
}

fn check_exception(exception: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = exception.value.as_str();
    let everything = |net: IpNet| net.prefix_len() == 0;
    let (what, help) = if text == "*" || text.parse().is_ok_and(everything) {
        let what = "excepts everything: the proxy is never asked";
        let help = "leave `proxy` out, or name what is reached without it";
        return faults.push(exception.error(what, help).warning());
    } else if text.is_empty() {
        ("is empty".to_owned(), EXCEPTION_HELP)
    } else if text.contains("://") {
        (
            "is a URL".to_owned(),
            "write the host alone, e.g. registry.example.com",
        )
    } else if text.contains([',', ' ', ';']) {
        (
            format!("`{text}` is more than one"),
            "give each an item of its own",
        )
    } else if text.contains('*') {
        let help = "write .example.com for a domain and all below it, 10.0.0.0/8 for addresses";
        (
            format!("`{text}` holds a `*`, which not every program reads"),
            help,
        )
    } else if text.contains('/') && text.parse::<IpNet>().is_err() {
        (
            format!("`{text}` is not a network"),
            "write address and prefix length, e.g. 10.0.0.0/8",
        )
    } else if is_exception(text) {
        return;
    } else {
        (
            format!("`{text}` is not an address, a network or a name"),
            EXCEPTION_HELP,
        )
    };
    faults.push(exception.error(what, help));
}

/// As Go and curl both read it: an address, a network, or a name; a name or an address with a port too.
fn is_exception(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    let (name, port) = name
        .split_once(':')
        .map_or((name, None), |(n, p)| (n, Some(p)));
    text.parse::<IpNet>().is_ok()
        || text.parse::<IpAddr>().is_ok()
        || text.parse::<SocketAddr>().is_ok()
        || is_dns_name(&name.to_ascii_lowercase()) && port.is_none_or(|p| p.parse::<u16>().is_ok())
}
