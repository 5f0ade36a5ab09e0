use super::*;

/// What a launch waits for, and everything that is said of it.
const TABLE: [Row; 13] = [
    ("nothing", |_| {}, &[]),
    (
        "no API: nothing else can be known",
        |view| {
            view.vip = Err("connection refused".to_owned());
            view.nodes.clear();
            view.etcd = Err("x".to_owned());
        },
        &["the API at 10.77.0.30:6444: connection refused"],
    ),
    (
        "a node is not there",
        |view| {
            view.nodes.remove("node5");
            view.agents.clear();
        },
        &["node5 has not joined"],
    ),
    (
        "nodes are not Ready: etcd was not asked",
        |view| {
            for name in ["node2", "node4"] {
                let seen = view.nodes.get_mut(name).unwrap();
                (seen.ready, seen.reason) = (false, format!("cni of {name}"));
            }
            view.etcd = Err("not asked yet".to_owned());
        },
        &[
            "node2 is not Ready: cni of node2",
            "node4 is not Ready: cni of node4",
        ],
    ),
    (
        "a stranger among the nodes is no fault of ours",
        |view| {
            view.nodes.insert("other".to_owned(), NodeView::default());
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
        |view| view.etcd.as_mut().unwrap().push(member_view("", false)),
        &["etcd's members are node1, node2, node3, one not started instead of all control planes"],
    ),
    (
        "a member too many",
        |view| {
            view.etcd
                .as_mut()
                .unwrap()
                .push(member_view("node9", false))
        },
        &["etcd's members are node1, node2, node3, node9 instead of all control planes"],
    ),
    (
        "the same member twice",
        |view| {
            view.etcd
                .as_mut()
                .unwrap()
                .push(member_view("node3", false))
        },
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

fn awaited_findings(expected: &ExpectedCluster, view: &ClusterView) -> Vec<String> {
    let findings = findings_awaited(expected, view);
    findings.into_iter().map(|f| f.what).collect()
}

#[test]
fn what_a_launch_waits_for_is_said() {
    for (what, hurt, said) in TABLE {
        let mut view = healthy_view();
        hurt(&mut view);
        assert_eq!(awaited_findings(&demo_cluster(), &view), said, "{what}");
    }
}

#[test]
fn without_a_pod_network_nobody_waits_for_ready() {
    let expected = ExpectedCluster {
        has_pod_network: false,
        ..demo_cluster()
    };
    let mut view = healthy_view();
    view.agents.clear();
    view.nodes.get_mut("node4").unwrap().ready = false;
    assert!(awaited_findings(&expected, &view).is_empty());
    view.nodes.remove("node4");
    assert_eq!(awaited_findings(&expected, &view), ["node4 has not joined"]);
}

/// What it waits for at its end, and not for long.
const BRIEFLY: [Row; 8] = [
    ("nothing", |_| {}, &[]),
    ("no agent was heard", |view| view.agents.clear(), &[]),
    (
        "CoreDNS is just starting: nobody can be answered",
        |view| {
            for pod in &mut view.api().dns.as_mut().unwrap().pods {
                (pod.ready, pod.scheduled_ms) = (false, Some(NOW - 1000));
            }
            view.status("node5").dns = Some(answer_since("Operation not permitted", 1));
        },
        &["a pod of CoreDNS to serve"],
    ),
    (
        "one of its pods serves",
        |view| view.api().dns.as_mut().unwrap().pods[1].ready = false,
        &[],
    ),
    (
        "no cluster DNS is wanted",
        |view| {
            let dns = view.api().dns.as_mut().unwrap();
            (dns.wanted, dns.pods) = (0, Vec::new());
        },
        &[],
    ),
    (
        "a node was not answered a moment ago, and pods of another",
        |view| {
            view.status("node5").dns = Some(answer_since("Operation not permitted", 1));
            let (command, answer) = (String::new(), answer_since("no answer within 2 s", 1));
            view.status("node4").dns_in_pods = Some(PodsAnswer { answer, command });
        },
        &["cluster DNS to answer node4 and node5"],
    ),
    (
        "the same of the API's service address",
        |view| view.status("node5").service = Some(answer_since("Connection refused", 0)),
        &["the API's service address to answer node5"],
    ),
    (
        "a node that has not asked yet",
        |view| (view.status("node5").service, view.status("node5").dns) = (None, None),
        &[],
    ),
];

fn awaited_briefly(expected: &ExpectedCluster, view: &ClusterView) -> Vec<String> {
    let findings = findings_awaited_briefly(expected, view);
    findings.into_iter().map(|f| f.what).collect()
}

#[test]
fn services_and_dns_are_waited_for_at_the_end() {
    let foreign_network = ExpectedCluster {
        has_pod_network: false,
        ..demo_cluster()
    };
    for (what, hurt, said) in BRIEFLY {
        let mut view = healthy_view();
        hurt(&mut view);
        assert_eq!(awaited_briefly(&demo_cluster(), &view), said, "{what}");
        assert!(awaited_briefly(&foreign_network, &view).is_empty());
    }
}

/// Seen at the demo's end: node3's apiserver answered, and haproxy had not asked it often enough yet.
#[test]
fn haproxys_checks_are_waited_for_at_the_end_too() {
    let mut view = healthy_view();
    for (node, state) in [("node1", "DOWN"), ("node2", "DOWN 1/2")] {
        view.status(node).backends[2] = backend_for("node3", state, "L7STS/500", 40);
    }
    let said = ["haproxy's checks of node3 to pass"];
    assert_eq!(awaited_briefly(&demo_cluster(), &view), said);
}
