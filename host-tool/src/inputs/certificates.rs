//! Files of certificates.

use std::path::Path;

use ha_kube::certificate::validity_of;

use super::file::{FileFault, Judged, read_text};

/// The certificates of a PEM file, one text each: Flatcar's update-ca-certificates looks at the first of a file alone. Everybody on a
/// node may read them.
pub fn read_certificates(path: &Path) -> Judged<Vec<String>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = read_text(path)?;
    if text.contains("PRIVATE KEY-----") {
        let remedy =
            "name a file with the certificate alone: every user of a node could read the key";
        return Err(FileFault::new("holds a private key", remedy));
    }
    let parts = text
        .split(BEGIN)
        .skip(1)
        .filter_map(|part| part.split_once(END));
    let texts: Vec<String> = parts
        .map(|(inner, _)| format!("{BEGIN}{inner}{END}\n"))
        .collect();
    if texts.is_empty() || texts.iter().any(|pem| validity_of(pem).is_none()) {
        let remedy = "it has to be PEM: `openssl x509 -in FILE -text` shows one, `-inform DER -out FILE` turns DER into it";
        return Err(FileFault::new(
            "holds no certificate, or one that cannot be read",
            remedy,
        ));
    }
    Ok(texts)
}
