use super::*;
use crate::APISERVER_NAME;
use crate::certificate::certificates_in;
use crate::testing::{Script, run_local, test_authority};

fn probe_trusting(ca: &str) -> HandshakeProbe {
    HandshakeProbe::new(ca, APISERVER_NAME).unwrap()
}

/// What a handshake with a server of the CA `kubernetes` ends with, if it is served so.
async fn handshake_with(ca: &str, address: SocketAddr) -> Result<Vec<u8>, ErrorKind> {
    probe_trusting(ca).shake_hands(address).await
}

#[test]
fn a_server_of_the_ca_shows_its_certificate() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let at = "127.90.0.1:6443";
        let shown = Script::default().serve_showing(&ca, at).await;
        let leaf = handshake_with(ca.cert(), at.parse().unwrap())
            .await
            .unwrap();
        assert_eq!(leaf, certificates_in(&shown).remove(0));
    });
}

#[test]
fn nobody_who_listens_is_told_from_nobody_who_is_reached() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let refused = handshake_with(ca.cert(), "127.90.0.2:6443".parse().unwrap()).await;
        assert!(matches!(refused, Err(ErrorKind::Refused)), "{refused:?}");
        // No TCP connection is ever made to a group of machines.
        let nowhere = handshake_with(ca.cert(), "224.0.0.2:6443".parse().unwrap()).await;
        assert!(
            matches!(nowhere, Err(ErrorKind::NotConnected(_))),
            "{nowhere:?}"
        );
    });
}

#[test]
fn who_hangs_up_and_who_says_nothing_are_told_apart() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let listener = tokio::net::TcpListener::bind("127.90.0.3:6443").await;
        let listener = listener.unwrap();
        let at = listener.local_addr().unwrap();
        let silent = handshake_with(ca.cert(), at).await;
        assert!(matches!(silent, Err(ErrorKind::Silent(_))), "{silent:?}");
        let hang_up = async {
            // The connection of the look above, then that of the one below.
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
        };
        let (closed, ()) = tokio::join!(handshake_with(ca.cert(), at), hang_up);
        assert!(
            matches!(closed, Err(ErrorKind::ClosedInHandshake(_))),
            "{closed:?}"
        );
    });
}

#[test]
fn every_failure_that_only_a_server_of_the_ca_can_cause_says_so() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        let expired = script.serve_expired(&ca).await;
        let ended = handshake_with(ca.cert(), expired).await.unwrap_err();
        assert!(ended.vouches_for_server(), "{ended:?}");
        let to_come = script.serve_to_come(&ca).await;
        let early = handshake_with(ca.cert(), to_come).await.unwrap_err();
        assert!(
            matches!(early, ErrorKind::CertificateNotYetValid),
            "{early:?}"
        );
        assert!(early.vouches_for_server());
        let at = script.serve(&ca).await;
        let other_name = HandshakeProbe::new(ca.cert(), "localhost").unwrap();
        let misnamed = other_name.shake_hands(at).await.unwrap_err();
        assert!(misnamed.vouches_for_server(), "{misnamed:?}");
        let stranger = test_authority("other");
        let foreign = handshake_with(stranger.cert(), at).await.unwrap_err();
        assert!(
            matches!(foreign, ErrorKind::UnknownIssuer { .. }),
            "{foreign:?}"
        );
        assert!(!foreign.vouches_for_server());
    });
}

#[test]
fn a_server_that_wants_a_client_certificate_stands_all_the_same() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        run_local(async {
            let ca = test_authority("etcd-ca");
            let at = Script::default().serve_demanding(&ca, version).await;
            let stands = match handshake_with(ca.cert(), at).await {
                Ok(_) => true,
                Err(error) => error.vouches_for_server(),
            };
            assert!(stands, "{:?}", version.version);
        });
    }
}

#[test]
fn a_file_without_a_ca_is_named() {
    let error = HandshakeProbe::new("nothing", APISERVER_NAME).unwrap_err();
    assert!(error.to_string().contains("CA certificate"), "{error}");
}
