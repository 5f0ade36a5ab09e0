//! Reading certificates: from when until when one is valid, and who signed it.

use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, ParsedExtension, Pem, X509Certificate};

/// From when until when the first certificate of a PEM text is valid; none: there is no certificate in it.
pub fn validity_of(pem: &str) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let first = certificates_in(pem).into_iter().next()?;
    let (_, certificate) = X509Certificate::from_der(&first).ok()?;
    let validity = certificate.validity();
    Some((
        validity.not_before.to_datetime(),
        validity.not_after.to_datetime(),
    ))
}

/// The same in milliseconds since 1970.
pub fn validity_of_ms(pem: &str) -> Option<(u64, u64)> {
    let ms = |at: OffsetDateTime| Some(u64::try_from(at.unix_timestamp()).ok()? * 1000);
    let (from, until) = validity_of(pem)?;
    Some((ms(from)?, ms(until)?))
}

/// The DER of each certificate in a PEM text, keys left out.
pub fn certificates_in(pem: &str) -> Vec<Vec<u8>> {
    Pem::iter_from_buffer(pem.as_bytes())
        .flatten()
        .filter(|p| p.label == "CERTIFICATE")
        .map(|p| p.contents)
        .collect()
}

/// The issuer of a DER certificate with its key id, e.g. `CN=kubernetes, key id 9f2c41d0`.
pub fn issuer_name(der: &[u8]) -> Option<String> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let id = cert
        .extensions()
        .iter()
        .find_map(|e| match e.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(aki) => {
                aki.key_identifier.as_ref().map(|k| short_hex(k.0))
            }
            _ => None,
        });
    let name = cert.issuer().to_string();
    Some(id.map_or_else(|| name.clone(), |id| format!("{name}, key id {id}")))
}

/// The first eight bytes are enough to tell two CAs apart by eye.
fn short_hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|b| format!("{b:02x}")).collect()
}
