//! Who this node is towards the cluster: a certificate and its key, from Ignition, from the kubelet, or minted from a CA
//! that lies on this node (control planes).

use anyhow::{Context as _, Result};
use ha_wire::paths;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{KUBELET_PEM, pki};
use crate::context::Context;

/// A minted certificate lives this long: longer than any phase, shorter than a working day.
const MINTED_LIFE: Duration = Duration::hours(2);
/// Nodes' clocks may differ by this much before certificates fail.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// A client certificate with its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl Identity {
    /// The identity that Ignition brought; none once it is wiped.
    pub fn from_ignition(cx: &Context) -> Result<Option<Self>> {
        let cert = cx.sys.files.read(paths::IDENTITY_CERT)?;
        let key = cx.sys.files.read(paths::IDENTITY_KEY)?;
        Ok(cert.zip(key).map(|(cert, key)| Self {
            cert,
            key: Zeroizing::new(key),
        }))
    }

    /// This node as the cluster knows it: Ignition's identity, then the kubelet's own.
    pub fn of_node(cx: &Context) -> Result<Self> {
        if let Some(mine) = Self::from_ignition(cx)? {
            return Ok(mine);
        }
        let both = cx.sys.files.read(KUBELET_PEM)?.with_context(|| {
            format!(
                "no identity: neither {} nor {KUBELET_PEM} is there",
                paths::IDENTITY_CERT
            )
        })?;
        Ok(Self {
            cert: both.clone(),
            key: Zeroizing::new(both),
        })
    }

    /// An administrator, minted in memory from the cluster CA on this control plane. In `system:masters`, because that
    /// alone works before kubeadm has made its role bindings; it dies with the process or after two hours.
    pub fn admin(cx: &Context) -> Result<Self> {
        Self::minted(
            cx,
            "ca",
            &format!("ha-agent:{}", cx.node.name),
            Some("system:masters"),
        )
    }

    /// A client of etcd, minted from etcd's CA.
    pub fn etcd_client(cx: &Context) -> Result<Self> {
        Self::minted(cx, "etcd/ca", &format!("ha-agent:{}", cx.node.name), None)
    }

    fn minted(cx: &Context, ca: &str, name: &str, organization: Option<&str>) -> Result<Self> {
        let read = |suffix: &str| {
            let path = pki(&format!("{ca}.{suffix}"));
            cx.sys
                .files
                .read(&path)?
                .with_context(|| format!("{path} is missing: Ignition did not bring it"))
        };
        let now =
            OffsetDateTime::from_unix_timestamp((cx.sys.clock.now_ms() / 1000).cast_signed())?;
        mint(
            &read("crt")?,
            &Zeroizing::new(read("key")?),
            name,
            organization,
            now,
        )
    }
}

/// Signs a client certificate with a CA.
pub fn mint(
    ca_cert: &str,
    ca_key: &str,
    name: &str,
    organization: Option<&str>,
    now: OffsetDateTime,
) -> Result<Identity> {
    let ca_key = KeyPair::from_pem(ca_key).context("the CA's key cannot be read")?;
    let issuer =
        Issuer::from_ca_cert_pem(ca_cert, ca_key).context("the CA's certificate cannot be read")?;
    let key = KeyPair::generate().context("no key could be made")?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + MINTED_LIFE;
    let cert = params
        .signed_by(&key, &issuer)
        .context("the CA could not sign")?;
    Ok(Identity {
        cert: cert.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}
