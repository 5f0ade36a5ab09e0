use super::*;

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
    let address = |url: &str| address_of(url).unwrap().to_string();
    assert_eq!(address("https://10.77.0.11:6443/readyz"), "10.77.0.11:6443");
    assert_eq!(address("https://[fd00::1]:6443/readyz"), "[fd00::1]:6443");
    assert_eq!(
        address("https://kubernetes:20000/readyz"),
        "127.0.0.1:20000"
    );
    assert!(address_of("https://localhost:1").is_none());
}
