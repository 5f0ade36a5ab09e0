use serde_json::{Value, json};

use super::*;
use crate::kube::testing::{Script, run_local, test_authority};
use crate::testing::{self, FakeMachine};

const PODS: &str = "GET /api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns";
const NODES: &str = "GET /api/v1/nodes";

/// 2023-11-14 at 22:MM:SS; the fake machine's clock says 22:13:20.
fn time_at(minute: u8, second: u8) -> String {
    format!("2023-11-14T22:{minute:02}:{second:02}Z")
}

fn condition_since(kind: &str, status: &str, since: &str) -> Value {
    json!({"type": kind, "status": status, "lastTransitionTime": since})
}

fn dns_pod(name: &str, node: &str, scheduled: &str) -> Value {
    let conditions = ["PodScheduled", "Ready"].map(|kind| condition_since(kind, "True", scheduled));
    json!({"metadata": {"name": name}, "spec": {"nodeName": node}, "status": {"conditions": conditions}})
}

fn node_with_ready(name: &str, ready: &str, since: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"conditions": [condition_since("Ready", ready, since)]}})
}

fn with_taint(mut node: Value, key: &str, effect: &str) -> Value {
    node["spec"] = json!({"taints": [{"key": key, "effect": effect}]});
    node
}

fn with_field(mut object: Value, path: &str, value: Value) -> Value {
    *object.pointer_mut(path).unwrap() = value;
    object
}

/// Two pods on node1 from 22:10:00, and node2 that became Ready at 22:12:00.
fn both_on_one_node() -> [Vec<Value>; 2] {
    let pods = ["a", "b"].map(|name| dns_pod(name, "node1", &time_at(10, 0)));
    let nodes = [
        node_with_ready("node1", "True", &time_at(9, 59)),
        node_with_ready("node2", "True", &time_at(12, 0)),
    ];
    [pods.into(), nodes.into()]
}

fn name_of_moved(pods: &[Value], nodes: &[Value]) -> Option<String> {
    let pods: Vec<Pod> = serde_json::from_value(pods.into()).unwrap();
    let nodes: Vec<Node> = serde_json::from_value(nodes.into()).unwrap();
    pod_to_move(&pods, &nodes, 1_700_000_000_000).map(|p| p.metadata.name.clone())
}

#[test]
fn one_is_moved_if_there_was_no_choice() {
    let [pods, nodes] = both_on_one_node();
    assert_eq!(name_of_moved(&pods, &nodes).as_deref(), Some("a"));
    let scheduled = |second| vec![pods[0].clone(), dns_pod("b", "node1", &time_at(12, second))];
    assert_eq!(
        name_of_moved(&scheduled(9), &nodes).as_deref(),
        Some("a"),
        "scheduled while node2 still had its taints"
    );
    assert_eq!(
        name_of_moved(&scheduled(10), &nodes),
        None,
        "the scheduler had a choice"
    );
}

#[test]
fn pods_stay_where_moving_one_is_of_no_use() {
    let [pods, _] = both_on_one_node();
    let elsewhere = dns_pod("b", "node2", &time_at(10, 0));
    let unready = with_field(
        pods[1].clone(),
        "/status/conditions/1/status",
        "False".into(),
    );
    let leaving = with_field(
        pods[1].clone(),
        "/metadata",
        json!({"name": "b", "deletionTimestamp": time_at(13, 0)}),
    );
    let pending = json!({"metadata": {"name": "b"}});
    let nodes = both_on_one_node()[1].clone();
    for (what, second) in [
        ("spread", elsewhere),
        ("the other does not serve", unready),
        ("the other is being deleted", leaving),
        ("the other has no node yet", pending),
    ] {
        assert_eq!(
            name_of_moved(&[pods[0].clone(), second], &nodes),
            None,
            "{what}"
        );
    }
    assert_eq!(
        name_of_moved(&pods[..1], &nodes),
        None,
        "one pod by intention"
    );
    assert_eq!(name_of_moved(&[], &nodes), None, "no pods");
}

#[test]
fn a_second_node_counts_once_pods_may_run_there() {
    let [pods, nodes] = both_on_one_node();
    let second = &nodes[1];
    for (what, second, moved) in [
        (
            "not Ready",
            node_with_ready("node2", "False", &time_at(12, 0)),
            false,
        ),
        (
            "Ready just now",
            node_with_ready("node2", "True", &time_at(13, 15)),
            false,
        ),
        (
            "cordoned",
            with_taint(
                second.clone(),
                "node.kubernetes.io/unschedulable",
                "NoSchedule",
            ),
            false,
        ),
        (
            "somebody's own",
            with_taint(second.clone(), "gpu", "NoExecute"),
            false,
        ),
        (
            "a control plane",
            with_taint(
                second.clone(),
                "node-role.kubernetes.io/control-plane",
                "NoSchedule",
            ),
            true,
        ),
        (
            "unloved",
            with_taint(second.clone(), "gpu", "PreferNoSchedule"),
            true,
        ),
    ] {
        let decided = name_of_moved(&pods, &[nodes[0].clone(), second]);
        assert_eq!(decided.is_some(), moved, "{what}");
    }
    assert_eq!(name_of_moved(&pods, &nodes[..1]), None, "there is none");
}

#[test]
fn spread_is_what_serves_on_two_nodes() {
    let [together, _] = both_on_one_node();
    let spread = |second: Value| {
        let pods = json!([together[0], second]);
        are_spread(&serde_json::from_value::<Vec<Pod>>(pods).unwrap())
    };
    assert!(spread(dns_pod("b", "node2", &time_at(10, 0))));
    assert!(!spread(together[1].clone()));
    let starting = with_field(
        dns_pod("b", "node2", &time_at(13, 0)),
        "/status/conditions/1/status",
        "False".into(),
    );
    assert!(!spread(starting));
}

/// The second control plane, whose API says this.
async fn dns_fixture(net: u8, holder: &str) -> (FakeMachine, Script) {
    let ca = test_authority("kubernetes");
    let mut me = testing::control_plane();
    me.endpoint.vip = [127, net, 0, 30].into();
    let machine = testing::fake_machine(me);
    machine.file(&kube::pki_file("ca.crt"), ca.cert());
    machine.file(&kube::pki_file("ca.key"), ca.key().expose());
    let api = Script::default();
    let list = |items: &[Value]| json!({"items": items}).to_string();
    let [pods, nodes] = both_on_one_node();
    let spread = [pods[0].clone(), dns_pod("c", "node2", &time_at(13, 0))];
    api.on(PODS, 200, &list(&pods))
        .on(PODS, 200, &list(&pods))
        .on(PODS, 200, &list(&spread))
        .on(NODES, 200, &list(&nodes))
        .held_lease(LEASE, holder)
        .on("DELETE /api/v1/namespaces/kube-system/pods/a", 200, "{}");
    api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
    (machine, api)
}

async fn advance_until_done(machine: &FakeMachine) {
    let mut spread = PodSpread::begin(&machine.cx);
    for _ in 0..10 {
        spread.advance().await;
    }
    assert!(spread.done, "the pods are spread by then");
}

#[test]
fn one_pod_is_deleted_once_under_the_lease() {
    run_local(async {
        let (machine, api) = dns_fixture(151, "").await;
        advance_until_done(&machine).await;
        let asked = api.asked.borrow().clone();
        let first = |begin: &str| asked.iter().position(|r| r.starts_with(begin)).unwrap();
        assert_eq!(api.asked("DELETE").len(), 1, "{asked:?}");
        assert!(first("PUT") < first("DELETE"), "{asked:?}");
        let holder = api.lease(LEASE).unwrap().spec.holder_identity;
        assert_eq!(holder.as_deref(), Some(""), "the next one need not wait");
    });
}

#[test]
fn another_control_plane_is_left_to_do_it() {
    run_local(async {
        let (machine, api) = dns_fixture(152, "node1/b").await;
        advance_until_done(&machine).await;
        assert_eq!(api.asked("DELETE").len() + api.asked("PUT").len(), 0);
        // A host that hears of a wait takes the node for one that is still on its way.
        assert_eq!(machine.events(), Vec::<Value>::new());
    });
}

#[test]
fn workers_and_clusters_without_kubeadms_dns_are_left_alone() {
    let me = testing::control_plane();
    assert!(watches_dns_pods(&me));
    assert!(!watches_dns_pods(&testing::worker()));
    for (disabled, expected) in [(true, false), (false, true)] {
        let mut me = me.clone();
        let dns = json!({"disabled": disabled});
        me.kubernetes
            .cluster_configuration
            .insert("dns".into(), dns);
        assert_eq!(watches_dns_pods(&me), expected, "dns.disabled: {disabled}");
    }
}
