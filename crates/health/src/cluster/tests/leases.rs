use super::*;

fn serving_request(node: &str, seconds: u64, state: &'static str) -> ServingCertificate {
    ServingCertificate {
        node: node.to_owned(),
        request: format!("csr-{node}"),
        made_ms: NOW - seconds * 1000,
        state,
    }
}

fn set_renewed(view: &mut ClusterView, name: &str, seconds: u64) {
    let renewed = Some(NOW - seconds * 1000);
    view.api().leases.insert(name.to_owned(), renewed);
}

#[test]
fn whoever_renews_no_lease_is_named() {
    check_rows(&[
        (
            "a slow moment",
            |view| set_renewed(view, "kube-scheduler", 40),
            &[],
        ),
        (
            "no scheduler",
            |view| set_renewed(view, "kube-scheduler", 41),
            &["leases: kube-scheduler does not renew its Lease: it is dead, or cannot write"],
        ),
        (
            "a controller manager that never ran",
            |view| {
                let name = "kube-controller-manager".to_owned();
                view.api().leases.insert(name, None);
            },
            &["leases: kube-controller-manager has no Lease: it never ran"],
        ),
        (
            "a kubelet that died a moment ago: its node is still Ready",
            |view| {
                let leases = &mut view.api().kubelet_leases;
                leases.insert("node4".to_owned(), NOW - 45_000);
            },
            &["leases: node4's kubelet does not renew its Lease"],
        ),
        (
            "of a node that is not Ready it is said once",
            |view| {
                let leases = &mut view.api().kubelet_leases;
                leases.insert("node4".to_owned(), NOW - 450_000);
                let node = view.nodes.get_mut("node4").unwrap();
                (node.ready, node.reason) = (false, "Kubelet stopped".to_owned());
            },
            &["node: node4 is not Ready: Kubelet stopped"],
        ),
        (
            "without the cluster's clock nobody is called dead",
            |view| {
                set_renewed(view, "kube-scheduler", 4100);
                view.api().now_ms = None;
            },
            &[],
        ),
    ]);
}

#[test]
fn logs_need_signed_serving_certificates() {
    check_rows(&[
        (
            "a young request",
            |view| view.api().serving_certificates = vec![serving_request("node1", 45, "Pending")],
            &[],
        ),
        (
            "nobody signs",
            |view| {
                let requests = ["node1", "node4"].map(|n| serving_request(n, 46, "Pending"));
                view.api().serving_certificates = requests.into();
            },
            &[
                "logs: `kubectl logs` and `kubectl exec` fail on node1 and node4: the kubelet's request for a serving certificate \
               is Pending, and nobody signs such by himself (serverTLSBootstrap needs an approver)",
            ],
        ),
        (
            "a stranger's",
            |view| view.api().serving_certificates = vec![serving_request("other", 610, "Pending")],
            &[],
        ),
    ]);
}

#[test]
fn the_command_approves_what_waits() {
    let finding = only_finding(|view| {
        let requests = ["node1", "node4"].map(|n| serving_request(n, 200, "Pending"));
        view.api().serving_certificates = requests.into();
    });
    assert_eq!(
        finding.next,
        "kubectl certificate approve csr-node1 csr-node4"
    );
    assert_eq!(finding.seconds, Some(200));
}
