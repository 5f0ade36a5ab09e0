//! A cluster file that is not what it was.

use std::path::Path;

use ha_cluster_file::check::check_file_of_cluster;
use ha_test_support::parse_cluster;

use super::fake::{Meanwhile, no_provider};
use super::*;
use crate::testing::AnsweringCluster;

pub fn source_of(text: &str) -> Source {
    source_at(text, Path::new("/"))
}

/// The file in this directory.
pub fn source_at(text: &str, base: &Path) -> Source {
    source_with(text, base, parse_cluster(text, base))
}

/// The file of a cluster that was accepted with this version of Kubernetes.
pub fn source_of_standing(text: &str, base: &Path, version: &str) -> Source {
    let (cluster, _) = check_file_of_cluster(text, base, Some(version)).unwrap();
    source_with(text, base, cluster)
}

fn source_with(text: &str, base: &Path, cluster: Cluster) -> Source {
    Source {
        path: "demo.yaml".into(),
        text: text.to_owned(),
        base: base.to_owned(),
        cluster,
        warnings: String::new(),
    }
}

/// Like a launch of this file that saw the cluster whole.
pub fn accept_as_launched(dir: ClusterDir, source: &Source) {
    let store = dir.lock().unwrap();
    store.accept(&source.as_accepted()).unwrap();
    store.ensure_pki().unwrap();
    state::record_life(&store, state::ClusterLife::Standing).unwrap();
}

#[test]
fn a_launch_of_another_file_in_between_is_not_overwritten() {
    let env = TestEnv::new();
    let other = source_of(&env.source.text.replace("port: 6444", "port: 7444"));
    let (text, dir) = (other.text.clone(), env.state());
    let provider = Arc::new(FakeProvider {
        meanwhile: Some(Meanwhile(Box::new(move || {
            accept_as_launched(dir.clone(), &other)
        }))),
        ..env.provider()
    });
    let error = env.try_launch(&provider, 0).0.unwrap_err();
    assert!(
        error.to_string().contains("endpoint.port: 7444 -> 6444"),
        "{error}"
    );
    assert!(matches!(error.downcast_ref(), Some(Stop::BadInput(_))));
    let kept = std::fs::read_to_string(env.state().path().join("cluster.yaml")).unwrap();
    assert_eq!(kept, text, "the other launch's");
    assert!(
        provider.calls.lock().unwrap().is_empty(),
        "nothing was made"
    );
}

#[test]
fn a_directory_of_somebody_elses_is_refused_before_the_host_is_looked_at() {
    let env = TestEnv::new();
    std::fs::create_dir_all(env.state().path()).unwrap();
    std::fs::write(env.state().path().join("notes.txt"), "mine").unwrap();
    let provider = Arc::new(FakeProvider {
        meanwhile: Some(Meanwhile(Box::new(|| panic!("the host was looked at")))),
        ..env.provider()
    });
    let error = env.try_launch(&provider, 0).0.unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(Stop::BadInput(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("notes.txt"), "{error}");
}

#[test]
fn what_reaches_no_node_that_stands_is_said_once() {
    let mut env = TestEnv::new();
    let key = format!(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} stolen",
        "A".repeat(43)
    );
    let text = env.source.text.clone() + &format!("ssh: {{authorizedKeys: [\"{key}\"]}}\n");
    accept_as_launched(env.state(), &source_of(&text));
    env.source = source_of(&(env.source.text.clone() + "hooks: {beforeJoin: [\"true\"]}\n"));
    let (_, end) = env.launch(&Arc::new(env.provider()), 0);
    for line in [
        "warning: ssh.authorizedKeys: a list of 1 -> none: nodes that stand keep theirs; there: /home/core/.ssh on each node",
        "warning: hooks.beforeJoin: none -> a list of 1: nodes that stand keep theirs, only new nodes get it",
    ] {
        assert!(end.contains(line), "{line}: {end}");
    }
    assert!(!end.contains("sysexts"), "{end}");
    let (_, end) = env.launch(&Arc::new(env.provider()), 0);
    assert!(!end.contains("keep theirs"), "it is accepted now: {end}");
}

#[test]
fn a_merged_config_that_says_something_else_under_the_same_name_is_said_too() {
    let mut env = TestEnv::new();
    let merged = env.dir.path().join("mine.ign");
    let config = |motd: &str| {
        format!(
            r#"{{"ignition":{{"version":"3.3.0"}},"storage":{{"files":[{{"path":"/etc/motd","contents":{{"source":"data:,{motd}"}}}}]}}}}"#
        )
    };
    std::fs::write(&merged, config("one")).unwrap();
    let text = format!(
        "{}ignition: {{merge: [{}]}}\n",
        env.source.text,
        merged.display()
    );
    env.source = source_of(&text);
    let line =
        "ignition.merge: what mine.ign held -> what it holds now: nodes that stand keep theirs";
    for (motd, said) in [("one", false), ("one", false), ("two", true)] {
        std::fs::write(&merged, config(motd)).unwrap();
        let (_, end) = env.launch(&Arc::new(env.provider()), 0);
        assert_eq!(end.contains(line), said, "{motd}: {end}");
        note_founded(&env.state(), &env.source.cluster).unwrap();
    }
}

#[test]
fn ready_already_comes_with_a_kubeconfig_that_is_good() {
    let env = TestEnv::new();
    env.launch_in_vain();
    accept_as_launched(env.state(), &env.source);
    let node = |n: u8| {
        format!(
            r#"{{"metadata":{{"name":"node{n}"}},"status":{{"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
        )
    };
    let nodes: Vec<String> = (1..=5).map(node).collect();
    let nodes = format!(r#"{{"items":[{}]}}"#, nodes.join(","));
    let members = r#"{"members":[{"name":"node1"},{"name":"node2"},{"name":"node3"}]}"#;
    let answers = [
        ("GET /readyz", 200, "ok"),
        ("GET /api/v1/nodes", 200, nodes.as_str()),
        ("POST /v3/cluster/member/list", 200, members),
    ];
    let cluster = AnsweringCluster::start(env.state().pki().unwrap().unwrap(), &answers);
    let provider = Arc::new(FakeProvider {
        network: cluster.at,
        ..env.provider()
    });
    let kubeconfig = env.state().kubeconfig();
    // Of another place; one that has ended is judged by the same function.
    let old = std::fs::read_to_string(&kubeconfig).unwrap();
    let (exit, end) = env.launch(&provider, 60);
    assert_eq!(exit, Exit::Done, "{end}");
    assert!(end.contains("ready already"), "{end}");
    // What a launch does not wait for, it tells.
    let warning = "warning: node: node1 lacks the label node-role.kubernetes.io/control-plane";
    assert!(end.contains(warning), "{end}");
    let new = std::fs::read_to_string(&kubeconfig).unwrap();
    let server = format!(
        "https://{}",
        cluster.at.reach(([192, 0, 2, 30], 6444).into())
    );
    assert!(!old.contains(&server) && new.contains(&server), "{new}");
    env.launch(&provider, 60);
    let again = std::fs::read_to_string(&kubeconfig).unwrap();
    assert_eq!(again, new, "a good one stays");
}

#[test]
fn only_what_a_launch_can_do_may_change() {
    let env = TestEnv::new();
    let root = StateRoot::new(Some(&env.dir.path().join("state"))).unwrap();
    let compare = |text: &str| {
        let cluster = parse_cluster(text, Path::new("/"));
        let source = Source {
            path: "demo.yaml".into(),
            text: text.to_owned(),
            base: "/".into(),
            cluster,
            warnings: String::new(),
        };
        let changes = judge_changes(
            &root.dir("demo"),
            &source,
            &OperatorFiles::default(),
            &no_provider,
        )
        .map_err(|e| e.to_string())?;
        Ok::<_, String>(changes.is_empty())
    };
    let text = &env.source.text;
    assert_eq!(compare(text), Ok(true), "no such cluster yet");
    let store = env.state().lock().unwrap();
    store.accept(&env.source.as_accepted()).unwrap();
    assert_eq!(
        compare(&text.replace("port: 6444", "port: 7444")),
        Ok(true),
        "only rendered: anything goes"
    );
    state::record_life(&store, state::ClusterLife::Standing).unwrap();
    assert_eq!(compare(&format!("{text}# a comment\n")), Ok(true));
    let worker = "  - {name: node6, role: worker, address: 192.0.2.16}\n";
    assert_eq!(
        compare(&format!("{text}{worker}")),
        Ok(false),
        "a new worker is work to do"
    );
    let table = [
        (
            text.replace("port: 6444", "port: 7444"),
            "endpoint.port: 6444 -> 7444",
        ),
        (
            text.replace("1.36.3", "1.36.2"),
            "kubernetes.version: 1.36.3 -> 1.36.2",
        ),
        (
            text.replace("192.0.2.15", "192.0.2.25"),
            "nodes[node5].address: 192.0.2.15 -> 192.0.2.25",
        ),
        (
            text.replace("node5", "node7"),
            "nodes[node5]: worker -> none",
        ),
    ];
    for (text, message) in table {
        let error = compare(&text).unwrap_err();
        assert!(
            error.contains(message) && error.contains("nothing was changed"),
            "{error}"
        );
    }
    state::record_life(&store, state::ClusterLife::Destroying).unwrap();
    assert!(
        compare(text)
            .unwrap_err()
            .contains("finish it with `ha-host destroy demo`")
    );
}
