//! Addresses and connections.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// True if an interface (this one, if named) has the address.
pub fn has_address(address: IpAddr, interface: Option<&str>) -> Result<bool> {
    let mut all = getifaddrs().context("cannot list the interfaces' addresses")?;
    Ok(all.any(|entry| {
        let named = interface.is_none_or(|name| name == entry.interface_name);
        named && entry.address.as_ref().and_then(ip_address) == Some(address)
    }))
}

/// The first interface that has the address.
pub fn interface_with(address: IpAddr) -> Option<String> {
    let mut all = getifaddrs().ok()?;
    let has = |entry: &nix::ifaddrs::InterfaceAddress| {
        entry.address.as_ref().and_then(ip_address) == Some(address)
    };
    all.find(has).map(|entry| entry.interface_name)
}

/// True if there is an interface of this name.
pub fn has_interface(name: &str) -> Result<bool> {
    let mut all = getifaddrs().context("cannot list the interfaces")?;
    Ok(all.any(|entry| entry.interface_name == name))
}

/// The interfaces' link-layer addresses, as the kernel writes them, by name.
pub fn link_addresses() -> Vec<(String, String)> {
    let all = getifaddrs().into_iter().flatten();
    let link = |entry: nix::ifaddrs::InterfaceAddress| {
        let bytes = entry.address.as_ref()?.as_link_addr()?.addr()?;
        let parts = bytes.map(|byte| format!("{byte:02x}"));
        Some((entry.interface_name, parts.join(":")))
    };
    all.filter_map(link).collect()
}

fn ip_address(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

/// A connection to this address, if there is one within this time.
pub async fn connect_within(to: SocketAddr, within: Duration) -> std::io::Result<TcpStream> {
    match tokio::time::timeout(within, TcpStream::connect(to)).await {
        Ok(connected) => connected,
        Err(_) => {
            let words = format!("no answer within {} ms", within.as_millis());
            Err(std::io::Error::new(ErrorKind::TimedOut, words))
        }
    }
}

/// True if somebody accepts TCP connections there.
pub async fn accepts_connections(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

/// Takes connections at this address.
pub async fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// A connection to a Unix socket.
pub async fn connect_to_socket(socket: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(socket).await
}

/// A socket that gets every packet of this protocol of IP which the machine's firewall lets in; for the family of `address`.
pub fn raw_socket(address: IpAddr, protocol: i32) -> std::io::Result<tokio::net::UdpSocket> {
    let domain = Domain::for_address(SocketAddr::new(address, 0));
    // `Type::RAW` by its number: the crate's own name for it needs a feature that builds half of the agent anew.
    let raw = Type::from(nix::libc::SOCK_RAW);
    let socket = Socket::new(domain, raw.nonblocking(), Some(Protocol::from(protocol)))?;
    tokio::net::UdpSocket::from_std(socket.into())
}

/// A UDP socket, not blocking, that talks to this address alone.
pub fn connected_socket(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => [0; 4].into(),
        SocketAddr::V6(_) => [0_u16; 8].into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Writes a question to a Unix socket and reads until the other side closes. Without a deadline of its own.
pub async fn ask_socket(socket: &Path, question: &[u8]) -> std::io::Result<Vec<u8>> {
    ask_stream(connect_to_socket(socket).await?, question).await
}

/// The same over a connection.
pub async fn ask_stream(mut stream: UnixStream, question: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(question).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_found_on_its_interface_only() {
        let address = "127.0.0.1".parse().unwrap();
        assert!(has_address(address, None).unwrap());
        assert!(has_address(address, Some("lo")).unwrap());
        assert!(!has_address(address, Some("eth9")).unwrap());
        assert!(!has_address("192.0.2.1".parse().unwrap(), None).unwrap());
        assert_eq!(interface_with(address).as_deref(), Some("lo"));
        let lo = ("lo".to_owned(), "00:00:00:00:00:00".to_owned());
        assert!(link_addresses().contains(&lo), "{:?}", link_addresses());
    }
}
