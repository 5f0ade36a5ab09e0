//! Reading certificates: from when until when one is valid, who signed it, whether a key belongs to it.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
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

/// Whether a text holds a certificate, and the other the private key to it: whole files of one pair. The two may be one text.
pub fn is_key_pair(cert: &str, key: &str) -> bool {
    let chain = certificates_in(cert);
    let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
    let Ok(key) = PrivateKeyDer::from_pem_slice(key.as_bytes()) else {
        return false;
    };
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).is_ok()
}

/// Whether the first certificate of a PEM text may be shown to servers by a client: it says so, or nothing of what it is for.
pub fn is_for_clients(pem: &str) -> bool {
    let Some(first) = certificates_in(pem).into_iter().next() else {
        return false;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&first) else {
        return false;
    };
    let usage = certificate.extended_key_usage().ok().flatten();
    usage.is_none_or(|usage| usage.value.client_auth || usage.value.any)
}

/// Whether the first certificate of a PEM text was signed by none of these CAs (PEM), by their names and the ids of their keys.
/// What cannot be read says nothing, and a CA without a key id is known by its name alone.
pub fn has_other_issuer(pem: &str, cas: &str) -> bool {
    let Some(leaf) = certificates_in(pem).into_iter().next() else {
        return false;
    };
    let Ok((_, leaf)) = X509Certificate::from_der(&leaf) else {
        return false;
    };
    let cas = certificates_in(cas);
    let mut cas = cas
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok())
        .peekable();
    cas.peek().is_some() && !cas.any(|(_, ca)| may_have_signed(&ca, &leaf))
}

fn may_have_signed(ca: &X509Certificate<'_>, leaf: &X509Certificate<'_>) -> bool {
    let ids = signer_key_id(leaf).zip(own_key_id(ca));
    leaf.issuer().as_raw() == ca.subject().as_raw() && ids.is_none_or(|(signer, own)| signer == own)
}

fn signer_key_id<'a>(cert: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    cert.extensions()
        .iter()
        .find_map(|e| match e.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(aki) => {
                aki.key_identifier.as_ref().map(|id| id.0)
            }
            _ => None,
        })
}

fn own_key_id<'a>(cert: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    cert.extensions()
        .iter()
        .find_map(|e| match e.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        })
}

/// The issuer of a DER certificate with its key id, e.g. `CN=kubernetes, key id 9f2c41d0`.
pub fn issuer_name(der: &[u8]) -> Option<String> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let id = signer_key_id(&cert).map(short_hex);
    let name = cert.issuer().to_string();
    Some(id.map_or_else(|| name.clone(), |id| format!("{name}, key id {id}")))
}

/// The first eight bytes are enough to tell two CAs apart by eye.
fn short_hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_identity, test_authority};

    #[test]
    fn a_certificate_of_servers_alone_is_not_for_clients() {
        let ca = test_authority("etcd-ca");
        let server = crate::testing::server_only_pair(&ca, [127, 0, 0, 1].into());
        for (pem, wanted) in [
            (node_identity(&ca, "node1").cert.as_str(), true),
            (ca.cert(), true),
            (server.0.as_str(), false),
            ("", false),
        ] {
            assert_eq!(is_for_clients(pem), wanted, "{pem}");
        }
    }

    #[test]
    fn a_pair_is_a_certificate_and_its_own_key() {
        let ca = test_authority("kubernetes");
        let (me, other) = (node_identity(&ca, "node1"), node_identity(&ca, "node2"));
        let (cert, key) = (me.cert.as_str(), me.key.expose());
        let joint = me.joint_pem();
        let half = |text: &str| text[..text.len() / 2].to_owned();
        for (cert, key, whole) in [
            (cert, key, true),
            (joint.expose(), joint.expose(), true),
            (cert, other.key.expose(), false),
            ("", key, false),
            (cert, "", false),
            (&half(cert), key, false),
            (cert, &half(key), false),
            (cert, cert, false),
        ] {
            assert_eq!(is_key_pair(cert, key), whole, "{cert}{key}");
        }
    }
}
