//! HTTPS to an apiserver from the operator's machine: a fresh connection each time, verified by the cluster's CA.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::operator::Operator;

/// The longest that one request may take in all; a client that gives up later is no client that people have.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who asks, from where, trusting whom.
#[derive(Debug, Clone)]
pub struct Client {
    network: Arc<std::fs::File>,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// A client on the operator's machine that trusts this CA (PEM) alone.
    pub fn new(operator: &Operator, ca: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(ca) {
            roots.add(cert.context("the CA is no PEM")?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            network: Arc::new(operator.network()?),
            tls: Arc::new(tls),
        })
    }

    /// Moves the calling thread, and all threads that it starts, into the operator's network for good.
    pub fn enter(&self) -> Result<()> {
        setns(self.network.as_fd(), CloneFlags::CLONE_NEWNET)
            .context("enter the operator's network")
    }

    /// `GET path`: status and body. The calling thread stays where it is.
    pub fn get(&self, server: SocketAddr, path: &str) -> Result<(u16, String)> {
        let (client, path) = (self.clone(), path.to_owned());
        let asked = std::thread::spawn(move || {
            client.enter()?;
            client.get_here(server, &path)
        });
        asked
            .join()
            .map_err(|_| anyhow::anyhow!("the asking thread panicked"))?
    }

    /// `GET path` from a thread that has entered.
    pub fn get_here(&self, server: SocketAddr, path: &str) -> Result<(u16, String)> {
        let mut socket = TcpStream::connect_timeout(&server, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let mut tls = ClientConnection::new(
            Arc::clone(&self.tls),
            ServerName::IpAddress(server.ip().into()),
        )?;
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
        let mut answer = Vec::new();
        // A peer that closes without TLS's good-bye is fine: HTTP/1.0 ends with the connection.
        if let Err(error) = stream.read_to_end(&mut answer)
            && answer.is_empty()
        {
            return Err(error.into());
        }
        parse(&String::from_utf8_lossy(&answer))
    }

    /// Whether `/readyz` says 200.
    pub fn ready(&self, server: SocketAddr) -> Result<()> {
        match self.get(server, "/readyz")? {
            (200, _) => Ok(()),
            (code, body) => bail!("https://{server}/readyz: {code} {}", body.trim()),
        }
    }
}

fn parse(answer: &str) -> Result<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let code = head.split(' ').nth(1).context("no status line")?;
    Ok((
        code.parse().with_context(|| format!("status {code:?}"))?,
        body.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_code_and_body() {
        assert_eq!(
            parse("HTTP/1.0 200 OK\r\nA: b\r\n\r\nok").unwrap(),
            (200, "ok".into())
        );
        assert!(parse("").is_err());
    }
}
