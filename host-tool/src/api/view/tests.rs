use ha_test_support::{DEMO, cluster};

use super::*;

fn demo_with(cni: &str) -> Cluster {
    cluster(&DEMO.replace("cni: none", cni), std::path::Path::new("/"))
}

fn member(name: &str, is_learner: bool) -> Member {
    Member {
        id: "1".to_owned(),
        name: name.to_owned(),
        is_learner,
        ..Member::default()
    }
}

/// Everything that a whole demo cluster shows.
fn whole() -> ClusterView {
    let ready = NodeView {
        ready: true,
        reason: String::new(),
    };
    let planes = ["node1", "node2", "node3"];
    let nodes = ["node1", "node2", "node3", "node4", "node5"];
    ClusterView {
        vip: Ok(()),
        nodes: nodes.map(|n| (n.to_owned(), ready.clone())).into(),
        etcd: Ok(planes.map(|n| member(n, false)).into()),
        apiservers: planes.map(|n| (n.to_owned(), Ok(()))).into(),
    }
}

type Hurt = fn(&mut ClusterView);

/// One thing that is not as it should be, and everything that is said of it.
const TABLE: [(&str, Hurt, &[&str]); 13] = [
    ("nothing", |_| {}, &[]),
    (
        "no API: nothing else can be known",
        |view| {
            view.vip = Err("connection\nrefused".to_owned());
            view.nodes.clear();
            view.etcd = Err("x".to_owned());
        },
        &["the API at 10.77.0.30:6444: connection refused"],
    ),
    (
        "a node is not there",
        |view| drop(view.nodes.remove("node5")),
        &["node5 has not joined"],
    ),
    (
        "nodes are not Ready: etcd was not asked",
        |view| {
            for name in ["node2", "node4"] {
                let seen = view.nodes.get_mut(name).unwrap();
                (seen.ready, seen.reason) = (false, format!("cni of {name}\x1b"));
            }
            view.etcd = Err("not asked yet".to_owned());
        },
        &[
            "node2 is not Ready: cni of node2 ",
            "node4 is not Ready: cni of node4 ",
        ],
    ),
    (
        "a stranger among the nodes is no fault of ours",
        |view| {
            let seen = view.nodes["node1"].clone();
            view.nodes.insert(
                "other".to_owned(),
                NodeView {
                    ready: false,
                    ..seen
                },
            );
        },
        &[],
    ),
    (
        "etcd does not answer",
        |view| view.etcd = Err("timed out".to_owned()),
        &["etcd's member list: timed out"],
    ),
    (
        "a member is missing",
        |view| drop(view.etcd.as_mut().unwrap().pop()),
        &["etcd's members are node1, node2 instead of all control planes"],
    ),
    (
        "a member does not vote yet",
        |view| view.etcd.as_mut().unwrap()[2].is_learner = true,
        &["etcd's members are node1, node2, node3 (learner) instead of all control planes"],
    ),
    (
        "a member never started",
        |view| view.etcd.as_mut().unwrap().push(member("", false)),
        &["etcd's members are node1, node2, node3, one not started instead of all control planes"],
    ),
    (
        "a member too many",
        |view| view.etcd.as_mut().unwrap().push(member("node9", false)),
        &["etcd's members are node1, node2, node3, node9 instead of all control planes"],
    ),
    (
        "the same member twice",
        |view| view.etcd.as_mut().unwrap().push(member("node3", false)),
        &["etcd's members are node1, node2, node3, node3 instead of all control planes"],
    ),
    (
        "an apiserver is down",
        |view| {
            let down = Err("answers HTTP 500".to_owned());
            view.apiservers.insert("node2".to_owned(), down);
        },
        &["node2's apiserver: answers HTTP 500"],
    ),
    (
        "apiservers were not asked, and etcd is not whole: both are said",
        |view| {
            view.apiservers.clear();
            view.etcd = Ok(Vec::new());
        },
        &[
            "etcd has no members",
            "node1's apiserver was not asked yet",
            "node2's apiserver was not asked yet",
            "node3's apiserver was not asked yet",
        ],
    ),
];

#[test]
fn what_is_missing_of_a_whole_cluster_is_said() {
    let cluster = demo_with("cni: {manifests: [cni.yaml]}");
    for (what, hurt, expected) in TABLE {
        let mut view = whole();
        hurt(&mut view);
        assert_eq!(view.missing(&cluster), expected, "{what}");
    }
}

#[test]
fn without_a_pod_network_nobody_waits_for_ready() {
    let cluster = demo_with("cni: none");
    let mut view = whole();
    view.nodes.get_mut("node4").unwrap().ready = false;
    assert!(view.missing(&cluster).is_empty());
    assert_eq!(view.ready(&cluster), 4, "it is still counted as what it is");
    view.nodes.remove("node4");
    assert_eq!(view.missing(&cluster), ["node4 has not joined"]);
}
