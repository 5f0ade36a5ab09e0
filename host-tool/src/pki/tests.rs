use std::path::Path;

use ha_providers::RenderOnly;
use ha_test_support::{demo, real};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::kubeconfig::Server;
use super::*;

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .unwrap()
        .1
        .contents
}

fn hours(certificate: &X509Certificate<'_>) -> (i64, i64) {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let validity = certificate.validity();
    let round = |seconds: i64| (seconds + 1800).div_euclid(3600);
    (
        round(validity.not_before.timestamp() - now),
        round(validity.not_after.timestamp() - now),
    )
}

#[test]
fn authorities_are_what_kubeadm_expects() {
    let pki = Pki::create().unwrap();
    let expected = [
        ("kubernetes", &pki.cluster),
        ("front-proxy-ca", &pki.front_proxy),
        ("etcd-ca", &pki.etcd),
    ];
    for (name, authority) in expected {
        let der = der(authority.cert());
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(certificate.subject().to_string(), format!("CN={name}"));
        assert_eq!(certificate.issuer(), certificate.subject());
        assert!(certificate.is_ca());
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(usage.key_cert_sign() && usage.crl_sign() && usage.digital_signature());
        assert_eq!(hours(&certificate), (-1, 3650 * 24));
        assert!(
            authority
                .key()
                .expose()
                .starts_with("-----BEGIN PRIVATE KEY-----"),
            "PKCS#8"
        );
    }
    assert!(
        pki.service_account
            .0
            .starts_with("-----BEGIN PUBLIC KEY-----")
    );
}

#[test]
fn an_identity_is_short_and_for_one_node() {
    let pki = Pki::create().unwrap();
    let identity = pki.node_identity("node2").unwrap();
    let der = der(&identity.cert);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(
        certificate.subject().to_string(),
        "O=system:nodes, CN=system:node:node2"
    );
    assert_eq!(certificate.issuer().to_string(), "CN=kubernetes");
    assert!(!certificate.is_ca());
    assert_eq!(hours(&certificate), (-1, 24));
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    let key_ids = certificate.extensions().iter().any(|e| {
        matches!(
            e.parsed_extension(),
            ParsedExtension::AuthorityKeyIdentifier(_)
        )
    });
    assert!(key_ids, "two CAs named kubernetes can be told apart");
}

#[test]
fn the_administrator_is_bound_by_kubeadms_own_role() {
    let pki = Pki::create().unwrap();
    let der = der(&pki.admin().unwrap().cert);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(
        certificate.subject().to_string(),
        "O=kubeadm:cluster-admins, CN=kubernetes-admin"
    );
    assert_eq!(hours(&certificate), (-1, 365 * 24));
}

#[test]
fn what_was_saved_signs_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pki");
    let pki = Pki::create().unwrap();
    pki.save(&path).unwrap();
    let loaded = Pki::load(&path).unwrap();
    assert_eq!(loaded.files(), pki.files());
    openssl_verifies(
        &path.join("ca.crt"),
        &loaded.node_identity("node1").unwrap().cert,
    );
    openssl_verifies(
        &path.join("etcd/ca.crt"),
        &loaded.etcd_client().unwrap().cert,
    );
}

/// A second opinion.
fn openssl_verifies(ca: &Path, cert: &str) {
    let Some(mut openssl) = real::command("openssl", "openssl") else {
        return;
    };
    openssl
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(ca);
    let output = real::says(openssl, cert);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_key_of_another_ca_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pki");
    Pki::create().unwrap().save(&path).unwrap();
    std::fs::copy(path.join("etcd/ca.key"), path.join("ca.key")).unwrap();
    let error = format!("{:#}", Pki::load(&path).unwrap_err());
    assert!(
        error.ends_with("ca.crt: its key does not belong to its certificate"),
        "{error}"
    );
}

#[test]
fn a_kubeconfig_is_kept_while_it_is_right() {
    let (pki, cluster) = (Pki::create().unwrap(), demo());
    let server = Server::of(&cluster, &RenderOnly);
    let config = kubeconfig::render(&cluster.name, &server, &pki).unwrap();
    assert!(kubeconfig::is_current(config.expose(), &server, &pki));
    let mut moved = demo();
    moved.endpoint.port = 7443;
    assert!(
        !kubeconfig::is_current(config.expose(), &Server::of(&moved, &RenderOnly), &pki),
        "another port"
    );
    assert!(
        !kubeconfig::is_current(config.expose(), &server, &Pki::create().unwrap()),
        "another CA"
    );
    assert!(!kubeconfig::is_current("", &server, &pki));
}

#[test]
fn secrets_are_not_shown() {
    let pki = Pki::create().unwrap();
    let shown = format!("{pki:?} {:?}", pki.node_identity("a").unwrap());
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}
