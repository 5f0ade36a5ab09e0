//! The Kubernetes versions that are supported, and what differs between them.

/// A supported minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minor {
    /// 34 of 1.34.
    pub minor: u32,
    /// kubeadm's configuration API.
    pub kubeadm_api: &'static str,
    /// The patch release that the tests run; none: not run here.
    pub tested: Option<&'static str>,
    /// kube-proxy warns that its IPVS mode goes away.
    pub ipvs_deprecated: bool,
}

/// All supported minors, oldest first.
pub const MINORS: [Minor; 3] = [
    Minor {
        minor: 33,
        kubeadm_api: "kubeadm.k8s.io/v1beta4",
        tested: None,
        ipvs_deprecated: false,
    },
    Minor {
        minor: 34,
        kubeadm_api: "kubeadm.k8s.io/v1beta4",
        tested: Some("1.34.4"),
        ipvs_deprecated: false,
    },
    Minor {
        minor: 35,
        kubeadm_api: "kubeadm.k8s.io/v1beta4",
        tested: None,
        ipvs_deprecated: true,
    },
];

/// The entry for an exact version like `1.34.4`; none if its minor is not supported or it is no such version.
pub fn minor(version: &str) -> Option<&'static Minor> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
        (Ok(1), Ok(minor), Ok(_), None) => MINORS.iter().find(|m| m.minor == minor),
        _ => None,
    }
}
