use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::*;
use crate::certificate::validity_of;

const NOW: i64 = 1_700_000_000;

fn test_time() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

fn with_certificate(pem: &str, test: impl FnOnce(&X509Certificate<'_>)) {
    let der = certificates_in(pem).remove(0);
    test(&X509Certificate::from_der(&der).unwrap().1);
}

#[test]
fn an_authority_is_what_kubeadm_expects() {
    let authority = Authority::create("kubernetes", test_time()).unwrap();
    with_certificate(authority.cert(), |certificate| {
        assert_eq!(certificate.subject().to_string(), "CN=kubernetes");
        assert_eq!(certificate.issuer(), certificate.subject());
        assert!(certificate.is_ca());
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(usage.key_cert_sign() && usage.crl_sign() && usage.digital_signature());
    });
    assert_eq!(
        validity_of(authority.cert()),
        Some((test_time() - BACKDATE, test_time() + Duration::days(3650)))
    );
    let key = authority.key().expose();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS#8");
}

#[test]
fn a_client_certificate_names_its_authority() {
    let authority = Authority::create("kubernetes", test_time()).unwrap();
    let life = Duration::hours(2);
    let identity = authority
        .sign_client("system:node:node2", Some("system:nodes"), life, test_time())
        .unwrap();
    assert_eq!(
        validity_of(&identity.cert),
        Some((test_time() - BACKDATE, test_time() + life))
    );
    with_certificate(&identity.cert, |certificate| {
        assert_eq!(
            certificate.subject().to_string(),
            "O=system:nodes, CN=system:node:node2"
        );
        assert_eq!(certificate.issuer().to_string(), "CN=kubernetes");
        assert!(!certificate.is_ca());
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        let key_ids = certificate.extensions().iter().any(|e| {
            matches!(
                e.parsed_extension(),
                ParsedExtension::AuthorityKeyIdentifier(_)
            )
        });
        assert!(key_ids, "two CAs named kubernetes can be told apart");
    });
}

#[test]
fn a_key_of_another_authority_is_refused() {
    let (a, b) = (
        Authority::create("kubernetes", test_time()).unwrap(),
        Authority::create("kubernetes", test_time()).unwrap(),
    );
    let error = Authority::load(a.cert().into(), b.key().clone()).unwrap_err();
    assert!(matches!(error, AuthorityError::Mismatch));
    let error = Authority::load(a.cert().into(), Secret::new("x".into())).unwrap_err();
    assert!(matches!(error, AuthorityError::Key(_)));
    let error = Authority::load("x".into(), a.key().clone()).unwrap_err();
    assert!(matches!(error, AuthorityError::Certificate));
}

#[test]
fn keys_are_not_shown() {
    let authority = Authority::create("kubernetes", test_time()).unwrap();
    let identity = authority
        .sign_client("x", None, Duration::hours(1), test_time())
        .unwrap();
    let shown = format!("{authority:?} {identity:?} {:?}", identity.joint_pem());
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}
