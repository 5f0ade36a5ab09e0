use ha_kube::authority::service_account_keys;

use super::*;

/// A key, PEM, and its public half.
fn new_key_pair() -> (String, String) {
    let (public, private) = service_account_keys().unwrap();
    (private.expose().to_owned(), public)
}

fn der_of_pem(pem: &str) -> Vec<u8> {
    let body = pem.lines().filter(|l| !l.starts_with("-----"));
    BASE64.decode(body.collect::<String>()).unwrap()
}

#[test]
fn a_key_is_found_in_every_form_and_nothing_public_is() {
    let dir = tempfile::tempdir().unwrap();
    let (private, public) = new_key_pair();
    let nested = format!(
        "{{\"source\": \"data:;base64,{}\"}}",
        BASE64.encode(&private)
    );
    let secret: [(&str, Vec<u8>); 6] = [
        ("pem", private.clone().into_bytes()),
        ("der", der_of_pem(&private)),
        ("base64", BASE64.encode(&private).into_bytes()),
        (
            "base64-after-one",
            BASE64.encode(format!("x{private}")).into_bytes(),
        ),
        (
            "base64-after-two",
            BASE64.encode(format!("xy{private}")).into_bytes(),
        ),
        ("ignition", nested.into_bytes()),
    ];
    let harmless: [(&str, Vec<u8>); 3] = [
        ("public", public.clone().into_bytes()),
        ("public-der", der_of_pem(&public)),
        ("another", new_key_pair().0.into_bytes()),
    ];
    let write = |(name, bytes): &(&str, Vec<u8>)| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let secret: Vec<PathBuf> = secret.iter().map(write).collect();
    let all: Vec<PathBuf> = secret
        .iter()
        .cloned()
        .chain(harmless.iter().map(write))
        .collect();
    let keys = PrivateKeys::new(&[private]).unwrap();
    assert_eq!(keys.found_in(&all).unwrap(), secret);
}

#[test]
fn a_file_that_cannot_be_searched_is_an_error() {
    let keys = PrivateKeys::new(&[new_key_pair().0]).unwrap();
    assert!(keys.found_in(&["/nonexistent".into()]).is_err());
}

#[test]
fn no_key_to_look_for_is_an_error() {
    assert!(PrivateKeys::new(&[]).is_err());
    assert!(PrivateKeys::new(&["no PEM".to_owned()]).is_err());
}

#[test]
fn the_key_of_a_kubeconfig_is_read_in_both_ways_of_writing_it() {
    let data = BASE64.encode("a key");
    for text in [
        format!("  client-key-data: {data}\n  b: c\n"),
        format!("{{\"client-key-data\": \"{data}\"}}"),
    ] {
        assert_eq!(key_in_kubeconfig(&text).unwrap(), "a key");
    }
    assert!(key_in_kubeconfig("users: []").is_err());
}
