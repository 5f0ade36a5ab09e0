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
        .filter(|m| m.is_of(name, address) || m.is_learner || !m.is_started())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: JoinFacts = JoinFacts {
        kubelet: true,
        certificates: true,
        manifests: true,
        etcd: true,
        member: Membership::Voter,
        marked: true,
        ready: true,
    };
    const BLANK: JoinFacts = JoinFacts {
        kubelet: false,
        certificates: false,
        manifests: false,
        etcd: false,
        member: Membership::None,
        marked: false,
        ready: false,
    };

    fn plan(prepare: bool, etcd: EtcdStep, components: bool) -> JoinPlan {
        JoinPlan {
            prepare,
            etcd,
            components,
        }
    }

    #[test]
    fn each_interruption_has_its_rest() {
        use EtcdStep::{Join, Leave};
        let cases = [
            ("nothing interrupted it", DONE, plan(false, Leave, false)),
            ("a blank disk", BLANK, plan(true, Join, true)),
            (
                "a blank disk, its old member votes",
                JoinFacts {
                    member: Membership::Voter,
                    ..BLANK
                },
                plan(true, Join, true),
            ),
            (
                "killed among the certificates",
                JoinFacts {
                    certificates: true,
                    ..BLANK
                },
                plan(true, Join, true),
            ),
            (
                "killed before the member was added",
                JoinFacts {
                    kubelet: true,
                    certificates: true,
                    ..BLANK
                },
                plan(false, Join, true),
            ),
            (
                "killed when the learner was added",
                JoinFacts {
                    kubelet: true,
                    certificates: true,
                    manifests: true,
                    member: Membership::Unstarted,
                    ..BLANK
                },
                plan(false, Join, true),
            ),
            (
                "killed when the learner had started",
                JoinFacts {
                    member: Membership::Learner,
                    marked: false,
                    ready: false,
                    ..DONE
                },
                plan(false, Join, true),
            ),
            (
                "killed after promotion",
                JoinFacts {
                    marked: false,
                    ready: false,
                    ..DONE
                },
                plan(false, Leave, true),
            ),
            (
                "killed after the mark",
                JoinFacts {
                    ready: false,
                    ..DONE
                },
                plan(false, Leave, true),
            ),
            (
                "its member was removed by somebody",
                JoinFacts {
                    member: Membership::None,
                    ..DONE
                },
                plan(false, Join, true),
            ),
            (
                "its data are gone",
                JoinFacts {
                    etcd: false,
                    ..DONE
                },
                plan(false, Join, true),
            ),
            (
                "its Node object was deleted",
                JoinFacts {
                    kubelet: false,
                    marked: false,
                    ..DONE
                },
                plan(true, Leave, true),
            ),
        ];
        for (what, facts, expected) in cases {
            assert_eq!(remaining_steps(facts), expected, "{what}");
            assert_eq!(
                remaining_steps(facts).is_done(),
                what == "nothing interrupted it",
                "{what}"
            );
        }
    }

    fn member(name: &str, host: u8, is_learner: bool) -> Member {
        Member {
            id: host.to_string(),
            name: name.into(),
            peer_urls: vec![format!("https://10.77.0.{host}:2380")],
            is_learner,
        }
    }

    #[test]
    fn membership_is_read_from_the_list() {
        let me = |members: &[Member]| {
            membership_in_list(members, "node2", "10.77.0.12".parse().unwrap())
        };
        let first = member("node1", 11, false);
        assert_eq!(me(std::slice::from_ref(&first)), Membership::None);
        assert_eq!(
            me(&[first.clone(), member("", 12, true)]),
            Membership::Unstarted
        );
        assert_eq!(
            me(&[first.clone(), member("node2", 12, true)]),
            Membership::Learner
        );
        assert_eq!(
            me(&[first.clone(), member("node2", 12, false)]),
            Membership::Voter
        );
        assert_eq!(
            me(&[first, member("node2", 99, false)]),
            Membership::Voter,
            "it had another address"
        );
    }

    #[test]
    fn only_the_dead_leave_the_list() {
        let members = [
            member("node1", 11, false),
            member("node2", 12, false),
            member("", 13, true),
            member("node4", 14, true),
        ];
        let ids = |name: &str, address: &str| {
            stale_members(&members, name, address.parse().unwrap())
                .iter()
                .map(|m| m.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids("node2", "10.77.0.12"), ["12", "13", "14"]);
        assert_eq!(ids("node5", "10.77.0.15"), ["13", "14"]);
        assert_eq!(ids("node3", "10.77.0.13"), ["13", "14"]);
    }
}
