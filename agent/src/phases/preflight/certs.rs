//! Dates of certificates.

use x509_parser::pem::parse_x509_pem;

/// From when until when the first certificate of a PEM text is valid, in milliseconds since 1970.
pub fn validity(pem: &str) -> Option<(u64, u64)> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let ms = |seconds: i64| u64::try_from(seconds).ok().map(|s| s * 1000);
    let validity = certificate.validity();
    Some((
        ms(validity.not_before.timestamp())?,
        ms(validity.not_after.timestamp())?,
    ))
}
