//! An external etcd: its client's files on control planes alone, and no etcd CA of ours.

use ha_kube::testing::{client_identity, test_authority};

use super::*;

#[test]
fn its_client_is_on_control_planes_alone_and_the_key_is_roots() {
    let dir = tempfile::tempdir().unwrap();
    let ca = test_authority("their-etcd");
    let me = client_identity(&ca);
    let texts = [ca.cert(), &me.cert, me.key.expose()];
    for (name, text) in ["ca.crt", "c.crt", "c.key"].into_iter().zip(texts) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let at = dir.path().display();
    let etcd = format!(
        "etcd: {{external: {{endpoints: [\"https://10.77.0.41:2379\"], caFile: {at}/ca.crt, certFile: {at}/c.crt, keyFile: {at}/c.key}}}}"
    );
    let text = DEMO.replacen("version: 1.36.3", &format!("version: 1.36.3, {etcd}"), 1);
    let cluster = cluster_of_people(&text);
    let files = read_operator_files(&cluster).unwrap();
    assert!(!format!("{files:?}").contains("PRIVATE"));
    for (config, node) in render_all_nodes(&cluster, &files, None)
        .iter()
        .zip(&cluster.nodes)
    {
        let mut written = written_files(config);
        let told = node_file(&written).kubernetes.external_etcd;
        assert_eq!(told, ["https://10.77.0.41:2379"], "{}", node.name);
        let is_plane = node.role == Role::ControlPlane;
        let wanted = |mode, text: &str| is_plane.then(|| (mode, text.to_owned()));
        let key = written.remove(paths::EXTERNAL_ETCD_KEY);
        assert_eq!(key, wanted(0o600, me.key.expose()), "{}", node.name);
        let cert = written.remove(paths::EXTERNAL_ETCD_CERT);
        assert_eq!(cert, wanted(0o644, &me.cert), "{}", node.name);
        let ca_file = written.remove(paths::EXTERNAL_ETCD_CA);
        assert_eq!(ca_file, wanted(0o644, ca.cert()), "{}", node.name);
        assert!(
            !written.keys().any(|name| name.contains("pki/etcd")),
            "{written:?}"
        );
        assert!(
            written
                .values()
                .all(|(_, text)| !text.contains(me.key.expose()))
        );
    }
}
