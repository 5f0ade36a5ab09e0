use super::*;

#[test]
fn an_unknown_authority_says_what_to_do() {
    let kind = ErrorKind::UnknownIssuer {
        issuer: Some("CN=kubernetes, key id 9f2c".into()),
    };
    assert_eq!(
        ApiError::new("https://10.77.0.30:6444/readyz", kind).to_string(),
        "https://10.77.0.30:6444/readyz: certificate signed by an unknown authority: another cluster answers on this \
         address (its CA: CN=kubernetes, key id 9f2c): change the cluster's endpoint or stop it"
    );
}

#[test]
fn an_empty_body_leaves_no_loose_colon() {
    let kind = ErrorKind::Status {
        code: 503,
        reason: String::new(),
    };
    assert_eq!(kind.to_string(), "HTTP 503");
    assert_eq!(ApiError::new("u", kind).to_string(), "u: HTTP 503");
}

#[test]
fn what_lies_in_wrapped_errors_is_found() {
    let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
    let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, expired.clone()));
    assert_eq!(find_in_chain::<rustls::Error>(&wrapped), Some(&expired));
    assert!(matches!(
        ErrorKind::of_tls(&expired),
        ErrorKind::CertificateExpired
    ));
    assert!(find_in_chain::<rustls::Error>(&io::Error::other("certificate")).is_none());
}

#[test]
fn faults_of_the_system_come_without_their_number() {
    let refused = io::Error::from_raw_os_error(111);
    assert_eq!(innermost_cause(&refused), "Connection refused");
}
