use super::*;
use crate::testing;
use proptest::prelude::*;

fn peers(hosts: &[u8]) -> Vec<Peer> {
    hosts
        .iter()
        .map(|h| Peer {
            name: format!("node{}", h - 10),
            address: [10, 77, 0, *h].into(),
        })
        .collect()
}

fn endpoints(hosts: &[u8]) -> Vec<String> {
    hosts.iter().map(|h| format!("10.77.0.{h}")).collect()
}

/// What it is about; seen before, backends, nodes, endpoints; backends then.
type Case = (
    &'static str,
    &'static [u8],
    &'static [u8],
    &'static [u8],
    &'static [u8],
    &'static [u8],
);

#[test]
fn the_balancer_follows_the_cluster() {
    let me = testing::control_plane();
    let cases: [Case; 8] = [
        (
            "all is as wished",
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12, 13],
        ),
        (
            "one is down",
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12],
            &[11, 12, 13],
        ),
        (
            "one is yet to join",
            &[],
            &[11, 12, 13],
            &[11, 12],
            &[11, 12],
            &[11, 12, 13],
        ),
        (
            "one came",
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12, 13, 14],
            &[11, 12, 13],
            &[11, 12, 13, 14],
        ),
        (
            "one left",
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12],
            &[11, 12],
            &[11, 12],
        ),
        (
            "its node is gone, it still answers",
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 12],
            &[11, 12, 13],
            &[11, 12, 13],
        ),
        (
            "the API knows nobody",
            &[11, 12, 13],
            &[11, 12, 13],
            &[],
            &[],
            &[11, 12, 13],
        ),
        (
            "this node is never taken out",
            &[11, 12, 13],
            &[11, 12, 13],
            &[11, 13],
            &[11, 13],
            &[11, 12, 13],
        ),
    ];
    for (what, seen, now, nodes, answers, expected) in cases {
        let mut known = SeenControlPlanes {
            seen: peers(seen).into_iter().map(|p| p.name).collect(),
        };
        let wanted = known.wanted(&peers(now), &peers(nodes), &endpoints(answers), &me);
        assert_eq!(wanted, peers(expected), "{what}");
    }
}

#[test]
fn a_new_address_under_an_old_name_replaces() {
    let mut known = SeenControlPlanes::begin(&[], &testing::control_plane());
    let mut nodes = peers(&[11, 12, 13]);
    nodes[2].address = [10, 77, 0, 99].into();
    let wanted = known.wanted(
        &peers(&[11, 12, 13]),
        &nodes,
        &[],
        &testing::control_plane(),
    );
    assert_eq!(wanted, nodes);
}

/// The second of three control planes, whose load balancer also has two that came later; its agent begins again.
#[test]
fn who_came_later_and_left_while_no_agent_ran_is_taken_out() {
    let me = testing::control_plane();
    let now = peers(&[11, 12, 13, 14, 15]);
    let mut known = SeenControlPlanes::begin(&now, &me);
    let wanted = known.wanted(&now, &peers(&[11, 12, 14]), &endpoints(&[11, 12, 14]), &me);
    // node3 may be one that is yet to join: the node file names it.
    assert_eq!(wanted, peers(&[11, 12, 13, 14]));
}

/// Control planes as bits: 11 to 18.
fn some_of(bits: u8) -> Vec<u8> {
    (0..8)
        .filter(|i| bits & (1 << i) != 0)
        .map(|i| 11 + i)
        .collect()
}

proptest! {
    #[test]
    fn nobody_is_lost_who_is_there_or_was_never_there(
        backends: u8, in_cluster: u8, answering: u8, looks in prop::collection::vec(any::<(u8, u8)>(), 0..6),
    ) {
        let me = testing::control_plane();
        let mut now = peers(&some_of(backends));
        let mut known = SeenControlPlanes::begin(&now, &me);
        let mut ever_seen: BTreeSet<String> = known.seen.clone();
        for (nodes, answers) in looks.into_iter().chain([(in_cluster, answering)]) {
            let (nodes, answers) = (some_of(nodes), some_of(answers));
            let before = now.clone();
            now = known.wanted(&before, &peers(&nodes), &endpoints(&answers), &me);
            let names = |all: &[Peer]| all.iter().map(|p| p.name.clone()).collect::<BTreeSet<_>>();
            let is = names(&now);
            prop_assert_eq!(is.len(), now.len(), "nobody twice: {:?}", now);
            for lost in names(&before).difference(&is) {
                prop_assert!(ever_seen.contains(lost), "{} was never in the cluster", lost);
                prop_assert!(!names(&peers(&nodes)).contains(lost) && *lost != me.name, "{} is in it", lost);
                prop_assert!(!names(&peers(&answers)).contains(lost), "{} still answers", lost);
            }
            for node in peers(&nodes) {
                prop_assert!(now.contains(&node), "{} is in the cluster", node.name);
            }
            let again = known.wanted(&now, &peers(&nodes), &endpoints(&answers), &me);
            prop_assert_eq!(&again, &now, "the same cluster asks for no change");
            ever_seen.extend(names(&peers(&nodes)));
        }
    }
}
