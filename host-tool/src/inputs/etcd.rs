//! What control planes ask an external etcd with: its CA, a client certificate and the key to it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use ha_cluster_file::cluster::ExternalEtcd;
use ha_kube::Secret;
use ha_kube::certificate::{has_other_issuer, is_for_clients, is_key_pair, validity_of};
use time::{Duration, OffsetDateTime};

use super::bad_file;
use super::certificates::read_certificates;
use super::file::{FileFault, Judged, read_text};

/// Nobody here renews it: a cluster that is made with less would soon end with it.
const SOON: Duration = Duration::days(30);
const FORM: &str =
    "it has to be PEM without a passphrase: `openssl pkey -in FILE -out NEW` takes one away";

/// All three, PEM.
#[derive(Debug, Clone)]
pub struct EtcdClientFiles {
    /// The CA of etcd's own certificates.
    pub ca: String,
    /// The client certificate, with those between it and its CA.
    pub cert: String,
    /// The key to it.
    pub key: Secret,
}

impl EtcdClientFiles {
    /// Reads and judges them; the warnings are one sentence each.
    pub fn read(etcd: &ExternalEtcd) -> Result<(Self, Vec<String>)> {
        let (ca, cert, key) = (&etcd.ca_file, &etcd.cert_file, &etcd.key_file);
        let wrong = |key: &'static str, path: &Path| {
            let path = path.to_owned();
            move |fault| bad_file(&format!("kubernetes.etcd.external.{key}"), &path, &fault)
        };
        let text = |path: &Path| read_certificates(path).map(|all| all.concat());
        let client = Self {
            ca: text(ca).map_err(wrong("caFile", ca))?,
            cert: text(cert).map_err(wrong("certFile", cert))?,
            key: Secret::new(read_text(key).map_err(wrong("keyFile", key))?),
        };
        let of_cert = judge_cert(cert, Some(ca)).map_err(wrong("certFile", cert))?;
        let of_key = judge_key(key, Some(cert)).map_err(wrong("keyFile", key))?;
        let named = |path: &Path, faults: Vec<FileFault>| {
            let line = |fault| format!("{} {fault}", path.display());
            faults.into_iter().map(line).collect::<Vec<_>>()
        };
        let warnings = [named(cert, of_cert), named(key, of_key)].concat();
        Ok((client, warnings))
    }
}

/// A client certificate that is valid now. What a file beside it should say and cannot is that one's own fault.
pub fn judge_cert(path: &Path, ca: Option<&Path>) -> Judged<Vec<FileFault>> {
    let cert = read_certificates(path)?.concat();
    let now = OffsetDateTime::now_utc();
    // Read just now, so there is one.
    let (from, until) = validity_of(&cert).unwrap_or((now, now));
    let day = |at: OffsetDateTime| at.date().to_string();
    if until <= now {
        let remedy = "have whoever runs etcd sign another one";
        return Err(FileFault::new(format!("ended on {}", day(until)), remedy));
    }
    if from > now {
        let remedy = "is the clock of this machine right?";
        return Err(FileFault::new(
            format!("is not valid before {from}"),
            remedy,
        ));
    }
    if !is_for_clients(&cert) {
        let what = "is not a client certificate: its extended key usage does not hold TLS client authentication";
        let remedy = "name the one of a client (kubeadm calls it apiserver-etcd-client), not etcd's own server.crt";
        return Err(FileFault::new(what, remedy));
    }
    let soon = (until < now + SOON).then(|| {
        let remedy = "nobody here renews it: have another one signed first (docs/cluster-file.md)";
        FileFault::new(format!("ends on {}", day(until)), remedy)
    });
    let ca = ca
        .and_then(|ca| read_certificates(ca).ok())
        .unwrap_or_default();
    let other = has_other_issuer(&cert, &ca.concat()).then(|| {
        let what = "was not signed by the CA in caFile";
        let remedy = "right only if etcd trusts another CA for clients (--trusted-ca-file) than its own certificates have";
        FileFault::new(what, remedy)
    });
    Ok([soon, other].into_iter().flatten().collect())
}

/// The key to a certificate.
pub fn judge_key(path: &Path, cert: Option<&Path>) -> Judged<Vec<FileFault>> {
    let key = Secret::new(read_text(path)?);
    if !key.expose().contains("PRIVATE KEY-----") || key.expose().contains("ENCRYPTED") {
        return Err(FileFault::new(
            "holds no private key that can be read",
            FORM,
        ));
    }
    let cert = cert.and_then(|cert| read_certificates(cert).ok());
    if cert.is_some_and(|cert| !is_key_pair(&cert.concat(), key.expose())) {
        let remedy = "name the key that was made with the certificate in certFile";
        return Err(FileFault::new("is not the key to certFile", remedy));
    }
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o777);
    let open = (mode & 0o077 != 0).then(|| {
        let what = format!("may be read by others on this machine (mode {mode:04o})");
        FileFault::new(what, "chmod 600 it")
    });
    Ok(open.into_iter().collect())
}

#[cfg(test)]
mod tests;
