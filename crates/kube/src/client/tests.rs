use std::time::Duration;

use super::*;
use crate::Authority;
use crate::error::ErrorKind;
use crate::testing::{self, Script, node_identity, run_local, test_authority};

fn client_of(address: std::net::SocketAddr, ca: &str) -> Client {
    Client::new(format!("https://{address}"), ca, None)
        .unwrap()
        .within(Duration::from_secs(2))
}

/// The same as one of the cluster's nodes.
fn client_of_node(address: std::net::SocketAddr, ca: &Authority) -> Client {
    let me = node_identity(ca, "node2");
    Client::new(format!("https://{address}"), ca.cert(), Some(&me)).unwrap()
}

#[test]
fn the_ways_to_fail_are_told_apart() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        script
            .on("GET /readyz", 503, "[+]ping ok\n[-]etcd failed")
            .on("GET /readyz", 200, "ok");
        let address = script.serve(&ca).await;
        let client = client_of(address, ca.cert());
        let error = client.ready().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("https://{address}/readyz: HTTP 503: [+]ping ok")
        );
        client.ready().await.unwrap();
        let error = client.node("node9").await.unwrap_err();
        assert!(error.is_forbidden(), "nobody in particular asks: {error}");
        assert!(
            client_of_node(address, &ca)
                .node("node9")
                .await
                .unwrap()
                .is_none(),
            "404 is an answer"
        );
    });
}

#[test]
fn nobody_listens() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let free = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let error = client_of(free, ca.cert()).ready().await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Refused));
        assert_eq!(
            error.to_string(),
            format!("https://{free}/readyz: Connection refused")
        );
    });
}

#[test]
fn another_cluster_is_named_by_its_ca() {
    run_local(async {
        let (ours, theirs) = (
            test_authority("kubernetes"),
            test_authority("their-kubernetes"),
        );
        let script = Script::default();
        let address = script.on("GET /readyz", 200, "ok").serve(&theirs).await;
        let error = client_of(address, ours.cert())
            .ready()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(
                "another cluster answers on this address (its CA: CN=their-kubernetes, key id "
            ),
            "{error}"
        );
        assert!(
            error.ends_with("change the cluster's endpoint or stop it"),
            "{error}"
        );
    });
}

#[test]
fn a_cut_connection_is_no_answer() {
    run_local(async {
        // haproxy without a living backend: it accepts and closes.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        });
        let error = client_of(address, test_authority("x").cert())
            .ready()
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::ClosedInHandshake(_)),
            "{error:?}"
        );
        assert_eq!(error.status(), None);
    });
}

#[test]
fn silence_has_an_end() {
    run_local(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client =
            client_of(address, test_authority("x").cert()).within(Duration::from_millis(100));
        let error = client.ready().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("https://{address}/readyz: no answer within 0.1 s")
        );
        assert!(matches!(error.kind, ErrorKind::Silent(_)));
        drop(listener);
    });
}

#[test]
fn names_are_never_looked_up() {
    run_local(async {
        let error = Client::new("https://localhost:1", test_authority("x").cert(), None)
            .unwrap()
            .ready()
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("names are not looked up"),
            "{error}"
        );
    });
}

#[test]
fn a_lost_race_is_a_conflict() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        let client = client_of_node(script.serve(&ca).await, &ca);
        let mut lease = Lease::default();
        lease.metadata.name = "x".into();
        let first = client.create_lease(&lease).await.unwrap();
        assert!(client.create_lease(&lease).await.unwrap_err().is_conflict());
        let second = client.update_lease(&first).await.unwrap();
        assert!(client.update_lease(&first).await.unwrap_err().is_conflict());
        client.update_lease(&second).await.unwrap();
    });
}

/// The same words that kubectl sends; a real apiserver answers 415 to any other.
#[test]
fn a_patch_says_what_kind_it_is() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        script.on("PATCH /api/v1/nodes/node2", 200, "{}");
        let client = client_of_node(script.serve(&ca).await, &ca);
        let metadata = serde_json::json!({"labels": {"disk": "ssd"}});
        client.mark_node("node2", &metadata).await.unwrap();
        assert_eq!(
            script.asked("PATCH"),
            [r#"PATCH /api/v1/nodes/node2 {"metadata":{"labels":{"disk":"ssd"}}}"#]
        );
    });
}

#[test]
fn a_stranger_s_certificate_is_refused() {
    run_local(async {
        let (ca, other) = (test_authority("kubernetes"), test_authority("kubernetes"));
        let script = Script::default();
        let address = script.on("GET /readyz", 200, "ok").serve(&ca).await;
        let me = node_identity(&other, "node2");
        let client = Client::new(format!("https://{address}"), ca.cert(), Some(&me)).unwrap();
        assert!(client.ready().await.is_err());
        assert!(script.asked("GET").is_empty());
    });
}

#[test]
fn a_ca_of_the_same_name_is_another_cluster() {
    run_local(async {
        let (ours, theirs) = (test_authority("kubernetes"), test_authority("kubernetes"));
        let script = Script::default();
        let address = script.on("GET /readyz", 200, "ok").serve(&theirs).await;
        let error = client_of(address, ours.cert()).ready().await.unwrap_err();
        assert!(
            matches!(
                error.kind,
                ErrorKind::BadSignature { issuer: Some(_) }
                    | ErrorKind::UnknownIssuer { issuer: Some(_) }
            ),
            "{error:?}"
        );
    });
}

#[test]
fn a_server_that_hangs_up_after_the_handshake_was_there() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        let address = script
            .on("GET /readyz", testing::HANG_UP, "")
            .serve(&ca)
            .await;
        let error = client_of(address, ca.cert()).ready().await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Broken(_)), "{error:?}");
    });
}

#[test]
fn an_expired_certificate_is_told_apart() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        let address = script.serve_expired(&ca).await;
        let error = client_of(address, ca.cert()).ready().await.unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::CertificateExpired),
            "{error:?}"
        );
    });
}

#[test]
fn a_machine_that_drops_packets_is_not_silent() {
    run_local(async {
        // TEST-NET-1 is routed nowhere; a gateway may refuse in its name.
        let error = client_of(
            "192.0.2.1:6443".parse().unwrap(),
            test_authority("x").cert(),
        )
        .within(Duration::from_millis(100))
        .ready()
        .await
        .unwrap_err();
        assert!(
            matches!(
                error.kind,
                ErrorKind::ConnectTimeout(_) | ErrorKind::NotConnected(_) | ErrorKind::Refused
            ),
            "{error:?}"
        );
    });
}

#[test]
fn the_servers_clock_is_read_whatever_it_answers() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        script.on("GET /readyz", 500, "not well");
        let client = client_of(script.serve(&ca).await, ca.cert());
        assert_eq!(client.now_ms().await.unwrap(), None, "it does not tell");
        *script.date.borrow_mut() = "Sat, 21 Nov 2026 15:00:42 GMT".to_owned();
        assert_eq!(client.now_ms().await.unwrap(), Some(1_795_273_242_000));
    });
}

#[test]
fn a_write_is_tried_and_stored_nowhere() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        let path = "POST /api/v1/namespaces/kube-system/configmaps?dryRun=All";
        let refused = r#"{"message":"failed calling webhook"}"#;
        script.on(path, 500, refused).on(path, 201, "{}");
        let client = client_of_node(script.serve(&ca).await, &ca);
        let error = client.try_write().await.unwrap_err();
        assert_eq!(error.kind.to_string(), "HTTP 500: failed calling webhook");
        client.try_write().await.unwrap();
    });
}
