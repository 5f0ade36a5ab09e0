//! A CA and a small TLS server that plays an apiserver or etcd. Tests only.
#![allow(
    clippy::unwrap_used,
    missing_debug_implementations,
    reason = "helpers of tests"
)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::{APISERVER_NAME, Authority, Identity};

/// As a status: the connection is closed instead of an answer.
pub const HANG_UP: u16 = 0;

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

fn server_config((cert, key): (rcgen::Certificate, KeyPair)) -> rustls::ServerConfig {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap()
}

/// A server with answers given beforehand, each by the begin of `METHOD /path`; the last one of a kind is kept.
#[derive(Clone, Default)]
pub struct Script {
    answers: Rc<RefCell<VecDeque<(String, u16, String)>>>,
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

    fn answer(&self, request: &str) -> (u16, String) {
        let mut answers = self.answers.borrow_mut();
        let fits = |(begin, ..): &(String, u16, String)| request.starts_with(begin.as_str());
        let Some(at) = answers.iter().position(fits) else {
            return (
                404,
                r#"{"kind":"Status","message":"not found","code":404}"#.into(),
            );
        };
        let more = answers.iter().skip(at + 1).any(fits);
        let (_, status, body) = if more {
            answers.remove(at).unwrap()
        } else {
            answers[at].clone()
        };
        (status, body)
    }

    /// Serves on a free port of the loopback address until the test ends. Needs a `LocalSet`.
    pub async fn serve(&self, authority: &Authority) -> SocketAddr {
        self.serve_at(authority, "127.0.0.1:0").await
    }

    /// The same at an address; each test takes its own of 127.0.0.0/8.
    pub async fn serve_at(&self, authority: &Authority, address: &str) -> SocketAddr {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.accept(listener, server_certificate(authority, address.ip()));
        address
    }

    /// The same with a certificate that has ended.
    pub async fn serve_expired(&self, authority: &Authority) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ended = |params: &mut CertificateParams| params.not_after = long_ago();
        self.accept(listener, sign_server(authority, address.ip(), ended));
        address
    }

    fn accept(&self, listener: TcpListener, identity: (rcgen::Certificate, KeyPair)) {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server_config(identity)));
        let script = self.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), script.clone());
                tokio::task::spawn_local(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        script.talk(stream).await;
                    }
                });
            }
        });
    }

    async fn talk(&self, stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
                if head.is_empty() {
                    head = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let request = format!("{head} {}", String::from_utf8(body).unwrap())
                .trim_end()
                .to_owned();
            let (status, text) = self.answer(&request);
            self.asked.borrow_mut().push(request);
            if status == HANG_UP {
                return;
            }
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                return;
            }
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
