//! What one node gets that others do not.

use super::*;

#[test]
fn labels_that_a_kubelet_may_not_set_are_signed_for_workers() {
    let labels = "labels: {node-role.kubernetes.io/worker: \"\", disk: ssd}";
    let text = ["11", "14"].iter().fold(DEMO.to_owned(), |text, end| {
        let address = format!("10.77.0.{end}}}");
        text.replace(&address, &format!("10.77.0.{end}, {labels}}}"))
    });
    let cluster = cluster_of_people(&text);
    let files = read_operator_files(&cluster).unwrap();
    let pki = Pki::create().unwrap();
    let renderer = ConfigRenderer {
        cluster: &cluster,
        pki: &pki,
        files: &files,
        founder: None,
    };
    let told: Vec<NodeFile> = cluster
        .nodes
        .iter()
        .map(|n| renderer.node_file(n))
        .collect();
    let labels = told[3].restricted_labels();
    assert_eq!(labels.len(), 1);
    let signature = told[3].label_signature.clone().unwrap();
    let signed = SignedLabels { labels, signature };
    assert!(signed.are_genuine(pki.cluster.key(), "demo", "node4"));
    // A control plane needs nobody's word, a node without such labels asks for none.
    assert!(
        [0, 1, 4]
            .iter()
            .all(|at| told[*at].label_signature.is_none())
    );
}

#[test]
fn what_the_image_brings_is_chosen() {
    let text = DEMO
        .replace(
            "dns: [10.77.0.1]",
            "dns: [10.77.0.1], ntp: [ntp.example.com, 10.77.0.1]",
        )
        .replace(
            "10.77.0.14}",
            "10.77.0.14, flatcarExtensions: [podman, zfs], kubeletConfig: {maxPods: 60}}",
        );
    let text = format!("{text}ssh: {{kubeconfig: true}}\nflatcarExtensions: [zfs]\n");
    let cluster = cluster_of_people(&text);
    let configs = render_all_nodes(&cluster, &read_operator_files(&cluster).unwrap(), None);
    let (plane, worker) = (written_files(&configs[0]), written_files(&configs[3]));
    let text = |files: &Files, path: &str| files[path].1.clone();
    let time = text(&plane, "/etc/systemd/timesyncd.conf.d/10-ha-host.conf");
    assert_eq!(time, "[Time]\nNTP=ntp.example.com 10.77.0.1\n");
    let extensions = [&plane, &worker].map(|files| text(files, "/etc/flatcar/enabled-sysext.conf"));
    assert_eq!(extensions, ["zfs\n", "podman\nzfs\n"]);
    let drop_in = "/etc/kubernetes/kubelet.conf.d/10-ha-host.conf";
    assert!(!plane.contains_key(drop_in) && text(&worker, drop_in).contains("\"maxPods\": 60"));
    let copies = |config: &Value| config.to_string().contains("ha-core-kubeconfig.path");
    assert!(copies(&configs[0]) && !copies(&configs[3]));
}

#[test]
fn a_ca_that_is_trusted_is_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create().unwrap();
    let (one, two) = (pki.cluster.cert(), pki.etcd.cert());
    let path = dir.path().join("cas.pem");
    let text = format!("{DEMO}trustedCAs: [{}]\n", path.display());
    let cluster = cluster_of_people(&text);
    std::fs::write(&path, format!("# ours\n{one}\n{two}")).unwrap();
    let configs = render_all_nodes(&cluster, &read_operator_files(&cluster).unwrap(), None);
    for config in [&configs[0], &configs[4]] {
        let files = written_files(config);
        let text = |name: &str| files[&format!("/etc/ssl/certs/{name}")].1.trim().to_owned();
        assert_eq!(
            [text("ha-host-00.pem"), text("ha-host-01.pem")],
            [one.trim(), two.trim()]
        );
        assert!(
            config
                .to_string()
                .contains("update-ca-certificates.service")
        );
    }
    let key = pki.cluster.key().expose();
    for (bad, words) in [
        (format!("{one}{key}"), "holds a private key"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "holds no certificate",
        ),
        ("nothing".to_owned(), "holds no certificate"),
    ] {
        std::fs::write(&path, bad).unwrap();
        let error = read_operator_files(&cluster).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
