//! What is left to do of a join, from what is there. Pure: every way in which a join can be interrupted is a row of the
//! table below.

use std::net::IpAddr;

use crate::kube::etcd::Member;

/// What a look at this machine and at the cluster found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinFacts {
    /// The kubelet has its configuration and its kubeconfig, and its Node object is registered.
    pub kubelet: bool,
    /// Certificates and kubeconfigs of a control plane are there.
    pub certificates: bool,
    /// The manifests of apiserver, controller manager and scheduler are there.
    pub manifests: bool,
    /// An etcd data directory with content is there, and the manifest of its pod.
    pub etcd: bool,
    /// What the member list says about this node.
    pub member: Membership,
    /// kubeadm has labelled the node as a control plane.
    pub marked: bool,
    /// The own apiserver answers `/readyz` with 200.
    pub ready: bool,
}

/// This node in etcd's member list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    None,
    Unstarted,
    /// Started, does not vote yet.
    Learner,
    Voter,
}

/// What to do with etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtcdStep {
    /// Its member votes and its data are here: nothing.
    Leave,
    /// Join, after removing what is left of this node in the member list and on its disk.
    Join,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinPlan {
    /// Certificates, kubeconfigs and a running kubelet: needs no lock.
    pub prepare: bool,
    /// etcd: under the lock.
    pub etcd: EtcdStep,
    /// Manifests, mark, wait for the components.
    pub components: bool,
}

impl std::fmt::Display for JoinPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let etcd = self.etcd == EtcdStep::Join;
        let parts = [
            (self.prepare, "certificates and kubelet"),
            (etcd, "etcd"),
            (self.components, "components"),
        ];
        let left: Vec<&str> = parts
            .iter()
            .filter(|(is_left, _)| *is_left)
            .map(|(_, name)| *name)
            .collect();
        f.write_str(if left.is_empty() { "nothing" } else { "" })?;
        f.write_str(&left.join(", "))
    }
}

impl JoinPlan {
    /// Whether nothing is left to do.
    pub fn is_done(self) -> bool {
        self == Self {
            prepare: false,
            etcd: EtcdStep::Leave,
            components: false,
        }
    }
}

/// What is left to do.
pub fn remaining_steps(facts: JoinFacts) -> JoinPlan {
    let settled = match facts.member {
        Membership::Voter => facts.etcd,
        Membership::None | Membership::Unstarted | Membership::Learner => false,
    };
    JoinPlan {
        prepare: !facts.kubelet || !facts.certificates,
        etcd: if settled {
            EtcdStep::Leave
        } else {
            EtcdStep::Join
        },
        components: !settled || !facts.manifests || !facts.marked || !facts.ready,
    }
}

/// This node in a member list.
pub fn membership_in_list(members: &[Member], name: &str, address: IpAddr) -> Membership {
    match members.iter().find(|m| m.is_of(name, address)) {
        None => Membership::None,
        Some(m) if !m.is_started() => Membership::Unstarted,
        Some(m) if m.is_learner => Membership::Learner,
        Some(_) => Membership::Voter,
    }
}

/// Who must leave the list before this node may join, its holder of the lock: what is left of this node itself, and any
/// learner: nobody else is joining, so it belongs to a join that died, and while it is there etcd takes no other.
pub fn stale_members<'a>(members: &'a [Member], name: &str, address: IpAddr) -> Vec<&'a Member> {
    members
        .iter()
        .filter(|m| is_stale(m, name, address))
        .collect()
}

/// Whether this one must leave the list. Never a voter of another node, not even one that has not told its name yet: a
/// learner is promoted a moment before that.
pub fn is_stale(member: &Member, name: &str, address: IpAddr) -> bool {
    member.is_of(name, address) || member.is_learner
}

#[cfg(test)]
mod tests;
