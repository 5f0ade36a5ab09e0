use serde_json::{Value, json};

use super::super::difference::difference_of;
use super::*;

fn reach_of_values(key: &str, old: &Value, new: &Value) -> Reach {
    reach_of(&difference_of(key, Some(old), Some(new)))
}

fn reach_of_texts(key: &str, old: &str, new: &str) -> Reach {
    reach_of_values(key, &json!(old), &json!(new))
}

#[test]
fn the_longest_rule_that_fits_decides() {
    let cluster = "kubernetes.clusterConfiguration";
    assert!(matches!(
        reach_of_texts(&format!("{cluster}.apiServer.extraArgs[v]"), "2", "4"),
        Reach::NewNodes(Some(_))
    ));
    assert_eq!(
        reach_of_texts(&format!("{cluster}.networking.dnsDomain"), "a", "b"),
        refused_because("every service and pod was made with it", ONLY_ANOTHER)
    );
    assert_eq!(
        reach_of_texts("loadBalancer.timeouts.tunnel", "1", "2"),
        Reach::NewNodes(None)
    );
    assert_eq!(
        reach_of_texts("loadBalancer.routerId", "none", "51"),
        refused_because(ONE_ROUTER, ONLY_ANOTHER)
    );
    // `networkX` is not below `network`.
    assert_eq!(
        reach_of_texts("networkX", "a", "b"),
        refused_because("it is built into every node", ONLY_ANOTHER)
    );
}

#[test]
fn the_etcd_stays_and_its_clients_certificate_may_be_another() {
    for (key, old, new) in [
        ("kubernetes.etcd", "none", "{...}"),
        ("kubernetes.etcd.external.endpoints", "[a]", "[b]"),
    ] {
        let reach = reach_of_texts(key, old, new);
        assert!(matches!(reach, Reach::Refused { .. }), "{key}");
    }
    let reach = reach_of_texts("kubernetes.etcd.external.certFile", "a", "b");
    assert!(matches!(reach, Reach::NewNodes(Some(_))));
}

#[test]
fn a_second_family_is_for_new_clusters() {
    for (key, one, two) in [
        (
            "nodes[node1].address",
            json!("10.77.0.11"),
            json!(["10.77.0.11", "fd00:77::11"]),
        ),
        (
            "network.gateway",
            json!("10.77.0.1"),
            json!(["10.77.0.1", "fd00:77::1"]),
        ),
        (
            "network.gateway",
            Value::Null,
            json!(["10.77.0.1", "fd00:77::1"]),
        ),
        ("network.prefix", json!(24), json!([24, 64])),
        (
            "kubernetes.podCIDR",
            json!("10.244.0.0/16"),
            json!(["10.244.0.0/16", "fd00:10:244::/56"]),
        ),
    ] {
        for (old, new) in [(&one, &two), (&two, &one)] {
            let Reach::Refused { why, instead } = reach_of_values(key, old, new) else {
                panic!("{key}: {old} -> {new}")
            };
            assert!(why.contains("one family or of both"), "{why}");
            assert_eq!(instead, ONLY_ANOTHER);
        }
    }
    // Another router is what it was; so is a single one, whatever its words look like.
    for (old, new) in [
        (
            json!(["10.77.0.1", "fd00:77::1"]),
            json!(["10.77.0.2", "fd00:77::1"]),
        ),
        (json!("10.77.0.1"), json!("10.77.0.2, the new one")),
    ] {
        let reach = reach_of_values("network.gateway", &old, &new);
        assert!(matches!(reach, Reach::NewNodes(Some(_))), "{reach:?}");
    }
}

#[test]
fn another_proxy_is_what_new_nodes_get() {
    for key in ["proxy.https", "proxy.except", "proxy"] {
        let reach = reach_of_texts(key, "a", "b");
        assert!(matches!(reach, Reach::NewNodes(Some(_))), "{key}");
    }
    assert!(matches!(
        reach_of_texts("kubernetes.proxy", "a", "b"),
        Reach::Refused { .. }
    ));
}

#[test]
fn of_nodes_workers_come_and_labels_change() {
    let node = |role: &str| json!({"name": "x", "role": role});
    for key in ["nodes[node6]", "nodes[node6.example.com]"] {
        let reach = reach_of_values(key, &Value::Null, &node("worker"));
        assert_eq!(reach, Reach::Whole, "{key}");
    }
    for (key, old, new, words) in [
        (
            "nodes[node6]",
            Value::Null,
            node("control-plane"),
            "adding control planes",
        ),
        ("nodes[lb3]", Value::Null, node("load-balancer"), PEERS),
        ("nodes[lb2]", node("load-balancer"), Value::Null, PEERS),
        (
            "nodes[node5]",
            node("worker"),
            Value::Null,
            "takes no node out",
        ),
        (
            "nodes[node5.example.com]",
            node("worker"),
            Value::Null,
            "takes no node out",
        ),
        // Words that only look like roles decide nothing.
        (
            "nodes[node6].x",
            Value::Null,
            json!("worker"),
            "built into that machine",
        ),
        (
            "nodes[node6.example.com].address",
            json!("192.0.2.15"),
            json!("192.0.2.25"),
            "built into that machine",
        ),
    ] {
        let Reach::Refused { why, .. } = reach_of_values(key, &old, &new) else {
            panic!("{key}")
        };
        assert!(why.contains(words), "{key}: {why}");
    }
    let labelled = reach_of_values("nodes[node5].labels.a", &Value::Null, &json!("b"));
    assert!(matches!(labelled, Reach::NewNodes(Some(_))));
}

/// Whatever is said of a value, it is the value that counts.
#[test]
fn how_it_is_shown_decides_nothing() {
    let worker = json!({"name": "x", "role": "worker"});
    let shown_otherwise = |kind, old: &str, new: &str| Difference {
        old: old.into(),
        new: new.into(),
        kind,
        ..difference_of("nodes[x]", None, Some(&worker))
    };
    let added = shown_otherwise(DifferenceKind::NodeAdded(Role::Worker), "nothing", "a node");
    assert_eq!(reach_of(&added), Reach::Whole);
    let value = shown_otherwise(DifferenceKind::Value, "none", "worker");
    assert!(matches!(reach_of(&value), Reach::Refused { .. }));
}
