use std::collections::BTreeSet;
use std::path::Path;

use ha_kube::certificate::{certificates_in, validity_of};
use ha_test_support::{demo_cluster, real};
use proptest::collection::btree_set;
use proptest::prelude::*;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::kubeconfig::Server;
use super::*;
use crate::testing::machines_of_others;

fn subject_of(pem: &str) -> String {
    let der = certificates_in(pem).remove(0);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    certificate.subject().to_string()
}

fn validity_in_hours(pem: &str) -> (i64, i64) {
    let now = OffsetDateTime::now_utc();
    let (from, until) = validity_of(pem).unwrap();
    let round = |at: OffsetDateTime| ((at - now).whole_seconds() + 1800).div_euclid(3600);
    (round(from), round(until))
}

#[test]
fn authorities_have_the_names_that_kubeadm_expects() {
    let pki = Pki::create().unwrap();
    let expected = [
        ("kubernetes", &pki.cluster),
        ("front-proxy-ca", &pki.front_proxy),
        ("etcd-ca", &pki.etcd),
    ];
    for (name, authority) in expected {
        assert_eq!(subject_of(authority.cert()), format!("CN={name}"));
        assert_eq!(validity_in_hours(authority.cert()), (-1, 3650 * 24));
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
    let cert = pki.node_identity("node2").unwrap().cert;
    assert_eq!(subject_of(&cert), "O=system:nodes, CN=system:node:node2");
    assert_eq!(validity_in_hours(&cert), (-1, 24));
}

#[test]
fn the_administrator_is_bound_by_kubeadms_own_role() {
    let cert = Pki::create().unwrap().admin().unwrap().cert;
    let expected = "O=kubeadm:cluster-admins, CN=kubernetes-admin";
    assert_eq!(subject_of(&cert), expected);
    assert_eq!(validity_in_hours(&cert), (-1, 365 * 24));
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
    let Some(mut openssl) = real::require_command("openssl", "openssl") else {
        return;
    };
    openssl
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(ca);
    let output = real::output_for_stdin(openssl, cert);
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
    let (pki, cluster) = (Pki::create().unwrap(), demo_cluster());
    let server = Server::of(&cluster, &machines_of_others());
    let config = kubeconfig::render(&cluster.name, &server, &pki).unwrap();
    assert!(kubeconfig::is_current(config.expose(), &server, &pki));
    let mut moved = demo_cluster();
    moved.endpoint.port = 7443;
    assert!(
        !kubeconfig::is_current(
            config.expose(),
            &Server::of(&moved, &machines_of_others()),
            &pki
        ),
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

/// Names of clusters that YAML 1.1, which kubectl reads, takes for numbers, truth values or nothing if they stand bare.
const ODD_NAMES: [&str; 12] = [
    "123", "0", "1e3", "0x1f", "0o17", "010", "true", "no", "on", "y", "null", "1-2-3",
];

/// What kubectl calls the contexts of these clusters' kubeconfigs, read all at once.
fn contexts_as_kubectl_sees_them(pki: &Pki, names: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let kubectl = real::of_kubernetes("kubectl")?;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::of(&demo_cluster(), &machines_of_others());
    let files = names.iter().map(|name| {
        let file = dir.path().join(name);
        std::fs::write(
            &file,
            kubeconfig::render(name, &server, pki).unwrap().expose(),
        )
        .unwrap();
        file
    });
    let mut view = std::process::Command::new(kubectl);
    view.env("KUBECONFIG", std::env::join_paths(files).unwrap());
    view.args(["config", "view", "-o", "json"]);
    let output = view.output().unwrap();
    assert!(output.status.success(), "{names:?}: {output:?}");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let contexts = seen["contexts"].as_array().unwrap().iter();
    let name = |context: &serde_json::Value| {
        assert_eq!(context["name"], context["context"]["cluster"]);
        context["name"].as_str().unwrap().to_owned()
    };
    Some(contexts.map(name).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kubectl_reads_every_name_as_the_text_it_is(names in btree_set("[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", 1..40)) {
        let pki = Pki::create().unwrap();
        let names: BTreeSet<String> = names.into_iter().chain(ODD_NAMES.map(str::to_owned)).collect();
        if let Some(seen) = contexts_as_kubectl_sees_them(&pki, &names) {
            prop_assert_eq!(seen, names);
        }
    }
}
