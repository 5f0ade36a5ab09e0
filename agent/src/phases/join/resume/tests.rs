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

fn join_plan(prepare: bool, etcd: EtcdStep, components: bool) -> JoinPlan {
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
        (
            "nothing interrupted it",
            DONE,
            join_plan(false, Leave, false),
        ),
        ("a blank disk", BLANK, join_plan(true, Join, true)),
        (
            "a blank disk, its old member votes",
            JoinFacts {
                member: Membership::Voter,
                ..BLANK
            },
            join_plan(true, Join, true),
        ),
        (
            "killed among the certificates",
            JoinFacts {
                certificates: true,
                ..BLANK
            },
            join_plan(true, Join, true),
        ),
        (
            "killed before the member was added",
            JoinFacts {
                kubelet: true,
                certificates: true,
                ..BLANK
            },
            join_plan(false, Join, true),
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
            join_plan(false, Join, true),
        ),
        (
            "killed when the learner had started",
            JoinFacts {
                member: Membership::Learner,
                marked: false,
                ready: false,
                ..DONE
            },
            join_plan(false, Join, true),
        ),
        (
            "killed after promotion",
            JoinFacts {
                marked: false,
                ready: false,
                ..DONE
            },
            join_plan(false, Leave, true),
        ),
        (
            "killed after the mark",
            JoinFacts {
                ready: false,
                ..DONE
            },
            join_plan(false, Leave, true),
        ),
        (
            "its member was removed by somebody",
            JoinFacts {
                member: Membership::None,
                ..DONE
            },
            join_plan(false, Join, true),
        ),
        (
            "its data are gone",
            JoinFacts {
                etcd: false,
                ..DONE
            },
            join_plan(false, Join, true),
        ),
        (
            "its Node object was deleted",
            JoinFacts {
                kubelet: false,
                marked: false,
                ..DONE
            },
            join_plan(true, Leave, true),
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

fn member_at_host(name: &str, host: u8, is_learner: bool) -> Member {
    Member {
        id: host.to_string(),
        name: name.into(),
        peer_urls: vec![format!("https://10.77.0.{host}:2380")],
        client_urls: Vec::new(),
        is_learner,
    }
}

#[test]
fn membership_is_read_from_the_list() {
    let me =
        |members: &[Member]| membership_in_list(members, "node2", "10.77.0.12".parse().unwrap());
    let first = member_at_host("node1", 11, false);
    assert_eq!(me(std::slice::from_ref(&first)), Membership::None);
    assert_eq!(
        me(&[first.clone(), member_at_host("", 12, true)]),
        Membership::Unstarted
    );
    assert_eq!(
        me(&[first.clone(), member_at_host("node2", 12, true)]),
        Membership::Learner
    );
    assert_eq!(
        me(&[first.clone(), member_at_host("node2", 12, false)]),
        Membership::Voter
    );
    assert_eq!(
        me(&[first, member_at_host("node2", 99, false)]),
        Membership::Voter,
        "it had another address"
    );
}

#[test]
fn only_the_dead_leave_the_list() {
    let members = [
        member_at_host("node1", 11, false),
        member_at_host("node2", 12, false),
        member_at_host("", 13, true),
        member_at_host("node4", 14, true),
        member_at_host("", 16, false),
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

/// All 256 states in which a join can be found.
fn all_facts() -> impl Iterator<Item = JoinFacts> {
    use Membership::{Learner, None, Unstarted, Voter};
    let members = [None, Unstarted, Learner, Voter];
    members.into_iter().flat_map(|member| {
        (0..64_u8).map(move |bits| {
            let bit = |n: u8| bits & (1 << n) != 0;
            JoinFacts {
                kubelet: bit(0),
                certificates: bit(1),
                manifests: bit(2),
                etcd: bit(3),
                marked: bit(4),
                ready: bit(5),
                member,
            }
        })
    })
}

#[test]
fn whatever_was_interrupted_nothing_is_forgotten_and_no_voter_loses_its_data() {
    for facts in all_facts() {
        let plan = remaining_steps(facts);
        assert_eq!(plan.is_done(), facts == DONE, "{facts:?}");
        let votes_here = facts.member == Membership::Voter && facts.etcd;
        assert_eq!(plan.etcd == EtcdStep::Leave, votes_here, "{facts:?}");
        let has_kubelet = facts.kubelet && facts.certificates;
        assert_eq!(plan.prepare, !has_kubelet, "{facts:?}");
        // An etcd that joins anew is not one that the running apiserver knows.
        assert!(plan.components || plan.etcd == EtcdStep::Leave, "{facts:?}");
    }
}

#[test]
fn what_comes_to_be_there_never_makes_more_to_do() {
    let mended: [fn(&mut JoinFacts); 7] = [
        |f| f.kubelet = true,
        |f| f.certificates = true,
        |f| f.manifests = true,
        |f| f.etcd = true,
        |f| f.marked = true,
        |f| f.ready = true,
        |f| f.member = Membership::Voter,
    ];
    let steps = |facts| {
        let plan = remaining_steps(facts);
        [plan.prepare, plan.etcd == EtcdStep::Join, plan.components]
    };
    for facts in all_facts() {
        for mend in mended {
            let mut then = facts;
            mend(&mut then);
            let pairs = steps(facts).into_iter().zip(steps(then));
            for (before, after) in pairs {
                assert!(before || !after, "{facts:?}, then {then:?}");
            }
        }
    }
}
