//! Somebody else's etcd: where it is asked, and what does not go with it.

use std::net::{IpAddr, SocketAddr};

use crate::diagnostic::Fault;
use crate::file::{ClusterFile, ExternalEtcdFile, Spanned};

const FORM: &str = "write https://ADDRESS:2379, e.g. https://10.77.0.41:2379";

pub(super) fn check_etcd(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(etcd) = &file.kubernetes.etcd else {
        return;
    };
    let Some(external) = etcd.value.external() else {
        return;
    };
    for path in external.files() {
        super::files::check_local_path(path, faults);
    }
    let count = external.endpoints.len();
    let help = "an odd number of members, three for most, keeps a majority when one is lost";
    match count {
        0 => faults.push(etcd.error("names no endpoint", format!("`endpoints: [...]`: {FORM}"))),
        1 => {
            let message = "names one endpoint: while it does not answer, the API does not either";
            faults.push(etcd.error(message, help).warning());
        }
        n if n.is_multiple_of(2) => {
            let message = format!("names {n} endpoints: is a member left out?");
            faults.push(etcd.error(message, help).warning());
        }
        _ => {}
    }
    check_endpoints(file, external, faults);
    faults.extend(local_beside_external(file, etcd));
}

/// kubeadm takes one or the other.
fn local_beside_external<T>(file: &ClusterFile, etcd: &Spanned<T>) -> Option<Fault> {
    let settings = file.kubernetes.cluster_configuration.iter();
    let mut of_etcd = settings.filter(|setting| setting.key.value == "etcd");
    let setting = of_etcd.find(|setting| setting.value.get("local").is_some())?;
    let message = format!(
        "{}.local is for an etcd on the control planes",
        setting.key.path
    );
    let help = "leave it out: whoever runs the external etcd configures it";
    let fault = Fault::error(setting.key.place, &setting.key.path, message, help);
    Some(fault.also(etcd.place, "and etcd is external"))
}

fn check_endpoints(file: &ClusterFile, external: &ExternalEtcdFile, faults: &mut Vec<Fault>) {
    let mut seen: Vec<(SocketAddr, &Spanned<String>)> = Vec::new();
    for at in &external.endpoints {
        let address = match parse_endpoint(&at.value) {
            Ok(address) => address,
            Err((message, help)) => {
                faults.push(at.error(message, help));
                continue;
            }
        };
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == address) {
            let fault = at.error("is named twice", "name each member once");
            faults.push(fault.also(first.place, "first here"));
        }
        faults.extend(own_address(file, at, address));
        seen.push((address, at));
    }
}

/// Where the external etcd's members answer, as far as the file says it well.
pub(super) fn endpoint_addresses(file: &ClusterFile) -> impl Iterator<Item = Spanned<IpAddr>> {
    let etcd = file.kubernetes.etcd.iter();
    let external = etcd.filter_map(|etcd| etcd.value.external());
    let endpoints = external.flat_map(|external| &external.endpoints);
    endpoints.filter_map(|at| Some(at.with(parse_endpoint(&at.value).ok()?.ip())))
}

/// No etcd runs on a node then, and none at the VIP.
fn own_address(file: &ClusterFile, at: &Spanned<String>, address: SocketAddr) -> Option<Fault> {
    let of_nodes = file
        .entries()
        .iter()
        .filter_map(|node| node.address.as_ref());
    let mut own = of_nodes.chain(&file.endpoint.vip);
    let own = own.find(|own| own.value == address.ip())?;
    let help = "name the machines that run the external etcd, or write `etcd: stacked`: etcd on the control planes";
    let fault = at.error("is an address of this cluster", help);
    Some(fault.also(own.place, "this one"))
}

/// What is wrong after the key's path, and what would be right.
type WrongEndpoint = (String, &'static str);

/// `https://ADDRESS:PORT`: nodes have no names to resolve before the cluster stands.
fn parse_endpoint(text: &str) -> Result<SocketAddr, WrongEndpoint> {
    let wrong = |what: &str, help| Err((what.to_owned(), help));
    let Some(rest) = text.strip_prefix("https://") else {
        if text.starts_with("http://") {
            let help = "write https:// and have etcd serve TLS with client certificates: all secrets of the cluster go there";
            return wrong("is without TLS", help);
        }
        return wrong("does not begin with https://", FORM);
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Ok(address) = rest.parse::<SocketAddr>() {
        if address.ip().is_loopback() || address.ip().is_unspecified() || address.port() == 0 {
            return wrong("is nowhere that every control plane reaches", FORM);
        }
        return Ok(address);
    }
    let bare = rest.trim_matches(['[', ']']);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return wrong("has no port", FORM);
    }
    if rest.contains(['/', '?', '#', '@', ',']) {
        return wrong("is more than scheme, address and port", FORM);
    }
    let help = "write its address, https://10.77.0.41:2379 for example: no name is resolved on a node before its cluster stands";
    wrong("is not an address with a port", help)
}
