//! Nodes that did not join while they could.

use super::*;
use crate::testing::AnsweringCluster;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// node4 and node3 have not registered; node3 is a member of etcd's already.
const NODES: &str = r#"{"items":[{"metadata":{"name":"node1"}},{"metadata":{"name":"node2"}},{"metadata":{"name":"node5"}}]}"#;
const MEMBERS: &str = r#"{"members":[{"ID":"1","name":"node1"},{"ID":"2","name":"node2"},
    {"ID":"3","name":"","peerURLs":["https://192.0.2.13:2380"],"isLearner":true}]}"#;

/// A cluster that was founded a day ago.
fn a_day_later() -> TestEnv {
    let env = TestEnv::new();
    env.launch_in_vain();
    note_founded(&env.state(), &env.source.cluster).unwrap();
    for node in &env.source.cluster.nodes {
        env.age(&node.name, DAY);
    }
    env
}

fn start_answering_cluster(env: &TestEnv) -> AnsweringCluster {
    let pki = env.state().pki().unwrap().unwrap();
    let answers = [
        ("GET /readyz", 200, "ok"),
        ("GET /api/v1/nodes", 200, NODES),
        ("POST /v3/cluster/member/list", 200, MEMBERS),
    ];
    AnsweringCluster::start(pki, &answers)
}

#[test]
fn a_node_that_the_cluster_does_not_know_is_made_anew_and_a_member_of_etcds_never() {
    let env = a_day_later();
    let cluster = start_answering_cluster(&env);
    let old = std::fs::read_to_string(env.state().ignition("node4")).unwrap();
    let provider = Arc::new(FakeProvider {
        network: cluster.at,
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 0);
    assert_eq!(exit, Exit::TimedOut, "{end}");
    assert_eq!(provider.removals(), ["node4"], "{end}");
    assert!(
        end.contains("warning: node4 is made anew: it has not joined for more than 20 hours"),
        "{end}"
    );
    let new = std::fs::read_to_string(env.state().ignition("node4")).unwrap();
    assert_ne!(new, old, "a fresh identity");
    let again = Arc::new(FakeProvider {
        network: cluster.at,
        ..env.provider()
    });
    env.launch(&again, 0);
    assert!(again.removals().is_empty(), "it has a day to join again");
}

#[test]
fn a_node_that_may_still_join_keeps_its_machine() {
    let env = a_day_later();
    env.age("node4", Duration::from_secs(19 * 3600));
    let cluster = start_answering_cluster(&env);
    let provider = Arc::new(FakeProvider {
        network: cluster.at,
        ..env.provider()
    });
    env.launch(&provider, 0);
    assert!(provider.removals().is_empty());
}

#[test]
fn a_node_that_joined_once_is_left_alone_though_the_cluster_forgot_it() {
    let env = a_day_later();
    let cluster = start_answering_cluster(&env);
    let provider = Arc::new(FakeProvider {
        network: cluster.at,
        disks: &[("node4", "/var/lib/kubelet/pki/kubelet-client-current.pem")],
        ..env.provider()
    });
    let (_, end) = env.launch(&provider, 0);
    assert!(provider.removals().is_empty(), "by its disk");
    assert!(end.contains("warning: node4 joined once"), "{end}");
    let provider = Arc::new(FakeProvider {
        network: cluster.at,
        machine: Machine::Off,
        ..env.provider()
    });
    let said = r#"{"version":1,"seq":1,"timeMs":5,"node":"node4","event":"steady"}"#;
    let node4 = &env.source.cluster.nodes[3];
    std::fs::write(provider.events(node4), format!("{said}\n")).unwrap();
    env.launch(&provider, 0);
    assert!(provider.removals().is_empty(), "by its own words");
}

#[test]
fn who_cannot_show_that_it_never_joined_keeps_its_machine() {
    let env = a_day_later();
    let cluster = start_answering_cluster(&env);
    let provider = |change: fn(&mut FakeProvider)| {
        let mut provider = env.provider();
        provider.network = cluster.at;
        change(&mut provider);
        Arc::new(provider)
    };
    let deaf = provider(|p| p.deaf = true);
    let off = provider(|p| p.machine = Machine::Off);
    let unread = provider(|p| (p.machine, p.at_host) = (Machine::Off, None));
    for (provider, why) in [
        (deaf, "nobody there answers"),
        (off, "it was never heard, and is off"),
        (unread, "the host hands nothing over"),
    ] {
        let (_, end) = env.launch(&provider, 0);
        assert_eq!(provider.removals(), [""; 0], "{end}");
        let words = format!(
            "warning: node4 is not in the cluster, and whether it ever was is not known ({why}): its machine is left as it is"
        );
        assert!(end.contains(&words), "{end}");
    }
    let heard = provider(|p| {
        p.machine = Machine::Off;
        p.at_host = Some(&[(
            "node4",
            concat!(
                r#"{"version":1,"seq":1,"timeMs":5,"node":"node4","event":"hello","agent":"0.1.0","role":"worker","boot":"x"}"#,
                "\n"
            ),
        )]);
    });
    let (_, end) = env.launch(&heard, 0);
    assert_eq!(
        heard.removals(),
        ["node4"],
        "it told of all that it did: {end}"
    );
}

#[test]
fn without_an_answer_nobody_is_made_anew() {
    let env = a_day_later();
    let provider = Arc::new(env.provider());
    let (_, end) = env.launch(&provider, 0);
    assert!(provider.removals().is_empty());
    assert!(end.contains("ever joined is not known"), "{end}");
    let pki = env.state().pki().unwrap().unwrap();
    // The API answers, etcd's quorum does not: an unlisted control plane may be a member.
    let answers = [
        ("GET /readyz", 200, "ok"),
        ("GET /api/v1/nodes", 200, NODES),
        ("POST /v3/cluster/member/list", 503, "no leader"),
    ];
    let cluster = AnsweringCluster::start(pki, &answers);
    let provider = Arc::new(FakeProvider {
        network: cluster.at,
        ..env.provider()
    });
    let (_, end) = env.launch(&provider, 0);
    assert!(provider.removals().is_empty());
    assert!(end.contains("etcd's member list"), "{end}");
}

#[test]
fn before_anybody_founded_anything_all_who_are_too_late_are_made_anew() {
    let env = TestEnv::new();
    env.launch_in_vain();
    for node in ["node1", "node2", "node5"] {
        env.age(node, DAY);
    }
    let provider = Arc::new(env.provider());
    env.launch(&provider, 0);
    assert_eq!(provider.removals(), ["node1", "node2", "node5"]);
}
