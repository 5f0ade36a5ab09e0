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
