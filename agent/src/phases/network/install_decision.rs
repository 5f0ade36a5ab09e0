//! Whether this node may install the pod network: only if it was never there. Pure.

use ha_kube::objects::Lease;

/// What the Lease of the installation tells of earlier attempts: it is given back by who ended well, and by nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// No agent of this cluster ever began.
    NeverBegun,
    /// An agent began, and works or died or failed at it.
    Begun,
    /// An agent installed it; what became of it since is somebody's will.
    Ended,
}

impl History {
    pub fn from_lease(lease: Option<&Lease>) -> Self {
        let holder = lease.map(|l| l.spec.holder_identity.as_deref().unwrap_or_default());
        match holder {
            None => Self::NeverBegun,
            Some("") => Self::Ended,
            Some(_) => Self::Begun,
        }
    }
}

/// What there is of the pod network in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkPresence {
    /// Nothing, or of a list of manifests not all.
    Missing,
    /// What a first installation that was cut off leaves behind.
    CutOff {
        /// Why it looks so.
        reason: String,
        /// A Secret of Helm's that forbids another installation.
        secret: Option<String>,
    },
    /// What only somebody else's work leaves behind.
    Changed {
        reason: String,
    },
    Whole,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallDecision {
    /// It is there.
    Stands,
    /// It is this node's to install.
    Install {
        /// A Secret of the attempt before, which was an agent's and did not end: to be removed first.
        leftover: Option<String>,
    },
    /// It is somebody's, for this reason.
    LeftAsItIs(String),
}

/// `is_in_use`: another node is Ready, so a pod network works, and this node's disk is not the one that founded the cluster.
pub fn decide_install(
    presence: NetworkPresence,
    history: History,
    is_in_use: bool,
) -> InstallDecision {
    let left = |reason: &str| InstallDecision::LeftAsItIs(reason.to_owned());
    match (presence, history) {
        (NetworkPresence::Whole, _) => InstallDecision::Stands,
        (NetworkPresence::Changed { reason }, _) => InstallDecision::LeftAsItIs(reason),
        (NetworkPresence::Missing, History::Ended) => {
            left("it was installed once, and is not there any more")
        }
        (NetworkPresence::Missing, _) if is_in_use => left("another node is Ready without it"),
        (NetworkPresence::Missing, _) => InstallDecision::Install { leftover: None },
        (NetworkPresence::CutOff { secret, .. }, History::Begun) if !is_in_use => {
            InstallDecision::Install { leftover: secret }
        }
        (NetworkPresence::CutOff { reason, .. }, _) => InstallDecision::LeftAsItIs(reason),
    }
}
