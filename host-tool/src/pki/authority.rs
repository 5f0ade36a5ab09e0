//! One certificate authority.

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use time::{Duration, OffsetDateTime};

use super::secret::Secret;

/// How long a CA lives. kubeadm's own default; kubeadm cannot renew a CA.
const CA_LIFE: Duration = Duration::days(3650);
/// Certificates begin this long before now: a node's clock may be behind.
const BACKDATE: Duration = Duration::hours(1);

/// A CA that can sign.
pub struct Authority {
    cert: String,
    key: Secret,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, both PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The key, PKCS#8.
    pub key: Secret,
}

impl Authority {
    /// A new one.
    pub fn create(common_name: &str) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(common_name, None, CA_LIFE);
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
    pub fn load(cert: String, key: Secret) -> Result<Self> {
        let pair = KeyPair::from_pem(key.expose()).context("its key cannot be read")?;
        let public = pair.subject_public_key_info();
        let issuer =
            Issuer::from_ca_cert_pem(&cert, pair).context("its certificate cannot be read")?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(cert.as_bytes())
            .context("its certificate is no PEM")?;
        let spki = pem
            .parse_x509()
            .context("its certificate cannot be read")?
            .public_key()
            .raw
            .to_vec();
        ensure!(spki == public, "its key does not belong to its certificate");
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

    /// A client certificate.
    pub fn client(
        &self,
        common_name: &str,
        organization: Option<&str>,
        life: Duration,
    ) -> Result<Pair> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(common_name, organization, life);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
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

fn params(common_name: &str, organization: Option<&str>, life: Duration) -> CertificateParams {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - BACKDATE;
    params.not_after = now + life;
    params
}
