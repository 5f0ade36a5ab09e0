//! What can go wrong with a request, told apart where a caller or a reader would act differently.

use std::error::Error;
use std::io;
use std::time::Duration;

/// A request that did not end well.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {kind}")]
pub struct ApiError {
    /// Where.
    pub url: String,
    /// What.
    pub kind: ErrorKind,
}

/// How a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The machine is there, and nobody listens.
    #[error("Connection refused")]
    Refused,
    /// There is no route, or another reason of the network's.
    #[error("{0}")]
    NotConnected(String),
    /// No connection in time: the machine is off, or something drops its packets.
    #[error("no connection within {} s", .0.as_secs_f32())]
    ConnectTimeout(Duration),
    /// Somebody accepts connections there, but did not answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// The connection was accepted and closed before the end of TLS's handshake, e.g. by haproxy without a living backend.
    #[error("{0}")]
    ClosedInHandshake(String),
    /// The connection broke: after the handshake, if it was a request's; then this cluster's CA vouches for who was there.
    #[error("{0}")]
    Broken(String),
    /// The server's certificate is signed by a CA of another name.
    #[error("{}", another_cluster_message(.issuer.as_deref()))]
    UnknownIssuer {
        /// Who signed the certificate that was shown, if that could be read.
        issuer: Option<String>,
    },
    /// The server's certificate is signed by a CA of the same name, but with another key.
    #[error("{}", another_cluster_message(.issuer.as_deref()))]
    BadSignature {
        /// As above.
        issuer: Option<String>,
    },
    /// The server's certificate has ended, or this machine's clock is wrong.
    #[error("TLS: the server's certificate has expired")]
    CertificateExpired,
    /// The server's certificate is not valid yet: one of the two clocks is wrong.
    #[error("TLS: the server's certificate is not valid yet: is this machine's clock behind?")]
    CertificateNotYetValid,
    /// TLS failed in another way.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// An answer, but not success.
    #[error("HTTP {code}{}{reason}", if .reason.is_empty() { "" } else { ": " })]
    Status {
        /// The HTTP status.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// Success, but the body is not what was expected.
    #[error("{0}")]
    Body(String),
    /// The request could not even be made: a broken certificate or key on this machine.
    #[error("{0}")]
    Local(String),
}

fn another_cluster_message(issuer: Option<&str>) -> String {
    let whose = issuer.map_or_else(String::new, |i| format!(" (its CA: {i})"));
    format!(
        "certificate signed by an unknown authority: another cluster answers on this address{whose}: \
         change the cluster's endpoint or stop it"
    )
}

impl ApiError {
    /// Of a request to this URL.
    pub fn new(url: &str, kind: ErrorKind) -> Self {
        Self {
            url: url.to_owned(),
            kind,
        }
    }

    /// The HTTP status, if there was an answer that this cluster's CA vouches for.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            ErrorKind::Status { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the server knows who asks, and that one may not.
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// Whether nobody answered, or somebody who could not at that moment: it is worth asking again.
    pub fn is_unanswered(&self) -> bool {
        match self.kind {
            ErrorKind::Refused
            | ErrorKind::NotConnected(_)
            | ErrorKind::ConnectTimeout(_)
            | ErrorKind::Silent(_)
            | ErrorKind::ClosedInHandshake(_)
            | ErrorKind::Broken(_) => true,
            // An apiserver says 500 of an etcd that is slow.
            ErrorKind::Status { code, .. } => matches!(code, 429 | 500 | 502..=504),
            _ => false,
        }
    }

    /// Whether somebody else changed or made the object first.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }
}

impl ErrorKind {
    /// Classifies a failed request by the types in its chain of causes. A timeout is taken for silence: whether somebody
    /// accepts connections there is for the caller to find out.
    pub(crate) fn classify(error: &reqwest::Error, deadline: Duration) -> Self {
        if error.is_timeout() {
            return Self::Silent(deadline);
        }
        if let Some(tls) = find_in_chain::<rustls::Error>(error) {
            return Self::of_tls(tls);
        }
        if error.is_decode() {
            return Self::Body(innermost_cause(error));
        }
        match find_in_chain::<io::Error>(error) {
            _ if !error.is_connect() => Self::Broken(innermost_cause(error)),
            Some(io) if closed_by_server(io.kind()) => {
                Self::ClosedInHandshake(innermost_cause(error))
            }
            Some(io) => Self::of_connect(io),
            None => Self::NotConnected(innermost_cause(error)),
        }
    }

    /// Why a TCP connection did not come about.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::NotConnected(innermost_cause(error))
        }
    }

    /// Why a handshake on a connection that came about did not end.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        match find_in_chain::<rustls::Error>(error) {
            Some(tls) => Self::of_tls(tls),
            None if closed_by_server(error.kind()) => {
                Self::ClosedInHandshake(innermost_cause(error))
            }
            None => Self::Broken(innermost_cause(error)),
        }
    }

    /// Whether a failed handshake itself shows that the server's certificate is one of the CA's, or was: it has ended, it is
    /// of another name (looked at last), or the server went on to ask for a certificate of ours.
    pub fn vouches_for_server(&self) -> bool {
        use rustls::AlertDescription as Alert;
        use rustls::CertificateError as Bad;
        match self {
            Self::CertificateExpired | Self::CertificateNotYetValid => true,
            Self::Tls(rustls::Error::InvalidCertificate(bad)) => {
                matches!(
                    bad,
                    Bad::NotValidForName | Bad::NotValidForNameContext { .. }
                )
            }
            Self::Tls(rustls::Error::AlertReceived(alert)) => {
                matches!(alert, Alert::BadCertificate | Alert::CertificateRequired)
            }
            _ => false,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::CertificateError as Bad;
        match error {
            rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
                Self::UnknownIssuer { issuer: None }
            }
            rustls::Error::InvalidCertificate(Bad::BadSignature) => {
                Self::BadSignature { issuer: None }
            }
            rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
                Self::CertificateExpired
            }
            rustls::Error::InvalidCertificate(
                Bad::NotValidYet | Bad::NotValidYetContext { .. },
            ) => Self::CertificateNotYetValid,
            other => Self::Tls(other.clone()),
        }
    }
}

/// What an accepted connection says when the other side closes it.
fn closed_by_server(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        kind,
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
    )
}

/// The cause below an error. An [`io::Error`] that wraps another error names as its source that one's source, not itself.
fn next_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .map(|inner| inner as &(dyn Error + 'static));
    wrapped.or_else(|| error.source())
}

fn error_chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| next_cause(*error))
}

/// The innermost error of a type.
fn find_in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    error_chain(error)
        .filter_map(|e| e.downcast_ref::<E>())
        .last()
}

/// The innermost cause; of a fault of the system its bare text, without "(os error 111)".
fn innermost_cause(error: &(dyn Error + 'static)) -> String {
    let deepest = || {
        error_chain(error)
            .last()
            .map_or_else(String::new, ToString::to_string)
    };
    match find_in_chain::<io::Error>(error) {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => "connection closed".to_owned(),
        Some(io) if io.raw_os_error().is_some() => capitalized_name(io.kind()),
        _ => deepest(),
    }
}

/// `Connection refused`, as the system writes it.
fn capitalized_name(kind: io::ErrorKind) -> String {
    let text = kind.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests;
