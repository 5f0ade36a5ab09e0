//! Where a server is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::APISERVER_NAME;

/// A server by its URL. A name brings along the addresses that it means: none is ever looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// `https://ADDRESS:PORT`, what a request's path is put behind.
    pub(super) base: String,
    pub(super) meaning: Option<(String, Vec<SocketAddr>)>,
}

impl Server {
    /// The certificate is checked against the name; the addresses are tried until one connects.
    pub fn named(name: &str, port: u16, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let addresses = addresses.into_iter();
        let addresses = addresses.map(|ip| SocketAddr::new(ip, port)).collect();
        Self {
            base: format!("https://{name}:{port}"),
            meaning: Some((name.to_owned(), addresses)),
        }
    }

    /// The endpoint of a cluster.
    pub fn of_endpoint(endpoint: &ha_wire::settings::Endpoint) -> Self {
        match &endpoint.name {
            Some(name) => Self::named(name, endpoint.port, endpoint.addresses()),
            None => crate::url_of(endpoint.socket()).into(),
        }
    }

    pub(super) fn first_address(&self) -> Option<SocketAddr> {
        if let Some((_, addresses)) = &self.meaning {
            return addresses.first().copied();
        }
        let url = reqwest::Url::parse(&self.base).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']);
        let ip = match host {
            APISERVER_NAME => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.parse().ok()?,
        };
        Some(SocketAddr::new(ip, url.port_or_known_default()?))
    }
}

impl From<&str> for Server {
    fn from(url: &str) -> Self {
        url.to_owned().into()
    }
}

impl From<&String> for Server {
    fn from(url: &String) -> Self {
        url.clone().into()
    }
}

impl From<String> for Server {
    fn from(base: String) -> Self {
        Self {
            base,
            meaning: None,
        }
    }
}
