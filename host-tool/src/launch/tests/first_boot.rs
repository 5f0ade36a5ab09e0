//! Machines whose first boot ended with a failure of Ignition's: made anew, unless anything shows that they went on.

use super::*;
use crate::testing::{AnsweringAt, AnsweringCluster};

#[test]
fn a_machine_that_ignition_failed_on_is_made_anew_by_the_next_launch() {
    let env = first_boot_failed_on_node4();
    let provider = Arc::new(FakeProvider {
        deaf: true,
        made: Made::Running,
        ..env.provider()
    });
    let (_, end) = env.launch(&provider, 0);
    assert_eq!(provider.removals(), ["node4"], "{end}");
    assert!(
        end.contains("warning: node4 is made anew: Ignition failed on its first boot"),
        "{end}"
    );
}

fn first_boot_failed_on_node4() -> TestEnv {
    let env = TestEnv::new();
    env.launch_in_vain();
    let console = env.provider().console(&env.source.cluster.nodes[3]);
    std::fs::write(console, "ignition[6]: CRITICAL : Ignition failed: hash\r\n").unwrap();
    env
}

/// Flatcar's emergency shell boots again by itself, and Ignition may succeed then.
#[test]
fn a_machine_that_went_on_after_ignition_failed_is_left_alone() {
    let env = first_boot_failed_on_node4();
    let joined: &[_] = &[(
        "node4",
        "{\"version\":1,\"seq\":1,\"timeMs\":5,\"node\":\"node4\",\"event\":\"steady\"}\n",
    )];
    for (deaf, at_host, words) in [
        (false, Some(&[][..]), "but it answers"),
        (true, None, ""),
        (true, Some(joined), ""),
    ] {
        let provider = Arc::new(FakeProvider {
            deaf,
            at_host,
            made: Made::Running,
            ..env.provider()
        });
        let (_, end) = env.launch(&provider, 0);
        assert_eq!(provider.removals(), [""; 0], "{words}: {end}");
        assert!(end.contains(words), "{words}: {end}");
    }
}

#[test]
fn a_machine_that_a_standing_cluster_may_know_is_left_alone() {
    let env = first_boot_failed_on_node4();
    note_founded(&env.state(), &env.source.cluster).unwrap();
    let deaf = |network| {
        Arc::new(FakeProvider {
            deaf: true,
            made: Made::Running,
            network,
            ..env.provider()
        })
    };
    let provider = deaf(AnsweringAt::nobody());
    let (_, end) = env.launch(&provider, 0);
    assert_eq!(provider.removals(), [""; 0], "{end}");
    assert!(end.contains("cannot be asked"), "{end}");
    let nodes = |names: &str| {
        [
            ("GET /readyz", 200, "ok".to_owned()),
            (
                "GET /api/v1/nodes",
                200,
                format!(r#"{{"items":[{names}]}}"#),
            ),
            (
                "POST /v3/cluster/member/list",
                200,
                r#"{"members":[]}"#.to_owned(),
            ),
        ]
    };
    let node4 = r#"{"metadata":{"name":"node4"}}"#;
    for (names, removed) in [(node4, &[][..]), ("", &["node4"][..])] {
        let answers = nodes(names);
        let answers = answers
            .each_ref()
            .map(|(what, code, text)| (*what, *code, text.as_str()));
        let cluster = AnsweringCluster::start(env.state().pki().unwrap().unwrap(), &answers);
        let provider = deaf(cluster.at);
        let (_, end) = env.launch(&provider, 0);
        assert_eq!(provider.removals(), removed, "{end}");
    }
}
