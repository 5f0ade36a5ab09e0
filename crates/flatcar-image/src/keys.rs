//! Whose signature counts: one primary key, pinned here, and its certificate, which changes every year or two.

use std::path::Path;
use std::str::FromStr;

use super::fetch::read_small_file;
use anyhow::{Context, Result, bail};
use ha_host_base::exit::Stop;
use sequoia_openpgp::cert::{Cert, CertParser};
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::{Fingerprint, KeyHandle};

/// Flatcar Buildbot (Official Builds). It has been the same since 2018; the subkeys that sign change.
pub const FLATCAR: &str = "F88CFEDEFF29A5B4D9523864E25D9AED0593B34A";
/// Its certificate with the two latest signing subkeys: of 2023, expired, and of 2025, good until 2027-03-08.
const CERTIFICATE: &[u8] = include_bytes!("flatcar.asc");

/// The primary key that is believed, and the certificate to judge by unless the user has a newer one.
#[derive(Debug, Clone)]
pub struct TrustedSigner {
    pin: Fingerprint,
    built_in: Vec<u8>,
}

impl TrustedSigner {
    /// Flatcar's.
    pub fn flatcar() -> Result<Self> {
        Ok(Self {
            pin: Fingerprint::from_str(FLATCAR)?,
            built_in: CERTIFICATE.to_vec(),
        })
    }

    /// Somebody else's: only tests may ask for that.
    #[cfg(test)]
    pub fn of(pin: Fingerprint, certificate: &[u8]) -> Self {
        Self {
            pin,
            built_in: certificate.to_vec(),
        }
    }

    /// The certificate to judge by. One from a file must have the pinned primary key, or nothing is believed.
    pub fn certificate(&self, file: Option<&Path>) -> Result<Cert> {
        let Some(path) = file else {
            return self.pick_certificate(&self.built_in, "built into this ha-host");
        };
        let place = path.display().to_string();
        let bytes = read_small_file(path)
            .map_err(|e| Stop::bad_input(format!("the signing key {place} cannot be read: {e}")))?;
        self.pick_certificate(&bytes, &place)
    }

    pub(crate) fn pick_certificate(&self, bytes: &[u8], place: &str) -> Result<Cert> {
        let parsed = CertParser::from_bytes(bytes).and_then(Iterator::collect::<Result<Vec<_>>>);
        let none = || format!("{place} is not an OpenPGP certificate: nothing was fetched");
        let certs: Vec<Cert> = parsed.with_context(none)?;
        if certs.is_empty() {
            bail!(none());
        }
        let found: Vec<String> = certs.iter().map(|c| c.fingerprint().to_hex()).collect();
        if let Some(cert) = certs.into_iter().find(|c| c.fingerprint() == self.pin) {
            return Ok(cert);
        }
        bail!(
            "{place} holds the key {}, and Flatcar signs with {}: nothing was fetched. Take the certificate that Flatcar \
             publishes as its image signing key",
            found.join(" and "),
            self.pin.to_hex()
        )
    }
}

/// A key as people compare it.
pub fn key_hex(handle: &KeyHandle) -> String {
    handle.to_hex()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use sequoia_openpgp::policy::StandardPolicy;

    use super::*;

    #[test]
    fn the_built_in_certificate_is_the_pinned_one() {
        let cert = TrustedSigner::flatcar().unwrap().certificate(None).unwrap();
        assert_eq!(cert.fingerprint().to_hex(), FLATCAR);
        // The policy checks every binding signature: what is built in was signed by the pinned key itself.
        let policy = StandardPolicy::new();
        let at = |seconds| {
            let valid = cert
                .with_policy(&policy, UNIX_EPOCH + Duration::from_secs(seconds))
                .unwrap();
            let keys = valid.keys().subkeys().for_signing().alive().revoked(false);
            keys.map(|k| k.key().fingerprint().to_hex())
                .collect::<Vec<_>>()
        };
        const IN_2024: u64 = 1_717_200_000;
        const IN_2026: u64 = 1_780_272_000;
        const IN_2027: u64 = 1_804_550_400;
        assert_eq!(at(IN_2024), ["E9426D8B67E35DF476BD048185F7C8868837E271"]);
        assert_eq!(at(IN_2026), ["52F145DFD00BBDCD928CBB5A32DA80F91EF52974"]);
        assert!(
            at(IN_2027).is_empty(),
            "docs/images.md says that it ends on 2027-03-08"
        );
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "not a key"] {
            std::fs::write(file.path(), text).unwrap();
            let trust = TrustedSigner::flatcar().unwrap();
            let error = format!("{:#}", trust.certificate(Some(file.path())).unwrap_err());
            assert!(error.contains("is not an OpenPGP certificate"), "{error}");
        }
    }
}
