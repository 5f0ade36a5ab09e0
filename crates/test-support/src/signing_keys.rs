//! A signer like Flatcar: one primary key, and subkeys that come, end and are revoked.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::{Cert, CertBuilder, SubkeyRevocationBuilder};
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{Key4, SecretParts, SubordinateRole};
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::serialize::{Serialize, SerializeInto};
use sequoia_openpgp::types::{Curve, KeyFlags, ReasonForRevocation, SignatureType};

/// 365 days.
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The primary key and its certificate so far.
pub struct Authority {
    /// As it would be published.
    pub cert: Cert,
    primary: KeyPair,
}

/// A subkey that signs.
#[derive(Clone)]
pub struct Subkey {
    key: Key<SecretParts, SubordinateRole>,
}

/// So many years ago.
pub fn years_ago(years: f64) -> SystemTime {
    SystemTime::now() - YEAR.mul_f64(years)
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Four years old, with no subkey.
    pub fn new() -> Self {
        let (cert, _) = CertBuilder::new()
            .set_creation_time(years_ago(4.0))
            .set_primary_key_flags(KeyFlags::empty().set_certification())
            .add_userid("Buildbot of a test")
            .generate()
            .unwrap();
        let primary = cert.primary_key().key().clone().parts_into_secret();
        let primary = primary.unwrap().into_keypair().unwrap();
        Self { cert, primary }
    }

    /// The certificate without any secret, as bytes.
    pub fn public(&self) -> Vec<u8> {
        self.cert
            .clone()
            .strip_secret_key_material()
            .to_vec()
            .unwrap()
    }

    /// A new subkey, good from `from` for `lasts`, or for ever.
    pub fn subkey(&mut self, from: SystemTime, lasts: Option<Duration>) -> Subkey {
        let mut key: Key<SecretParts, SubordinateRole> =
            Key4::generate_ecc(true, Curve::Ed25519).unwrap().into();
        key.set_creation_time(from).unwrap();
        let subkey = Subkey { key };
        let back = SignatureBuilder::new(SignatureType::PrimaryKeyBinding)
            .set_signature_creation_time(from)
            .unwrap()
            .sign_primary_key_binding(
                &mut subkey.pair(),
                self.cert.primary_key().key(),
                subkey.key.parts_as_public(),
            )
            .unwrap();
        let binding = SignatureBuilder::new(SignatureType::SubkeyBinding)
            .set_signature_creation_time(from)
            .unwrap()
            .set_key_flags(KeyFlags::empty().set_signing())
            .unwrap()
            .set_key_validity_period(lasts)
            .unwrap()
            .set_embedded_signature(back)
            .unwrap();
        let binding = subkey
            .key
            .bind(&mut self.primary, &self.cert, binding)
            .unwrap();
        self.insert([Packet::from(subkey.key.clone()), binding.into()]);
        subkey
    }

    /// Says that a subkey fell into the wrong hands.
    pub fn revoke(&mut self, subkey: &Subkey) {
        let revocation = SubkeyRevocationBuilder::new()
            .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"stolen")
            .unwrap()
            .build(
                &mut self.primary,
                &self.cert,
                subkey.key.parts_as_public(),
                None,
            )
            .unwrap();
        self.insert([revocation.into()]);
    }

    fn insert<const N: usize>(&mut self, packets: [Packet; N]) {
        self.cert = self.cert.clone().insert_packets(packets).unwrap().0;
    }
}

impl Subkey {
    fn pair(&self) -> KeyPair {
        self.key.clone().into_keypair().unwrap()
    }

    /// Its name.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint().to_hex()
    }

    /// A detached signature, made at this time.
    pub fn sign(&self, data: &[u8], at: SystemTime) -> Vec<u8> {
        self.sign_as(&self.fingerprint(), data, at)
    }

    /// The same, but it says that another key made it.
    pub fn sign_as(&self, name: &str, data: &[u8], at: SystemTime) -> Vec<u8> {
        let signature = SignatureBuilder::new(SignatureType::Binary)
            .set_signature_creation_time(at)
            .unwrap()
            .set_issuer_fingerprint(name.parse().unwrap())
            .unwrap()
            .sign_message(&mut self.pair(), data)
            .unwrap();
        let mut bytes = Vec::new();
        Packet::from(signature).serialize(&mut bytes).unwrap();
        bytes
    }
}
