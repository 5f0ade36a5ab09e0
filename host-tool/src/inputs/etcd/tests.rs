use std::os::unix::fs::PermissionsExt as _;

use ha_kube::testing::{client_identity, node_identity, server_only_pair, test_authority};

use super::*;

/// The three files, the key 0600.
fn files_of(dir: &Path, ca: &str, cert: &str, key: &str) -> ExternalEtcd {
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    ExternalEtcd {
        endpoints: Vec::new(),
        ca_file: write("ca.crt", ca),
        cert_file: write("client.crt", cert),
        key_file: write("client.key", key),
    }
}

#[test]
fn files_that_do_not_fit_are_told_with_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (test_authority("etcd-ca"), test_authority("other"));
    let (me, stranger) = (client_identity(&ca), client_identity(&ca));
    let (server, server_key) = server_only_pair(&ca, [127, 0, 0, 1].into());
    let ended = node_identity(&ca, "node1");
    let (cert, key) = (me.cert.as_str(), me.key.expose());
    for (ca_text, cert, key, says) in [
        ("x", cert, key, "caFile: "),
        (key, cert, key, "holds a private key"),
        (ca.cert(), "x", key, "certFile: "),
        (ca.cert(), cert, "x", "keyFile: "),
        (
            ca.cert(),
            cert,
            stranger.key.expose(),
            "is not the key to certFile",
        ),
        (
            ca.cert(),
            &ended.cert,
            ended.key.expose(),
            "ended on 2023-11-15",
        ),
        (
            ca.cert(),
            &server,
            &server_key,
            "is not a client certificate",
        ),
    ] {
        let files = files_of(dir.path(), ca_text, cert, key);
        let error = format!("{:#}", EtcdClientFiles::read(&files).unwrap_err());
        assert!(error.contains(says), "{says}: {error}");
        assert!(!error.contains("BEGIN"), "{error}");
    }
    let files = files_of(dir.path(), other.cert(), cert, key);
    let (_, warnings) = EtcdClientFiles::read(&files).unwrap();
    assert!(warnings[1].contains("not signed by the CA"), "{warnings:?}");
}

#[test]
fn a_good_one_is_read_whole_and_its_key_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let ca = test_authority("etcd-ca");
    let me = client_identity(&ca);
    let files = files_of(dir.path(), ca.cert(), &me.cert, me.key.expose());
    let (read, warnings) = EtcdClientFiles::read(&files).unwrap();
    assert_eq!(
        (read.ca.as_str(), read.key.expose()),
        (ca.cert(), me.key.expose())
    );
    assert!(!format!("{read:?}").contains("PRIVATE"));
    // It lives for two hours.
    assert!(
        warnings.len() == 1 && warnings[0].contains("ends on"),
        "{warnings:?}"
    );
    std::fs::set_permissions(&files.key_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (_, warnings) = EtcdClientFiles::read(&files).unwrap();
    assert!(warnings[1].contains("mode 0644"), "{warnings:?}");
}

#[test]
fn check_shows_a_fault_at_the_key_that_names_the_file() {
    use ha_cluster_file::check::named_files;
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (test_authority("etcd-ca"), test_authority("other"));
    let (me, stranger) = (client_identity(&ca), client_identity(&ca));
    files_of(dir.path(), other.cert(), &me.cert, stranger.key.expose());
    let etcd = "etcd: {external: {endpoints: [], caFile: ca.crt, certFile: client.crt, keyFile: client.key}}";
    let text = format!("kubernetes: {{version: 1.36.3, {etcd}}}\n");
    let faults = super::super::judge_named_files(&named_files(&text, dir.path()));
    let told: Vec<(&str, bool)> = faults
        .iter()
        .map(|fault| {
            (
                fault.path.as_str(),
                fault.message.contains("is not the key"),
            )
        })
        .collect();
    let at = |key: &str| format!("kubernetes.etcd.external.{key}");
    let (cert, key) = (at("certFile"), at("keyFile"));
    // Soon over, and another CA's; both are warnings.
    assert_eq!(told, [(cert.as_str(), false), (&cert, false), (&key, true)]);
}
