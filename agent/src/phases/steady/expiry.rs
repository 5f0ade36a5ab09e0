//! Which of the node's certificates ends first.

use anyhow::{Result, bail};
use ha_wire::status::CertificateExpiry;

use crate::context::Context;
use crate::kube::{KUBELET_PEM, certs, pki_file};

/// kubeadm's certificates, without the CAs (ten years). On workers none of them is there.
const CERTIFICATES: [&str; 6] = [
    "apiserver",
    "apiserver-etcd-client",
    "apiserver-kubelet-client",
    "front-proxy-client",
    "etcd/server",
    "etcd/peer",
];
/// kubeadm renews with each upgrade, three times a year; who is this late has forgotten to.
const LATE_DAYS: u64 = 21;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Tells the first expiry; one that is near is a fault. The kubelet renews its own in time.
pub fn check_expiry(cx: &Context) -> Result<()> {
    let mut all = Vec::new();
    for name in CERTIFICATES {
        if let Some(pem) = cx.sys.files.read(&pki_file(&format!("{name}.crt")))? {
            all.extend(
                certs::validity_of_ms(&pem).map(|(_, at_ms)| CertificateExpiry {
                    name: name.into(),
                    at_ms,
                }),
            );
        }
    }
    if let Some(pem) = cx.sys.files.read(KUBELET_PEM)? {
        all.extend(
            certs::validity_of_ms(&pem).map(|(_, at_ms)| CertificateExpiry {
                name: "kubelet".into(),
                at_ms,
            }),
        );
    }
    let first = all.into_iter().min_by_key(|e| e.at_ms);
    cx.report
        .update_status(|status| status.first_expiry.clone_from(&first));
    match first {
        Some(e) if e.name != "kubelet" && left_days(&e, cx.sys.clock.now_ms()) < LATE_DAYS => {
            bail!(
                "{} ends in {} d: kubeadm certs renew all",
                e.name,
                left_days(&e, cx.sys.clock.now_ms())
            )
        }
        _ => Ok(()),
    }
}

fn left_days(expiry: &CertificateExpiry, now_ms: u64) -> u64 {
    expiry.at_ms.saturating_sub(now_ms) / DAY_MS
}
