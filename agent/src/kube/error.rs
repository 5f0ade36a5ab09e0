//! What can go wrong with a request, told apart where a caller or a reader would act differently.

/// A request that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody listens, no route, or the connection broke: the machine or the load balancer is not there yet.
    #[error("{url}: {cause}")]
    Unreachable {
        /// Where.
        url: String,
        /// The system's words, e.g. `Connection refused`.
        cause: String,
    },
    /// Somebody answers whom this cluster's CA did not sign.
    #[error("{url}: {}", unknown(.issuer.as_deref()))]
    UnknownAuthority {
        /// Where.
        url: String,
        /// Who signed the certificate that was shown, if that could be read.
        issuer: Option<String>,
    },
    /// TLS was cut or refused for another reason, e.g. haproxy without a living backend.
    #[error("{url}: TLS: {cause}")]
    Tls {
        /// Where.
        url: String,
        /// rustls's words.
        cause: String,
    },
    /// No answer in time.
    #[error("{url}: no answer within {seconds} s")]
    Deadline {
        /// Where.
        url: String,
        /// How long it waited.
        seconds: f32,
    },
    /// An answer, but not success.
    #[error("{url}: HTTP {code}{}{message}", if .message.is_empty() { "" } else { ": " })]
    Status {
        /// Where.
        url: String,
        /// The HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// Success, but not the JSON that was expected.
    #[error("{url}: {cause}")]
    Shape {
        /// Where.
        url: String,
        /// The parser's words.
        cause: String,
    },
    /// The client could not be made: a broken certificate or key on this node.
    #[error("{0}")]
    Local(String),
}

fn unknown(issuer: Option<&str>) -> String {
    let whose = issuer.map_or_else(String::new, |i| format!(" (its CA: {i})"));
    format!(
        "certificate signed by an unknown authority: another cluster answers on this address{whose}: \
         change endpoint.vip or stop it"
    )
}

impl ApiError {
    /// What was said, without where: for who has named the place already.
    pub fn cause(&self) -> String {
        let whole = self.to_string();
        match self {
            Self::Unreachable { url, .. }
            | Self::UnknownAuthority { url, .. }
            | Self::Tls { url, .. }
            | Self::Deadline { url, .. }
            | Self::Status { url, .. }
            | Self::Shape { url, .. } => whole
                .strip_prefix(&format!("{url}: "))
                .unwrap_or(&whole)
                .to_owned(),
            Self::Local(_) => whole,
        }
    }

    /// The HTTP status, if there was an answer that this cluster's CA vouches for.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether somebody else changed or made the object first.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// Sorts a failed request by its chain of causes.
    pub fn sort(url: &str, error: &reqwest::Error, deadline: std::time::Duration) -> Self {
        let url = url.to_owned();
        let cause = root_cause(error);
        if error.is_timeout() {
            return Self::Deadline {
                url,
                seconds: deadline.as_secs_f32(),
            };
        }
        if cause.contains("UnknownIssuer") || cause.contains("BadSignature") {
            return Self::UnknownAuthority { url, issuer: None };
        }
        if cause.contains("certificate")
            || cause.contains("tls")
            || cause.contains("TLS")
            || cause.contains("alert")
        {
            return Self::Tls { url, cause };
        }
        if error.is_decode() {
            return Self::Shape { url, cause };
        }
        Self::Unreachable { url, cause }
    }
}

/// The innermost cause, which is the one in the system's own words.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    // "Connection refused (os error 111)", "... close_notify: https://docs.rs/...": number and link tell people nothing.
    let text = deepest.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.split(": https://docs.rs")
        .next()
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_authority_says_what_to_do() {
        let error = ApiError::UnknownAuthority {
            url: "https://10.77.0.30:6444/readyz".into(),
            issuer: Some("CN=kubernetes, key id 9f2c".into()),
        };
        assert_eq!(
            error.to_string(),
            "https://10.77.0.30:6444/readyz: certificate signed by an unknown authority: another cluster answers on this \
             address (its CA: CN=kubernetes, key id 9f2c): change endpoint.vip or stop it"
        );
    }

    #[test]
    fn an_empty_body_leaves_no_loose_colon() {
        let error = ApiError::Status {
            url: "u".into(),
            code: 503,
            message: String::new(),
        };
        assert_eq!(error.to_string(), "u: HTTP 503");
        assert_eq!(error.cause(), "HTTP 503");
    }
}
