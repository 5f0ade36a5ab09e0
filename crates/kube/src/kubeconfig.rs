//! kubeconfig files: written as JSON (which is YAML), read as either.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::certificate::is_key_pair;
use crate::{Identity, Secret};

mod yaml;

pub use yaml::parse_yaml;

/// A kubeconfig with one cluster, one user and one context, as far as it is of interest here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kubeconfig {
    api_version: String,
    kind: String,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(rename = "current-context", default)]
    current_context: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NamedContext {
    name: String,
    context: ContextOf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ContextOf {
    cluster: String,
    user: String,
}

/// Where the API answers, and who vouches for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    /// `https://ADDRESS:PORT`.
    pub server: String,
    /// The name that its certificate is checked against, if it is not the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    certificate_authority_data: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", with = "exposed")]
    client_key_data: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<String>,
}

/// Why a text is not a kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It is neither JSON nor YAML.
    #[error("not YAML: {0}")]
    Syntax(String),
    /// It is YAML, but something else.
    #[error("not a kubeconfig: {0}")]
    Shape(#[from] serde_json::Error),
}

impl Cluster {
    /// An API behind this URL, vouched for by this CA (PEM).
    pub fn new(server: &str, ca: &str) -> Self {
        Self {
            server: server.to_owned(),
            tls_server_name: None,
            certificate_authority_data: STANDARD.encode(ca),
        }
    }

    /// The CA's certificate, PEM; none: there is none in the file.
    pub fn ca(&self) -> Option<String> {
        decode_base64(&self.certificate_authority_data).filter(|ca| !ca.is_empty())
    }
}

impl Kubeconfig {
    /// With the identity embedded: no file beside it is needed.
    pub fn embedded(names: Names<'_>, cluster: Cluster, me: &Identity) -> Self {
        let key = Secret::new(STANDARD.encode(me.key.expose()));
        let user = User {
            client_certificate_data: Some(STANDARD.encode(&me.cert)),
            client_key_data: Some(key),
            ..User::default()
        };
        Self::new(names, cluster, user)
    }

    /// With the path of a PEM file that somebody renews.
    pub fn with_file(names: Names<'_>, cluster: Cluster, pem: &str) -> Self {
        let user = User {
            client_certificate: Some(pem.to_owned()),
            client_key: Some(pem.to_owned()),
            ..User::default()
        };
        Self::new(names, cluster, user)
    }

    fn new(names: Names<'_>, cluster: Cluster, user: User) -> Self {
        let Names {
            cluster: cluster_name,
            user: user_name,
        } = names;
        Self {
            api_version: "v1".into(),
            kind: "Config".into(),
            clusters: vec![NamedCluster {
                name: cluster_name.into(),
                cluster,
            }],
            users: vec![NamedUser {
                name: user_name.into(),
                user,
            }],
            contexts: vec![NamedContext {
                name: cluster_name.into(),
                context: ContextOf {
                    cluster: cluster_name.into(),
                    user: user_name.into(),
                },
            }],
            current_context: cluster_name.into(),
        }
    }

    /// Reads JSON or YAML.
    pub fn parse(text: &str) -> Result<Self, KubeconfigError> {
        Ok(serde_json::from_value(yaml::parse_yaml(text)?)?)
    }

    /// The file's text.
    pub fn to_text(&self) -> Secret {
        // Only a map with keys that are not texts cannot become JSON.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        Secret::new(format!("{text}\n"))
    }

    /// The first cluster.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.clusters.first().map(|c| &c.cluster)
    }

    /// The first user's certificate, PEM, if it is embedded.
    pub fn client_certificate(&self) -> Option<String> {
        decode_base64(self.users.first()?.user.client_certificate_data.as_ref()?)
    }

    /// Whether a client can be made of it: its current context leads to a server, and to a user with a certificate and its key,
    /// or with files of them.
    pub fn is_whole(&self) -> bool {
        let find = || {
            let mut contexts = self.contexts.iter();
            let current = contexts.find(|c| c.name == self.current_context)?;
            let ContextOf { cluster, user } = &current.context;
            let cluster = self.clusters.iter().find(|c| c.name == *cluster)?;
            let user = self.users.iter().find(|u| u.name == *user)?;
            Some(!cluster.cluster.server.is_empty() && user.user.can_identify())
        };
        find().unwrap_or(false)
    }

    /// The first user's certificate and key, if both are embedded.
    pub fn client_identity(&self) -> Option<Identity> {
        let key = self.users.first()?.user.client_key_data.as_ref()?;
        Some(Identity {
            cert: self.client_certificate()?,
            key: Secret::new(decode_base64(key.expose())?),
        })
    }

    /// Whether it has a user, and none with a certificate or key embedded: who they are is told otherwise.
    pub fn has_user_without_certificate(&self) -> bool {
        let embeds = |u: &NamedUser| {
            u.user.client_certificate_data.is_some() || u.user.client_key_data.is_some()
        };
        !self.users.is_empty() && !self.users.iter().any(embeds)
    }

    /// Whether it holds a private key itself.
    pub fn has_key(&self) -> bool {
        self.users.iter().any(|u| u.user.client_key_data.is_some())
    }
}

/// What cluster and user are called in the file.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Of the cluster and of the context.
    pub cluster: &'a str,
    /// Of the user.
    pub user: &'a str,
}

impl User {
    fn can_identify(&self) -> bool {
        match (&self.client_certificate_data, &self.client_key_data) {
            (Some(cert), Some(key)) => {
                let pair = decode_base64(cert).zip(decode_base64(key.expose()).map(Secret::new));
                pair.is_some_and(|(cert, key)| is_key_pair(&cert, key.expose()))
            }
            _ => self.client_certificate.is_some() && self.client_key.is_some(),
        }
    }
}

fn decode_base64(base64: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64).ok()?).ok()
}

/// A secret leaves its wrapper here and nowhere else: a kubeconfig is made to hold it.
mod exposed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Secret;

    pub fn serialize<S: Serializer>(key: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        key.as_ref().map(Secret::expose).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests;
