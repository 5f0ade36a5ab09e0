//! One HTTPS client for one server: trust in one CA, perhaps a client certificate, JSON in and out.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::identity::Identity;

/// A request is given up after this: an apiserver that waits for a slow etcd answers within it, a dead one never.
const DEADLINE: Duration = Duration::from_secs(6);
/// A connection is given up after this: on one segment a living machine answers in a millisecond.
const CONNECT: Duration = Duration::from_secs(2);
/// An idle connection is dropped after this: the VIP may have moved meanwhile.
const IDLE: Duration = Duration::from_secs(4);

/// One server.
#[derive(Debug, Clone)]
pub struct Wire {
    http: reqwest::Client,
    base: String,
    deadline: Duration,
}

impl Wire {
    /// A client for `https://ADDRESS:PORT`, trusting nobody but `ca` (PEM).
    pub fn new(base: &str, ca: &str, me: Option<&Identity>) -> Result<Self, ApiError> {
        let roots = reqwest::Certificate::from_pem_bundle(ca.as_bytes())
            .map_err(|e| local("CA certificate", &e))?;
        let mut builder = plain().tls_certs_only(roots);
        if let Some(me) = me {
            // The kubelet keeps both in one file; twice the same certificate would be a wrong chain.
            let both = if me.cert == *me.key {
                me.cert.clone()
            } else {
                format!("{}\n{}", me.cert, *me.key)
            };
            let both = zeroize::Zeroizing::new(both);
            builder = builder.identity(
                reqwest::Identity::from_pem(both.as_bytes())
                    .map_err(|e| local("client certificate", &e))?,
            );
        }
        let http = builder.build().map_err(|e| local("TLS", &e))?;
        Ok(Self {
            http,
            base: base.to_owned(),
            deadline: DEADLINE,
        })
    }

    /// The same client with another deadline.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// A request with an optional JSON body; the text of a 2xx answer.
    pub async fn text(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Body,
    ) -> Result<String, ApiError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, &url).timeout(self.deadline);
        if let Some((kind, bytes)) = body.0 {
            request = request.header("content-type", kind).body(bytes);
        }
        let sorted = |e: reqwest::Error| ApiError::sort(&url, &e, self.deadline);
        let answer = match request.send().await.map_err(sorted) {
            Err(ApiError::UnknownAuthority { url, .. }) => {
                let issuer = issuer_at(&url).await;
                return Err(ApiError::UnknownAuthority { url, issuer });
            }
            other => other?,
        };
        let status = answer.status();
        let text = answer
            .text()
            .await
            .map_err(|e| ApiError::sort(&url, &e, self.deadline))?;
        if status.is_success() {
            return Ok(text);
        }
        Err(ApiError::Status {
            url,
            code: status.as_u16(),
            message: server_words(&text),
        })
    }

    /// A request whose answer is JSON.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Body,
    ) -> Result<T, ApiError> {
        let text = self.text(method, path, body).await?;
        serde_json::from_str(&text).map_err(|e| ApiError::Shape {
            url: format!("{}{path}", self.base),
            cause: e.to_string(),
        })
    }
}

/// A request's body.
#[derive(Debug, Default)]
pub struct Body(Option<(&'static str, Vec<u8>)>);

impl Body {
    /// None.
    pub fn none() -> Self {
        Self(None)
    }

    /// JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        Self::of("application/json", value)
    }

    /// A JSON merge patch.
    pub fn merge_patch(value: &impl Serialize) -> Result<Self, ApiError> {
        Self::of("application/merge-patch+json", value)
    }

    fn of(kind: &'static str, value: &impl Serialize) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value).map_err(|e| ApiError::Local(e.to_string()))?;
        Ok(Self(Some((kind, bytes))))
    }
}

/// The agent is static: a name lookup would load NSS plug-ins of another libc.
#[derive(Debug)]
struct NoNames;

impl reqwest::dns::Resolve for NoNames {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            Err(format!("{name}: the agent looks up no names, give an address").into())
        })
    }
}

fn plain() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .https_only(true)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1)
        .dns_resolver(NoNames)
        .user_agent(concat!("ha-agent/", env!("CARGO_PKG_VERSION")))
}

fn local(what: &str, error: &reqwest::Error) -> ApiError {
    ApiError::Local(format!("the {what} cannot be used: {error}"))
}

/// The message of a Kubernetes `Status` or of an etcd error, else the first line.
fn server_words(text: &str) -> String {
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

/// Who signed the certificate of a server that is not to be trusted. Nothing is sent to it but one request for its
/// health, without any identity.
async fn issuer_at(url: &str) -> Option<String> {
    let http = plain()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .build()
        .ok()?;
    let answer = http.get(url).timeout(CONNECT).send().await.ok()?;
    let leaf = answer
        .extensions()
        .get::<reqwest::tls::TlsInfo>()?
        .peer_certificate()?
        .to_vec();
    super::certs::issuer(&leaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_kept() {
        assert_eq!(
            server_words(r#"{"kind":"Status","message":"leases.x \"y\" not found","code":404}"#),
            "leases.x \"y\" not found"
        );
        assert_eq!(
            server_words(r#"{"error":"etcdserver: unhealthy cluster","code":14}"#),
            "etcdserver: unhealthy cluster"
        );
        assert_eq!(server_words("[+]ping ok\n[-]etcd failed"), "[+]ping ok");
        assert_eq!(server_words(""), "");
    }
}
