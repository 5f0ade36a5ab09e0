//! What the fuzz target `image_signature` and the replay of its corpus hold true of all bytes. Not for programs.

use std::sync::OnceLock;

use sequoia_openpgp::cert::Cert;

use crate::keys::{FLATCAR, Trust};
use crate::verify::{possible, verify};

/// What no signature of Flatcar's is over.
const UNSIGNED: &[u8] = b"nobody signed this";

/// Whatever a `.sig` file or a certificate file holds, it makes nobody believe what Flatcar did not sign.
///
/// # Panics
/// If that does not hold.
pub fn image_signature(bytes: &[u8]) {
    let (trust, cert) = flatcar();
    assert!(verify(UNSIGNED, bytes, cert).is_err());
    if let Err(error) = possible(bytes, cert) {
        assert!(!error.to_string().is_empty());
    }
    if let Ok(cert) = trust.pick_certificate(bytes, "a file") {
        assert_eq!(cert.fingerprint().to_hex(), FLATCAR);
    }
}

fn flatcar() -> &'static (Trust, Cert) {
    static FLATCARS: OnceLock<(Trust, Cert)> = OnceLock::new();
    FLATCARS.get_or_init(|| {
        let trust = Trust::flatcar().expect("the pin is a fingerprint");
        let cert = trust.certificate(None);
        (
            trust,
            cert.expect("the built-in certificate has the pinned key"),
        )
    })
}
