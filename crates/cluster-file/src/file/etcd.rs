//! `kubernetes.etcd` as written.

use super::reader::Fields;
use super::spanned::Spanned;

/// Where etcd runs.
#[derive(Debug, Clone, PartialEq)]
pub enum EtcdFile {
    /// `stacked`: on the control planes.
    Stacked,
    /// `{external: {...}}`: somebody else's.
    External(Box<ExternalEtcdFile>),
}

/// `etcd: {external: {...}}`; the keys are kubeadm's.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalEtcdFile {
    /// Where its members serve clients.
    pub endpoints: Vec<Spanned<String>>,
    /// A file with the CA that its members' certificates are signed by.
    pub ca_file: Option<Spanned<String>>,
    /// A file with the client certificate of the control planes.
    pub cert_file: Option<Spanned<String>>,
    /// A file with the key to it.
    pub key_file: Option<Spanned<String>>,
}

impl EtcdFile {
    pub(super) fn read(f: &mut Fields<'_>) -> Option<Spanned<Self>> {
        let (word, options) = f.choice("etcd", &["stacked", "external"], "")?;
        let mut f = f.options(&word, options);
        if word.value != "external" {
            f.known(&[]);
            return Some(word.with(Self::Stacked));
        }
        f.known(&["endpoints", "caFile", "certFile", "keyFile"]);
        let external = ExternalEtcdFile {
            endpoints: f.list("endpoints"),
            ca_file: f.needed("caFile", "etcd/ca.crt"),
            cert_file: f.needed("certFile", "etcd/client.crt"),
            key_file: f.needed("keyFile", "etcd/client.key"),
        };
        Some(word.with(Self::External(Box::new(external))))
    }

    /// Somebody else's, if it is.
    pub fn external(&self) -> Option<&ExternalEtcdFile> {
        match self {
            Self::External(external) => Some(external),
            Self::Stacked => None,
        }
    }
}

impl ExternalEtcdFile {
    /// Its three files.
    pub fn files(&self) -> impl Iterator<Item = &Spanned<String>> {
        let files = [&self.ca_file, &self.cert_file, &self.key_file];
        files.into_iter().flatten()
    }
}
