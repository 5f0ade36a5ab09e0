//! What the fuzz target `image_signature` and the replay of its corpus hold true of all bytes. Not for programs.

use std::sync::OnceLock;

use sequoia_openpgp::cert::Cert;

use crate::keys::{FLATCAR, TrustedSigner};
use crate::verify::{check_signature_can_hold, verify_signature};

/// What no signature of Flatcar's is over.
const UNSIGNED: &[u8] = b"nobody signed this";

/// Whatever a `.sig` file or a certificate file holds, it makes nobody believe what Flatcar did not sign.
///
/// # Panics
/// If that does not hold.
pub fn image_signature(bytes: &[u8]) {
    let (trust, cert) = flatcars_signer();
    assert!(verify_signature(UNSIGNED, bytes, cert).is_err());
    if let Err(error) = check_signature_can_hold(bytes, cert) {
        assert!(!error.to_string().is_empty());
    }
    if let Ok(cert) = trust.pick_certificate(bytes, "a file") {
        assert_eq!(cert.fingerprint().to_hex(), FLATCAR);
    }
}

fn flatcars_signer() -> &'static (TrustedSigner, Cert) {
    static FLATCARS: OnceLock<(TrustedSigner, Cert)> = OnceLock::new();
    FLATCARS.get_or_init(|| {
        let trust = TrustedSigner::flatcar().expect("the pin is a fingerprint");
        let cert = trust.certificate(None);
        (
            trust,
            cert.expect("the built-in certificate has the pinned key"),
        )
    })
}
