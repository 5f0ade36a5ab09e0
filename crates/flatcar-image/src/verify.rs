//! Whether a file is what Flatcar signed.

use std::io::Read;
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::parse::stream::{
    DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure, VerificationError,
    VerificationHelper,
};
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::{KeyHandle, Result as PgpResult};

use super::keys::key_hex;

/// What every refusal ends with.
const NOTHING_STORED: &str = "nothing was stored";

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidSignature {
    /// The fingerprint of the key that made it: of a subkey, not of the primary key.
    pub by: String,
    /// When it says that it was made.
    pub at: SystemTime,
}

/// Judges a detached signature over all that `data` gives. The policy looks at every key as it was when the signature was
/// made: one that has expired since is good, one that was revoked as compromised never is.
pub fn verify_signature(
    data: impl Read + Send + Sync,
    signature: &[u8],
    cert: &Cert,
) -> Result<ValidSignature> {
    evaluate_signature(data, signature, cert)?.map_err(|refusal| anyhow!(refusal.message))
}

/// An error if the signature is refused whatever it is over: nobody should fetch half a gigabyte to hear that.
pub fn check_signature_can_hold(signature: &[u8], cert: &Cert) -> Result<()> {
    match evaluate_signature(std::io::empty(), signature, cert)? {
        Err(refusal) if !refusal.by_data => Err(anyhow!(refusal.message)),
        _ => Ok(()),
    }
}

fn evaluate_signature(
    data: impl Read + Send + Sync,
    signature: &[u8],
    cert: &Cert,
) -> Result<SignatureVerdict> {
    let policy = StandardPolicy::new();
    let judge = SignatureJudge {
        cert,
        verdict: None,
    };
    let builder = DetachedVerifierBuilder::from_bytes(signature).map_err(|e| no_signature(&e))?;
    let mut verifier = builder
        .with_policy(&policy, None, judge)
        .map_err(|e| no_signature(&e))?;
    let read = verifier.verify_reader(data);
    // Without a verdict the data could not be read to its end.
    let none = || read.err().unwrap_or_else(|| no_signature(&"it is empty"));
    verifier.into_helper().verdict.ok_or_else(none)
}

/// What one signature comes to.
type SignatureVerdict = Result<ValidSignature, SignatureRefusal>;

/// Why it does not hold.
struct SignatureRefusal {
    message: String,
    /// It might hold over other data.
    by_data: bool,
}

fn no_signature(why: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow!(
        "the .sig file is not an OpenPGP signature ({why}): {NOTHING_STORED}; fetch it again, from beside the image"
    )
}

struct SignatureJudge<'a> {
    cert: &'a Cert,
    verdict: Option<SignatureVerdict>,
}

impl VerificationHelper for SignatureJudge<'_> {
    fn get_certs(&mut self, _ids: &[KeyHandle]) -> PgpResult<Vec<Cert>> {
        Ok(vec![self.cert.clone()])
    }

    fn check(&mut self, structure: MessageStructure) -> PgpResult<()> {
        let mut verdict = Err(SignatureRefusal {
            message: no_signature(&"it is empty").to_string(),
            by_data: false,
        });
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else {
                continue;
            };
            for result in results {
                match result {
                    Ok(good) => verdict = Ok(valid_signature(&good)),
                    Err(error) if verdict.is_err() => verdict = Err(refusal_of(&error)),
                    Err(_) => {}
                }
            }
        }
        self.verdict = Some(verdict);
        Ok(())
    }
}

fn valid_signature(good: &GoodChecksum) -> ValidSignature {
    ValidSignature {
        by: good.ka.key().fingerprint().to_hex(),
        at: good
            .sig
            .signature_creation_time()
            .unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// One message per kind of fault: cause and remedy.
fn refusal_of(error: &VerificationError) -> SignatureRefusal {
    let by_data = matches!(error, VerificationError::BadSignature { .. });
    let message = match error {
        VerificationError::MissingKey { sig } => format!(
            "signed with the key {}, which is not in the certificate that this ha-host goes by: {NOTHING_STORED}. If Flatcar has a new \
             signing key, give its present certificate by HA_HOST_SIGNING_KEY=FILE (or --signing-key FILE of `image pull`); \
             else the image is not Flatcar's",
            issuer_names(sig)
        ),
        VerificationError::UnboundKey { sig, error, .. } => format!(
            "signed with {}, which was no key of Flatcar's when the signature was made ({error:#}): {NOTHING_STORED}; take another version",
            issuer_names(sig)
        ),
        VerificationError::BadKey { sig, error, .. } => format!(
            "signed with {}, which may not sign: {error:#}: {NOTHING_STORED}; take another version or another mirror",
            issuer_names(sig)
        ),
        VerificationError::BadSignature { sig, error, .. } => format!(
            "the signature of {} is not over this file ({error:#}): the file was changed or cut short, or the .sig belongs \
             to another; {NOTHING_STORED}. Try again, or take another mirror",
            issuer_names(sig)
        ),
        VerificationError::MalformedSignature { error, .. } => {
            no_signature(&format!("{error:#}")).to_string()
        }
        _ => no_signature(&"its kind is not known").to_string(),
    };
    SignatureRefusal { message, by_data }
}

/// The keys that a signature names as its makers: the longest form of each.
fn issuer_names(sig: &Signature) -> String {
    let names: Vec<String> = sig.get_issuers().iter().map(key_hex).collect();
    let longest = names.iter().max_by_key(|name| name.len());
    longest.map_or_else(|| "a key without a name".to_owned(), Clone::clone)
}
