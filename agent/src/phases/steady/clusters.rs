//! Which cluster each control plane's apiserver shows, told by kube-system: it is made once in a cluster's life. Two clusters
//! under one CA look alike to haproxy, whose checks ask for readiness alone. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ha_kube::objects::Metadata;

/// A cluster. The older one is less.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterIdentity {
    /// RFC 3339 in UTC: sorts by time.
    made: String,
    pub uid: String,
}

impl ClusterIdentity {
    pub fn from_namespace(kube_system: Metadata) -> Self {
        Self {
            made: kube_system.creation_timestamp,
            uid: kube_system.uid,
        }
    }
}

/// How an apiserver stands to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It shows it now.
    Ours,
    /// It shows another one, or did when it last answered.
    Stranger,
    /// It does not answer, and nothing speaks against it.
    Silent,
}

/// What the apiservers showed, by address.
#[derive(Debug, Default)]
pub struct ShownClusters {
    /// At its last answer: a stranger that is silent for a moment is not forgotten.
    last: BTreeMap<IpAddr, ClusterIdentity>,
    answering: BTreeSet<IpAddr>,
}

impl ShownClusters {
    /// The answers of one look; none: silence.
    pub fn note(&mut self, answers: Vec<(IpAddr, Option<ClusterIdentity>)>) {
        self.answering.clear();
        for (address, shown) in answers {
            if let Some(shown) = shown {
                self.answering.insert(address);
                self.last.insert(address, shown);
            }
        }
    }

    pub fn identity_at(&self, address: IpAddr) -> Option<&ClusterIdentity> {
        self.last.get(&address)
    }

    /// The cluster that most of these show; of two as large, the older one, so that both sides choose the same.
    pub fn elect(&self, voters: impl IntoIterator<Item = IpAddr>) -> Option<ClusterIdentity> {
        // An address counts once, whatever names lead to it.
        let voters: BTreeSet<IpAddr> = voters.into_iter().collect();
        let mut votes: BTreeMap<&ClusterIdentity, u32> = BTreeMap::new();
        for shown in voters.iter().filter_map(|a| self.last.get(a)) {
            *votes.entry(shown).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(who, n)| (*n, Reverse(*who)));
        most.map(|(who, _)| who.clone())
    }

    pub fn standing(&self, address: IpAddr, elected: &ClusterIdentity) -> Standing {
        match self.last.get(&address) {
            Some(shown) if shown != elected => Standing::Stranger,
            Some(_) if self.answering.contains(&address) => Standing::Ours,
            _ => Standing::Silent,
        }
    }
}
