//! `registries` as written.

use super::reader::Fields;
use super::spanned::Spanned;
use crate::diagnostic::Place;

/// One of `registries`, as written: how nodes reach one registry of container images.
#[derive(Debug, Clone)]
pub struct RegistryFile {
    /// Where it stands.
    pub place: Place,
    /// Required: what images' names begin with, e.g. `docker.io`.
    pub host: Option<Spanned<String>>,
    /// URLs that are asked first, in this order.
    pub mirrors: Vec<Spanned<String>>,
    /// A file with the CA's certificate, of the registry and its mirrors.
    pub ca: Option<Spanned<String>>,
    /// Whether no certificate is looked at; false.
    pub skip_verify: Option<Spanned<bool>>,
    /// Who pulls from there; nobody in particular.
    pub auth: Option<RegistryAuthFile>,
}

/// `registries[].auth`, as written.
#[derive(Debug, Clone)]
pub struct RegistryAuthFile {
    /// Required.
    pub user: Option<Spanned<String>>,
    /// Required: a local file with the password in one line.
    pub password_file: Option<Spanned<String>>,
}

impl RegistryFile {
    pub(super) fn read(mut f: Fields<'_>) -> Self {
        f.known(&["host", "mirrors", "ca", "skipVerify", "auth"]);
        Self {
            place: f.place,
            host: f.needed("host", "docker.io"),
            mirrors: f.list("mirrors"),
            ca: f.maybe("ca"),
            skip_verify: f.or("skipVerify", false),
            auth: f
                .is_written("auth")
                .then(|| RegistryAuthFile::read(f.fields("auth"))),
        }
    }
}

impl RegistryAuthFile {
    fn read(mut f: Fields<'_>) -> Self {
        f.known(&["user", "passwordFile"]);
        Self {
            user: f.needed("user", "me"),
            password_file: f.needed("passwordFile", "registry.password"),
        }
    }
}
