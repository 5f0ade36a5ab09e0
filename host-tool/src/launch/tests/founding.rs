//! Who may found the cluster, once its permission has ended.

use super::*;
use crate::launch::founding::PERMITTED;
use crate::testing::AnsweringCluster;

/// A launch that ended before it saw the cluster, and a founder whose permission has ended since.
fn env_with_expired_founder() -> TestEnv {
    let env = TestEnv::new();
    env.launch_in_vain();
    assert!(env.permits_founding());
    env.age("node1", PERMITTED + Duration::from_secs(5));
    env
}

fn is_founded(env: &TestEnv) -> bool {
    env.state().record().unwrap().unwrap().founded
}

#[test]
fn a_cluster_that_answers_however_sick_was_founded_and_the_launch_goes_on() {
    let env = env_with_expired_founder();
    let pki = env.state().pki().unwrap().unwrap();
    let sick = AnsweringCluster::start(pki, &[("GET /readyz", 500, "etcd failed")]);
    let config = std::fs::metadata(env.state().ignition("node1")).unwrap();
    let provider = Arc::new(FakeProvider {
        network: sick.at,
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 0);
    assert_eq!(exit, Exit::TimedOut, "{end}");
    assert!(is_founded(&env));
    assert!(!env.permits_founding(), "nobody may found it again");
    let rewritten = std::fs::metadata(env.state().ignition("node1")).unwrap();
    let times = [config.modified().unwrap(), rewritten.modified().unwrap()];
    assert_eq!(times[0], times[1], "it is as old as its identity");
    assert!(provider.removals().is_empty());
}

#[test]
fn a_node_that_once_met_the_cluster_proves_that_it_was_founded() {
    let env = env_with_expired_founder();
    let said = concat!(
        r#"{"version":1,"seq":1,"timeMs":5,"node":"node3","event":"done","phase":"gate","tookMs":1,"skipped":false}"#,
        "\n",
        r#"{"version":1,"seq":2,"timeMs":5,"node":"node3","event":"started","phase":"join","attempt":1}"#,
        "\n",
        r#"{"version":1,"seq":3,"timeMs":5,"node":"node3","event":"started","phase":"preflight","attempt":1}"#,
        "\n",
    );
    let provider = Arc::new(FakeProvider {
        machine: Machine::Off,
        ..env.provider()
    });
    std::fs::write(provider.events(&env.source.cluster.nodes[2]), said).unwrap();
    env.launch(&provider, 0);
    assert!(is_founded(&env) && !env.permits_founding());
    assert!(provider.removals().is_empty());
}

#[test]
fn a_founder_that_founded_nothing_is_made_anew_and_nobody_else() {
    let env = env_with_expired_founder();
    let old = std::fs::read_to_string(env.state().ignition("node1")).unwrap();
    // One that cannot be made ends the launch once all others are made.
    let provider = Arc::new(FakeProvider {
        broken: Some("node5"),
        ..env.provider()
    });
    let (exit, end) = env.launch(&provider, 60);
    assert_eq!(exit, Exit::Failed, "{end}");
    assert_eq!(provider.removals(), ["node1"]);
    for words in ["warning: node1 is made anew", "before it founded anything"] {
        assert!(end.contains(words), "{words}: {end}");
    }
    let new = std::fs::read_to_string(env.state().ignition("node1")).unwrap();
    assert!(new != old && env.permits_founding(), "a fresh permission");
    let calls = provider.calls.lock().unwrap();
    let at = |call: &str| calls.iter().position(|c| c == call).unwrap();
    assert!(at("remove node1") < at("ensure node1"), "{calls:?}");
}

#[test]
fn data_of_etcds_on_any_control_plane_is_never_thrown_away() {
    let env = env_with_expired_founder();
    for disks in [
        &[("node2", "/var/lib/etcd/member")][..],
        &[("node3", "/etc/kubernetes/manifests/etcd.yaml")],
        &[("node1", "/var/lib/etcd/member")],
    ] {
        let provider = Arc::new(FakeProvider {
            disks,
            ..env.provider()
        });
        let (exit, end) = env.launch(&provider, 0);
        assert_eq!(exit, Exit::TimedOut, "{end}");
        assert!(provider.removals().is_empty(), "{disks:?}");
        let holder = disks[0].0;
        let said = end.contains(&format!("{holder} holds data of etcd's"));
        assert_eq!(said, holder != "node1", "the founder itself resumes: {end}");
    }
}

#[test]
fn a_founder_whose_machine_is_gone_gets_no_permission_beside_data_of_etcds() {
    let env = env_with_expired_founder();
    for (disks, permits) in [
        (&[][..], true),
        (&[("node2", "/var/lib/etcd/member")], false),
    ] {
        let provider = Arc::new(FakeProvider {
            disks,
            removed: Mutex::new(["node1".to_owned()].into()),
            ..env.provider()
        });
        let (exit, end) = env.launch(&provider, 0);
        assert_eq!(exit, Exit::TimedOut, "{end}");
        assert_eq!(env.permits_founding(), permits, "{disks:?}");
    }
}

#[test]
fn what_is_not_known_is_named_and_nothing_is_thrown_away() {
    let env = env_with_expired_founder();
    let provider = Arc::new(FakeProvider {
        deaf: true,
        ..env.provider()
    });
    let error = format!("{:#}", env.try_launch(&provider, 0).0.unwrap_err());
    for words in [
        "node1's permission to found the cluster has ended",
        "node2: nobody there answers",
        "192.0.2.30:6444",
        "launch again",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(!error.contains("destroy"), "{error}");
    assert!(provider.removals().is_empty());
    // A machine that is off is switched on first.
    let provider = Arc::new(FakeProvider {
        machine: Machine::Off,
        ..env.provider()
    });
    let (_, end) = env.launch(&provider, 0);
    assert!(end.contains("warning: node1's permission"), "{end}");
    assert!(end.contains("node2's machine is off"), "{end}");
    assert!(provider.removals().is_empty());
}

#[test]
fn another_clusters_answer_founds_nothing() {
    let env = env_with_expired_founder();
    let stranger = AnsweringCluster::start(Pki::create().unwrap(), &[("GET /readyz", 200, "ok")]);
    let provider = Arc::new(FakeProvider {
        network: stranger.at,
        deaf: true,
        ..env.provider()
    });
    let error = env.try_launch(&provider, 0).0.unwrap_err().to_string();
    assert!(error.contains("another cluster answers"), "{error}");
    assert!(!is_founded(&env));
}

#[test]
fn a_verb_that_only_looks_remembers_what_it_saw() {
    let env = env_with_expired_founder();
    note_founded(&env.state(), &env.source.cluster).unwrap();
    assert!(is_founded(&env) && !env.permits_founding());
    let record = std::fs::metadata(env.state().path().join("state.json")).unwrap();
    note_founded(&env.state(), &env.source.cluster).unwrap();
    let again = std::fs::metadata(env.state().path().join("state.json")).unwrap();
    assert_eq!(
        record.modified().unwrap(),
        again.modified().unwrap(),
        "once"
    );
}

/// A cluster that was founded; since then these nodes' machines have gone.
fn founded_without(env: &TestEnv, gone: &[&str]) -> FakeProvider {
    env.launch_in_vain();
    note_founded(&env.state(), &env.source.cluster).unwrap();
    FakeProvider {
        removed: Mutex::new(gone.iter().map(ToString::to_string).collect()),
        ..env.provider()
    }
}

const CONTROL_PLANES: [&str; 3] = ["node1", "node2", "node3"];

#[test]
fn a_cluster_whose_control_planes_are_all_gone_with_their_etcd_is_not_begun_anew_unasked() {
    let env = TestEnv::new();
    let provider = Arc::new(founded_without(&env, &CONTROL_PLANES));
    let error = format!("{:#}", env.try_launch(&provider, 0).0.unwrap_err());
    for words in [
        "node1, node2, node3 have no machine any more",
        "etcd's data were on their disks",
        "Nothing was changed",
        "ha-host destroy demo",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let made = provider.calls.lock().unwrap();
    assert!(!made.iter().any(|call| call.starts_with("ensure")));
    assert!(is_founded(&env) && !env.permits_founding());
}

#[test]
fn with_an_external_etcd_control_planes_that_are_all_gone_are_made_anew_around_it() {
    let env = TestEnv::with_external_etcd();
    let provider = Arc::new(founded_without(&env, &CONTROL_PLANES));
    assert!(!env.permits_founding());
    let (exit, end) = env.launch(&provider, 0);
    assert_eq!(exit, Exit::TimedOut, "{end}");
    assert!(env.permits_founding(), "the founder asks etcd whose it is");
    let words = "node1 founds the cluster again over what the external etcd holds";
    assert!(end.contains(words), "{end}");
}

#[test]
fn a_control_plane_that_is_left_or_answers_is_joined() {
    for (gone, answers) in [(&CONTROL_PLANES[..2], false), (&CONTROL_PLANES[..], true)] {
        let env = TestEnv::with_external_etcd();
        let mut provider = founded_without(&env, gone);
        provider.disks = &[("node3", "/etc/kubernetes/manifests/kube-apiserver.yaml")];
        let pki = env.state().pki().unwrap().unwrap();
        let stands = AnsweringCluster::start(pki, &[("GET /readyz", 200, "ok")]);
        if answers {
            provider.network = stands.at;
        }
        let (_, end) = env.launch(&Arc::new(provider), 0);
        assert!(is_founded(&env) && !env.permits_founding(), "{end}");
    }
}
