//! Who is behind an address, told by a TLS handshake alone: no request, no identity. An apiserver or an etcd that can answer
//! nothing, for want of a quorum say, still completes one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificate::certificates_in;
use crate::error::{ApiError, ErrorKind};
use crate::url_of;

/// A connection is given up after this: a machine that comes up meanwhile is met by the next attempt.
const CONNECT: Duration = Duration::from_secs(1);
/// A handshake is: a load balancer without a living server has tried all that it tries by then (2.1 s), and closes.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Handshakes with servers that this CA vouches for under this name.
#[derive(Clone)]
pub struct HandshakeProbe {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl std::fmt::Debug for HandshakeProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeProbe")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl HandshakeProbe {
    /// `ca` is PEM; a server may be asked for at any address, so its name is one that its certificate holds wherever it is.
    pub fn new(ca: &str, server_name: &'static str) -> Result<Self, ApiError> {
        let unusable = |why: String| {
            let words = format!("the CA certificate cannot be used: {why}");
            ApiError::new(server_name, ErrorKind::Local(words))
        };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates_in(ca) {
            let added = roots.add(certificate.into());
            added.map_err(|e| unusable(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("there is none in its file".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server_name = ServerName::try_from(server_name).map_err(|e| unusable(e.to_string()))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name,
        })
    }

    /// Shakes hands and hangs up; the certificate that was shown, DER.
    pub async fn shake_hands(&self, address: SocketAddr) -> Result<Vec<u8>, ErrorKind> {
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(address));
        let connected = connecting.await;
        let stream = connected
            .map_err(|_| ErrorKind::ConnectTimeout(CONNECT))?
            .map_err(|e| ErrorKind::of_connect(&e))?;
        let shaking = self.connector.connect(self.server_name.clone(), stream);
        let shaken = tokio::time::timeout(HANDSHAKE, shaking).await;
        let stream = match shaken {
            Err(_) => return Err(ErrorKind::Silent(HANDSHAKE)),
            Ok(Err(error)) => {
                let kind = ErrorKind::of_handshake(&error);
                return Err(kind.with_issuer(&url_of(address).into()).await);
            }
            Ok(Ok(stream)) => stream,
        };
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(shown.first().map(|leaf| leaf.to_vec()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
