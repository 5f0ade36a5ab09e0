//! Certificate authorities and the client certificates that they sign. ECDSA P-256, PKCS#8 PEM: what kubeadm loads.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Secret;
use crate::certificate::certificates_in;

/// How long a CA lives. kubeadm's own default; kubeadm cannot renew a CA.
const CA_LIFE: Duration = Duration::days(3650);
/// Certificates begin this long before now: a node's clock may be behind.
pub const BACKDATE: Duration = Duration::hours(1);

/// Why a CA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key is not a private key in PEM.
    #[error("its key cannot be read")]
    Key(#[source] rcgen::Error),
    /// The certificate is not one in PEM.
    #[error("its certificate cannot be read")]
    Certificate,
    /// Key and certificate are of two CAs.
    #[error("its key does not belong to its certificate")]
    Mismatch,
    /// A key could not be generated, or a certificate not be signed.
    #[error("cannot make a certificate")]
    Signing(#[from] rcgen::Error),
}

/// A CA that can sign.
pub struct Authority {
    cert: String,
    key: Secret,
    issuer: Issuer<'static, KeyPair>,
}

/// A client certificate with its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The key, PKCS#8.
    pub key: Secret,
}

impl Identity {
    /// From one file that holds both, as the kubelet keeps them.
    pub fn from_joint_pem(pem: &str) -> Self {
        Self {
            cert: pem.to_owned(),
            key: Secret::new(pem.to_owned()),
        }
    }

    /// Certificate and key in one text.
    pub fn joint_pem(&self) -> Secret {
        // Twice the same certificate would be a wrong chain.
        if self.cert == self.key.expose() {
            return self.key.clone();
        }
        Secret::new(format!("{}\n{}", self.cert, self.key.expose()))
    }
}

impl Authority {
    /// A new one.
    pub fn create(common_name: &str, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = certificate_params(common_name, None, CA_LIFE, now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let cert = params.self_signed(&key)?.pem();
        let pem = Secret::new(key.serialize_pem());
        Ok(Self {
            cert,
            key: pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// One that was made earlier.
    pub fn load(cert: String, key: Secret) -> Result<Self, AuthorityError> {
        let pair = KeyPair::from_pem(key.expose()).map_err(AuthorityError::Key)?;
        let der = certificates_in(&cert).into_iter().next();
        let der = der.ok_or(AuthorityError::Certificate)?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|_| AuthorityError::Certificate)?;
        if parsed.public_key().raw != pair.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        let issuer =
            Issuer::from_ca_cert_pem(&cert, pair).map_err(|_| AuthorityError::Certificate)?;
        Ok(Self { cert, key, issuer })
    }

    /// The certificate, PEM.
    pub fn cert(&self) -> &str {
        &self.cert
    }

    /// The key, PEM.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// What it signs with, for certificates of servers in tests.
    #[cfg(feature = "testing")]
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Signs a client certificate.
    pub fn sign_client(
        &self,
        common_name: &str,
        organization: Option<&str>,
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<Identity, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = certificate_params(common_name, organization, life, now);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity {
            cert,
            key: Secret::new(key.serialize_pem()),
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("cert", &self.cert)
            .finish_non_exhaustive()
    }
}

/// A new key pair for service-account tokens: public key and key, PEM.
pub fn service_account_keys() -> Result<(String, Secret), AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((key.public_key_pem(), Secret::new(key.serialize_pem())))
}

fn certificate_params(
    common_name: &str,
    organization: Option<&str>,
    life: Duration,
    now: OffsetDateTime,
) -> CertificateParams {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - BACKDATE;
    params.not_after = now + life;
    params
}

#[cfg(test)]
mod tests;
