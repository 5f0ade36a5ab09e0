//! A CA and a small TLS server that plays an apiserver or etcd. Tests only.
#![allow(
    clippy::unwrap_used,
    missing_debug_implementations,
    reason = "helpers of tests"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind::AddrInUse;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::authority::BACKDATE;
use crate::certificate::{certificates_in, validity_of};
use crate::objects::Lease;
use crate::{APISERVER_NAME, Authority, Identity};

mod external_etcd;
mod leases;

pub use external_etcd::external_etcd;
use leases::Leases;

/// As a status: the connection is closed instead of an answer.
pub const HANG_UP: u16 = 0;

/// Longer than any test serves.
const LET_GO: std::time::Duration = std::time::Duration::from_secs(60);

/// When the certificates of tests are made, unless real programs look at them.
fn long_ago() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

/// A new CA.
pub fn test_authority(name: &str) -> Authority {
    Authority::create(name, long_ago()).unwrap()
}

/// A client certificate that is valid now.
pub fn client_identity(authority: &Authority) -> Identity {
    let now = OffsetDateTime::now_utc();
    authority
        .sign_client("ha-agent:node2", None, Duration::hours(2), now)
        .unwrap()
}

/// A node's client certificate and key, as `ha-host` puts them into its Ignition.
pub fn node_identity(authority: &Authority, name: &str) -> Identity {
    let user = format!("system:node:{name}");
    authority
        .sign_client(&user, Some("system:nodes"), Duration::hours(2), long_ago())
        .unwrap()
}

/// A server's certificate and key; it holds the name that every apiserver's holds.
pub fn server_certificate(authority: &Authority, address: IpAddr) -> (rcgen::Certificate, KeyPair) {
    sign_server(authority, address, |_| ())
}

/// One that says to be for servers alone, and its key, PEM.
pub fn server_only_pair(authority: &Authority, address: IpAddr) -> (String, String) {
    let of_servers = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let (cert, key) = sign_server(authority, address, |p| p.extended_key_usages = of_servers);
    (cert.pem(), key.serialize_pem())
}

fn sign_server(
    authority: &Authority,
    address: IpAddr,
    change: impl FnOnce(&mut CertificateParams),
) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let names = vec![address.to_string(), APISERVER_NAME.to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.use_authority_key_identifier_extension = true;
    change(&mut params);
    (params.signed_by(&key, authority.issuer()).unwrap(), key)
}

/// The servers' clock stands where their CA was made, as the other certificates of a test were: long ago, or now.
#[derive(Debug)]
struct WhenMade(std::time::Duration);

impl WhenMade {
    fn of(authority: &Authority) -> Self {
        let (from, _) = validity_of(authority.cert()).unwrap();
        let made = from + BACKDATE;
        Self(std::time::Duration::from_secs(
            made.unix_timestamp().try_into().unwrap(),
        ))
    }
}

impl rustls::time_provider::TimeProvider for WhenMade {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(self.0))
    }
}

/// Asks for a client certificate from `authority`, as an apiserver does: who has none is anonymous, who has a stranger's is
/// refused.
fn server_config(
    authority: &Authority,
    (cert, key): (rcgen::Certificate, KeyPair),
) -> rustls::ServerConfig {
    let clients = clients_of(authority).allow_unauthenticated();
    let verifier = clients.build().unwrap();
    let versions = rustls::DEFAULT_VERSIONS;
    config_with(authority, (cert, key), verifier, versions)
}

fn clients_of(authority: &Authority) -> ClientCertVerifierBuilder {
    let mut roots = rustls::RootCertStore::empty();
    let ca = certificates_in(authority.cert()).remove(0);
    roots.add(ca.into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
}

fn config_with(
    authority: &Authority,
    (cert, key): (rcgen::Certificate, KeyPair),
    clients: Arc<dyn ClientCertVerifier>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ServerConfig {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ServerConfig::builder_with_details(provider, Arc::new(WhenMade::of(authority)))
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap()
}

/// A request as it came.
struct Request {
    /// `METHOD /path`.
    head: String,
    content_type: String,
    body: String,
}

impl Request {
    fn method(&self) -> &str {
        self.head.split(' ').next().unwrap()
    }

    fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// A whole path, or one with the begin of its query.
    fn is_for(&self, begin: &str) -> bool {
        let rest = self.head.strip_prefix(begin);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '&']))
    }

    /// What an apiserver says before it looks at the object.
    fn refusal(&self, is_anonymous: bool) -> Option<(u16, String)> {
        if is_anonymous && !PUBLIC.contains(&self.path()) {
            let why = format!(r#"forbidden: User "system:anonymous" cannot {}"#, self.head);
            return Some(status_object(403, &why));
        }
        let kinds: &[&str] = match self.method() {
            "PATCH" => &[
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
            ],
            "POST" | "PUT" => &["application/json"],
            _ => &[""],
        };
        let fits = kinds.contains(&self.content_type.as_str());
        (!fits).then(|| status_object(415, &format!("content type {:?}", self.content_type)))
    }
}

/// What everybody may ask an apiserver.
const PUBLIC: [&str; 3] = ["/readyz", "/livez", "/healthz"];
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

fn status_object(code: u16, message: &str) -> (u16, String) {
    let status = serde_json::json!({"kind": "Status", "message": message, "code": code});
    (code, status.to_string())
}

/// A server with answers given beforehand, each by `METHOD /path` (a query may be left out, or cut at a `&`); the closest counts, and
/// the last one of a kind is kept. Leases it keeps as an apiserver does. What nobody foresaw is not found if it is a question, and else fails.
#[derive(Clone, Default)]
pub struct Script {
    answers: Rc<RefCell<VecDeque<(String, u16, String)>>>,
    leases: Rc<RefCell<Leases>>,
    /// What its clock shows, as a `date` header; empty: it does not tell.
    pub date: Rc<RefCell<String>>,
    /// Every request: `METHOD /path BODY`.
    pub asked: Rc<RefCell<Vec<String>>>,
}

impl Script {
    /// Requests so far whose method and path begin so.
    pub fn asked(&self, begin: &str) -> Vec<String> {
        self.asked
            .borrow()
            .iter()
            .filter(|r| r.starts_with(begin))
            .cloned()
            .collect()
    }

    /// Adds an answer.
    pub fn on(&self, request: &str, status: u16, body: &str) -> &Self {
        self.answers
            .borrow_mut()
            .push_back((request.into(), status, body.into()));
        self
    }

    /// Answers like this from now on, whatever was still to come for this request.
    pub fn from_now_on(&self, request: &str, status: u16, body: &str) -> &Self {
        self.answers.borrow_mut().retain(|(r, ..)| r != request);
        self.on(request, status, body)
    }

    /// Puts a Lease there that this one holds, `NODE/BOOT`; empty: nobody.
    pub fn held_lease(&self, name: &str, holder: &str) -> &Self {
        let mut lease = Lease::default();
        lease.metadata.name = name.into();
        lease.spec.holder_identity = Some(holder.into());
        self.leases.borrow_mut().store(lease);
        self
    }

    /// A Lease as it is now.
    pub fn lease(&self, name: &str) -> Option<Lease> {
        self.leases.borrow().objects.get(name).cloned()
    }

    fn answer(&self, request: &Request, is_anonymous: bool) -> (u16, String) {
        if let Some(refusal) = request.refusal(is_anonymous) {
            return refusal;
        }
        let mut answers = self.answers.borrow_mut();
        let fits = |(begin, ..): &(String, u16, String)| request.is_for(begin);
        let fitting = answers.iter().filter(|a| fits(a));
        let Some(closest) = fitting
            .map(|(begin, ..)| begin.clone())
            .max_by_key(String::len)
        else {
            return match request.method() {
                _ if request.path().starts_with(LEASES) => self.leases.borrow_mut().answer(request),
                "GET" => status_object(404, "not found"),
                _ => status_object(501, &format!("nobody foresaw {}", request.head)),
            };
        };
        let of_its_kind = |(begin, ..): &(String, u16, String)| *begin == closest;
        let at = answers.iter().position(of_its_kind).unwrap();
        let is_last = !answers.iter().skip(at + 1).any(of_its_kind);
        let (_, status, body) = if is_last {
            answers[at].clone()
        } else {
            answers.remove(at).unwrap()
        };
        (status, body)
    }

    /// Serves on a free port of the loopback address until the test ends. Needs a `LocalSet`.
    pub async fn serve(&self, authority: &Authority) -> SocketAddr {
        self.serve_at(authority, "127.0.0.1:0").await
    }

    /// The same at an address; each test takes its own of 127.0.0.0/8.
    pub async fn serve_at(&self, authority: &Authority, address: &str) -> SocketAddr {
        let listener = bind_patiently(address).await;
        let address = listener.local_addr().unwrap();
        let identity = server_certificate(authority, address.ip());
        self.accept(listener, server_config(authority, identity));
        address
    }

    /// The same; gives the certificate that it shows, PEM.
    pub async fn serve_showing(&self, authority: &Authority, address: &str) -> String {
        let listener = bind_patiently(address).await;
        let identity = server_certificate(authority, listener.local_addr().unwrap().ip());
        let shown = identity.0.pem();
        self.accept(listener, server_config(authority, identity));
        shown
    }

    /// The same with a certificate that has ended.
    pub async fn serve_expired(&self, authority: &Authority) -> SocketAddr {
        self.serve_expired_at(authority, "127.0.0.1:0").await
    }

    /// The same at an address.
    pub async fn serve_expired_at(&self, authority: &Authority, address: &str) -> SocketAddr {
        let ended = |params: &mut CertificateParams| params.not_after = long_ago();
        self.serve_changed(authority, address, ended).await
    }

    /// The same with a certificate that is valid from two hours ahead on.
    pub async fn serve_to_come(&self, authority: &Authority) -> SocketAddr {
        let begin = OffsetDateTime::now_utc() + std::time::Duration::from_secs(7200);
        let to_come = |params: &mut CertificateParams| params.not_before = begin;
        self.serve_changed(authority, "127.0.0.1:0", to_come).await
    }

    async fn serve_changed(
        &self,
        authority: &Authority,
        address: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> SocketAddr {
        let listener = bind_patiently(address).await;
        let address = listener.local_addr().unwrap();
        let identity = sign_server(authority, address.ip(), change);
        self.accept(listener, server_config(authority, identity));
        address
    }

    /// The same as an etcd that talks to nobody without a client certificate, in this version of TLS.
    pub async fn serve_demanding(
        &self,
        authority: &Authority,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = server_certificate(authority, address.ip());
        let clients = clients_of(authority).build().unwrap();
        self.accept(
            listener,
            config_with(authority, identity, clients, &[version]),
        );
        address
    }

    fn accept(&self, listener: TcpListener, config: rustls::ServerConfig) {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let script = self.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), script.clone());
                tokio::task::spawn_local(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let is_anonymous = stream.get_ref().1.peer_certificates().is_none();
                        script.talk(stream, is_anonymous).await;
                    }
                });
            }
        });
    }

    async fn talk(&self, stream: impl AsyncRead + AsyncWrite + Unpin, is_anonymous: bool) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream).await {
            let (status, text) = self.answer(&request, is_anonymous);
            let line = format!("{} {}", request.head, request.body);
            self.asked.borrow_mut().push(line.trim_end().to_owned());
            if status == HANG_UP {
                return;
            }
            let date = match self.date.borrow().as_str() {
                "" => String::new(),
                date => format!("date: {date}\r\n"),
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\n{date}content-length: {}\r\n\r\n{text}",
                text.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }
}

/// None: the client has gone.
async fn read_request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut head = String::new();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            _ if head.is_empty() => head = line.trim_end_matches(" HTTP/1.1").to_owned(),
            Some((name, value)) => _ = headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => {}
        }
    }
    let mut header = |name: &str| headers.remove(name).unwrap_or_default();
    let length = header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        head,
        content_type: header("content-type"),
        body: String::from_utf8(body).unwrap(),
    })
}

/// Listens there, as soon as an earlier test's server has let the address go.
async fn bind_patiently(address: &str) -> TcpListener {
    let begun = std::time::Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == AddrInUse && begun.elapsed() < LET_GO => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            bound => return bound.unwrap(),
        }
    }
}

/// Runs a test on one thread, as the agent runs.
pub fn run_local<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}
