use super::*;

#[test]
fn a_node_says_why_it_is_not_ready() {
    let node: Node = serde_json::from_str(
        r#"{"metadata":{"name":"n"},"status":{"conditions":[{"type":"MemoryPressure","status":"False"},
            {"type":"Ready","status":"False","message":"cni plugin not initialized"}]}}"#,
    )
    .unwrap();
    assert!(!node.is_ready());
    assert_eq!(node.why_not_ready(), "cni plugin not initialized");
    assert_eq!(
        Node::default().why_not_ready(),
        "the kubelet has not reported yet"
    );
}

const SECOND: u64 = 1_795_273_242_000;

#[test]
fn a_lease_is_as_old_as_the_apiservers_clock_says() {
    let lease = |fields: &str| -> Lease {
        let spec = r#""spec":{"renewTime":"2026-11-21T18:00:42.123456Z"}"#;
        serde_json::from_str(&format!(
            r#"{{"metadata":{{"name":"kube-scheduler"{fields}}},{spec}}}"#
        ))
        .unwrap()
    };
    let fields = r#","managedFields":[{"manager":"a","time":"2026-11-21T15:00:40Z"},{"time":"2026-11-21T15:00:42Z"}]"#;
    let by_apiserver = lease(fields).renewed_ms();
    assert_eq!(
        by_apiserver,
        Some(SECOND),
        "the holder's clock is three hours ahead"
    );
    assert_eq!(lease("").renewed_ms(), Some(SECOND + 3 * 3_600_000));
    let written = serde_json::to_string(&lease(fields)).unwrap();
    assert!(
        !written.contains("managedFields"),
        "whoever writes does not claim others' fields: {written}"
    );
}

#[test]
fn services_claim_addresses_in_two_ways() {
    let claims = |text: &str| {
        let service: Service = serde_json::from_str(text).unwrap();
        service.claims("10.77.0.30".parse().unwrap())
    };
    assert!(claims(
        r#"{"spec":{"externalIPs":["10.77.0.9","10.77.0.30"]}}"#
    ));
    assert!(claims(
        r#"{"status":{"loadBalancer":{"ingress":[{"ip":"10.77.0.30"}]}}}"#
    ));
    assert!(!claims(
        r#"{"spec":{"externalIPs":["10.77.0.3"]},"status":{"loadBalancer":{"ingress":[{"hostname":"x"}]}}}"#
    ));
}

#[test]
fn requests_for_certificates_are_called_as_kubectl_calls_them() {
    for (status, state, signed) in [
        ("{}", "Pending", false),
        (r#"{"conditions":[{"type":"Approved"}]}"#, "Approved", false),
        (
            r#"{"conditions":[{"type":"Approved"},{"type":"Failed"}]}"#,
            "Failed",
            false,
        ),
        (
            r#"{"conditions":[{"type":"Denied","reason":"x"}]}"#,
            "Denied",
            false,
        ),
        (
            r#"{"conditions":[{"type":"SomethingNew"}]}"#,
            "Pending",
            false,
        ),
        (
            r#"{"conditions":[{"type":"Approved"}],"certificate":"LS0t"}"#,
            "Approved",
            true,
        ),
    ] {
        let text = format!(r#"{{"spec":{{"username":"system:node:node1"}},"status":{status}}}"#);
        let request: CertificateSigningRequest = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (request.state(), request.is_signed()),
            (state, signed),
            "{status}"
        );
        assert_eq!(request.node(), Some("node1"));
    }
}

#[test]
fn a_pod_says_why_it_does_not_serve() {
    for (status, trouble) in [
        (
            r#"{"containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 5m0s"}},
                "lastState":{"terminated":{"reason":"Error","message":"no nameservers found\n"}}}]}"#,
            "CrashLoopBackOff: no nameservers found",
        ),
        (
            r#"{"containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 5m0s"}},
                "lastState":{"terminated":{"reason":"Error","message":""}}}]}"#,
            "CrashLoopBackOff",
        ),
        (
            r#"{"containerStatuses":[{"state":{"waiting":{"reason":"ErrImagePull","message":"not found"}}}]}"#,
            "ErrImagePull: not found",
        ),
        (
            r#"{"conditions":[{"type":"PodScheduled","status":"False","message":"0/1 nodes are available"}]}"#,
            "0/1 nodes are available",
        ),
        ("{}", ""),
    ] {
        let pod: Pod = serde_json::from_str(&format!(r#"{{"status":{status}}}"#)).unwrap();
        assert_eq!(pod.trouble(), trouble);
    }
}
