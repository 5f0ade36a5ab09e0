//! Reading certificates: who signed one, which expires first.

use x509_parser::prelude::{FromDer, ParsedExtension, Pem, X509Certificate};

/// The issuer of a DER certificate with its key id, e.g. `CN=kubernetes, key id 9f2c41d0`.
pub fn issuer(der: &[u8]) -> Option<String> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let id = cert
        .extensions()
        .iter()
        .find_map(|e| match e.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(aki) => {
                aki.key_identifier.as_ref().map(|k| hex(k.0))
            }
            _ => None,
        });
    let name = cert.issuer().to_string();
    Some(id.map_or_else(|| name.clone(), |id| format!("{name}, key id {id}")))
}

/// When the first certificate of a PEM text ends, in milliseconds since 1970.
pub fn not_after_ms(pem: &str) -> Option<u64> {
    let first = certificates(pem).into_iter().next()?;
    let (_, cert) = X509Certificate::from_der(&first).ok()?;
    u64::try_from(cert.validity().not_after.timestamp())
        .ok()
        .map(|s| s * 1000)
}

/// The DER of each certificate in a PEM text, keys left out.
pub fn certificates(pem: &str) -> Vec<Vec<u8>> {
    Pem::iter_from_buffer(pem.as_bytes())
        .flatten()
        .filter(|p| p.label == "CERTIFICATE")
        .map(|p| p.contents)
        .collect()
}

/// The first eight bytes are enough to tell two CAs apart by eye.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|b| format!("{b:02x}")).collect()
}
