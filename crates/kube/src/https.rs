//! One HTTPS client for one server: trust in one CA, perhaps a client certificate, JSON in and out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorKind};
use crate::{APISERVER_NAME, Identity, certificate};

mod server;

pub use server::Server;

/// A request is given up after this: an apiserver that waits for a slow etcd answers within it, a dead one never.
const DEADLINE: Duration = Duration::from_secs(6);
/// A connection is given up after this: on one segment a living machine answers in a millisecond.
const CONNECT: Duration = Duration::from_secs(2);
/// After a timeout: does anybody accept connections there? The kernel answers at once, also for a program that hangs.
const ACCEPTS_WITHIN: Duration = Duration::from_millis(500);
/// An idle connection is dropped after this: later than a settled node's next look (5 to 7 s), so that a thousand of them make
/// no handshake each time. One that led to the VIP's earlier holder fails once.
pub const IDLE: Duration = Duration::from_secs(10);
/// Requests to one server follow each other: more connections would lie idle.
const IDLE_CONNECTIONS: usize = 1;

/// One server.
#[derive(Debug, Clone)]
pub struct HttpsClient {
    http: reqwest::Client,
    server: Server,
    deadline: Duration,
}

impl HttpsClient {
    /// A client for `https://ADDRESS:PORT`, trusting nobody but `ca` (PEM).
    pub fn new(
        server: impl Into<Server>,
        ca: &str,
        me: Option<&Identity>,
    ) -> Result<Self, ApiError> {
        Self::build(server.into(), ca, me, IDLE_CONNECTIONS)
    }

    /// The same without an identity and without a connection that is kept: each request finds what a newcomer finds.
    pub fn with_fresh_connections(base: &str, ca: &str) -> Result<Self, ApiError> {
        Self::build(base.into(), ca, None, 0)
    }

    /// Whichever apiserver is behind a load balancer at this address: the name that all of them share is what is checked.
    pub fn behind_balancer(balancer: SocketAddr, ca: &str) -> Result<Self, ApiError> {
        let server = Server::named(APISERVER_NAME, balancer.port(), [balancer.ip()]);
        Self::build(server, ca, None, 0)
    }

    fn build(
        server: Server,
        ca: &str,
        me: Option<&Identity>,
        idle_connections: usize,
    ) -> Result<Self, ApiError> {
        let local = |what: &str, e: reqwest::Error| {
            let kind = ErrorKind::Local(format!("the {what} cannot be used: {e}"));
            ApiError::new(&server.base, kind)
        };
        let roots = reqwest::Certificate::from_pem_bundle(ca.as_bytes())
            .map_err(|e| local("CA certificate", e))?;
        let mut builder = client_builder(&server)
            .tls_certs_only(roots)
            .pool_max_idle_per_host(idle_connections);
        if let Some(me) = me {
            let me = reqwest::Identity::from_pem(me.joint_pem().expose().as_bytes())
                .map_err(|e| local("client certificate", e))?;
            builder = builder.identity(me);
        }
        let http = builder.build().map_err(|e| local("TLS client", e))?;
        Ok(Self {
            http,
            server,
            deadline: DEADLINE,
        })
    }

    /// The same client with another deadline.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// A request with an optional JSON body; the text of a 2xx answer.
    pub async fn text(&self, method: Method, path: &str, body: Body) -> Result<String, ApiError> {
        let url = format!("{}{path}", self.server.base);
        match self.answer(method, &url, body).await {
            Ok(text) => Ok(text),
            Err(kind) => Err(ApiError::new(&url, self.with_details(kind).await)),
        }
    }

    /// A request whose answer is JSON.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<T, ApiError> {
        let text = self.text(method, path, body).await?;
        serde_json::from_str(&text).map_err(|e| {
            let url = format!("{}{path}", self.server.base);
            ApiError::new(&url, ErrorKind::Body(e.to_string()))
        })
    }

    /// The server's clock as its answer to a GET tells it, whatever else it answers: milliseconds since 1970 in whole seconds;
    /// none: it does not tell.
    pub async fn server_time_ms(&self, path: &str) -> Result<Option<u64>, ApiError> {
        let url = format!("{}{path}", self.server.base);
        let answer = self.http.get(&url).timeout(self.deadline).send().await;
        let answer =
            answer.map_err(|e| ApiError::new(&url, ErrorKind::classify(&e, self.deadline)))?;
        let date = answer.headers().get(reqwest::header::DATE);
        Ok(date.and_then(|date| parse_http_date_ms(date.to_str().ok()?)))
    }

    async fn answer(&self, method: Method, url: &str, body: Body) -> Result<String, ErrorKind> {
        let mut request = self.http.request(method, url).timeout(self.deadline);
        if let Some((kind, bytes)) = body.0 {
            let bytes = bytes.map_err(|e| ErrorKind::Local(e.to_string()))?;
            request = request.header("content-type", kind).body(bytes);
        }
        let classified = |e: reqwest::Error| ErrorKind::classify(&e, self.deadline);
        let answer = request.send().await.map_err(classified)?;
        let status = answer.status();
        let text = answer.text().await.map_err(classified)?;
        if status.is_success() {
            return Ok(text);
        }
        Err(ErrorKind::Status {
            code: status.as_u16(),
            reason: server_reason(&text),
        })
    }

    /// What the failed request alone could not tell: who signed a foreign certificate, and whether anybody is there at all.
    async fn with_details(&self, kind: ErrorKind) -> ErrorKind {
        match kind {
            ErrorKind::Silent(_) if !accepts_connections(&self.server).await => {
                ErrorKind::ConnectTimeout(self.deadline.min(CONNECT))
            }
            other => other.with_issuer(&self.server).await,
        }
    }
}

impl ErrorKind {
    /// The same, with the name of who signed a foreign certificate.
    pub(crate) async fn with_issuer(self, server: &Server) -> Self {
        match self {
            Self::UnknownIssuer { .. } => Self::UnknownIssuer {
                issuer: issuer_at(server).await,
            },
            Self::BadSignature { .. } => Self::BadSignature {
                issuer: issuer_at(server).await,
            },
            other => other,
        }
    }
}

/// A request's body.
#[derive(Debug, Default)]
pub struct Body(Option<(&'static str, serde_json::Result<Vec<u8>>)>);

impl Body {
    /// None.
    pub fn none() -> Self {
        Self(None)
    }

    /// JSON.
    pub fn json(value: &impl Serialize) -> Self {
        Self(Some(("application/json", serde_json::to_vec(value))))
    }

    /// A JSON merge patch.
    pub fn merge_patch(value: &impl Serialize) -> Self {
        let kind = "application/merge-patch+json";
        Self(Some((kind, serde_json::to_vec(value))))
    }

    /// A strategic merge patch: lists of Kubernetes' own types are merged by their items' names.
    pub fn strategic_patch(value: &impl Serialize) -> Self {
        let kind = "application/strategic-merge-patch+json";
        Self(Some((kind, serde_json::to_vec(value))))
    }
}

/// No name is ever looked up, but that of an apiserver which is forwarded to this machine. (The agent is static: a lookup
/// would load NSS plug-ins of another libc.)
#[derive(Debug)]
struct NoNames;

impl reqwest::dns::Resolve for NoNames {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            if name == APISERVER_NAME {
                // The port is the URL's.
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                return Ok(Box::new(std::iter::once(here)) as reqwest::dns::Addrs);
            }
            Err(format!("{name}: names are not looked up, give an address").into())
        })
    }
}

fn client_builder(server: &Server) -> reqwest::ClientBuilder {
    let mut builder = reqwest::Client::builder();
    if let Some((name, addresses)) = &server.meaning {
        builder = builder.resolve_to_addrs(name, addresses);
    }
    builder
        .no_proxy()
        .https_only(true)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .dns_resolver(NoNames)
        .user_agent(concat!("flatcar-ha/", env!("CARGO_PKG_VERSION")))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse_http_date_ms(text: &str) -> Option<u64> {
    let date = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc2822);
    Some(u64::try_from(date.ok()?.unix_timestamp()).ok()? * 1000)
}

/// The message of a Kubernetes `Status` or of an etcd error, else the first line.
fn server_reason(text: &str) -> String {
    let message = serde_json::from_str::<serde_json::Value>(text)
        .ok()
        .and_then(|v| {
            v.get("message")
                .or_else(|| v.get("error"))
                .and_then(|m| m.as_str().map(str::to_owned))
        });
    message.unwrap_or_else(|| {
        text.lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect()
    })
}

/// Whether a TCP connection to this URL's server comes about.
async fn accepts_connections(server: &Server) -> bool {
    let Some(address) = server.first_address() else {
        return false;
    };
    let connected = tokio::net::TcpStream::connect(address);
    tokio::time::timeout(ACCEPTS_WITHIN, connected)
        .await
        .is_ok_and(|connected| connected.is_ok())
}

/// Who signed the certificate of a server that is not to be trusted. Nothing is sent to it but one request for its
/// health, without any identity.
async fn issuer_at(server: &Server) -> Option<String> {
    let http = client_builder(server)
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .build()
        .ok()?;
    let answer = http.get(&server.base).timeout(CONNECT).send().await.ok()?;
    let leaf = answer
        .extensions()
        .get::<reqwest::tls::TlsInfo>()?
        .peer_certificate()?
        .to_vec();
    certificate::issuer_name(&leaf)
}

#[cfg(test)]
mod tests;
