use super::*;
use std::cell::Cell;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};

use crate::testing::{Script, run_local, test_authority};

/// Hands connections on to `server`, and counts them.
async fn forward_counted(server: SocketAddr) -> (SocketAddr, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    tokio::task::spawn_local(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counter.set(counter.get() + 1);
            tokio::task::spawn_local(async move {
                let mut to = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (address, count)
}

#[test]
fn fresh_connections_are_not_kept() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        script.on("GET /readyz", 200, "ok");
        let (address, count) = forward_counted(script.serve(&ca).await).await;
        let url = crate::url_of(address);
        let kept = HttpsClient::new(&url, ca.cert(), None).unwrap();
        let fresh = HttpsClient::with_fresh_connections(&url, ca.cert()).unwrap();
        for (client, connections) in [(kept, 1), (fresh, 3)] {
            count.set(0);
            for _ in 0..3 {
                let asked = client.text(Method::GET, "/readyz", Body::none());
                asked.await.unwrap();
            }
            assert_eq!(count.get(), connections);
        }
    });
}

#[test]
fn the_servers_own_words_are_kept() {
    assert_eq!(
        server_reason(r#"{"kind":"Status","message":"leases.x \"y\" not found","code":404}"#),
        "leases.x \"y\" not found"
    );
    assert_eq!(
        server_reason(r#"{"error":"etcdserver: unhealthy cluster","code":14}"#),
        "etcdserver: unhealthy cluster"
    );
    assert_eq!(server_reason("[+]ping ok\n[-]etcd failed"), "[+]ping ok");
    assert_eq!(server_reason(""), "");
}

#[test]
fn a_url_names_its_servers_address() {
    let address = |url: &str| Server::from(url).first_address().unwrap().to_string();
    assert_eq!(address("https://10.77.0.11:6443/readyz"), "10.77.0.11:6443");
    assert_eq!(address("https://[fd00::1]:6443/readyz"), "[fd00::1]:6443");
    assert_eq!(
        address("https://kubernetes:20000/readyz"),
        "127.0.0.1:20000"
    );
    assert!(
        Server::from("https://localhost:1")
            .first_address()
            .is_none()
    );
}

#[test]
fn a_name_comes_with_its_addresses_and_the_one_that_answers_is_taken() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let script = Script::default();
        script.on("GET /readyz", 200, "ok");
        let address = script.serve(&ca).await;
        let dead = [127, 0, 0, 99].into();
        let server = |name| Server::named(name, address.port(), [dead, address.ip()]);
        let ask = async |name| {
            let client = HttpsClient::new(server(name), ca.cert(), None).unwrap();
            client.text(Method::GET, "/readyz", Body::none()).await
        };
        assert_eq!(ask("kubernetes").await.unwrap(), "ok");
        // The certificate does not hold this one.
        let error = ask("k8s-api.example.org").await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Tls(_)), "{error}");
    });
}
