use ha_test_support::demo_cluster;
use ha_wire::doctor::{
    LinkAddress, MachineIdentity, PortTrial, TrialOutcome, VERSION as WIRE_VERSION, VrrpHeard,
};

use super::*;

/// A visit of one of the demo's nodes, whose clock is so far ahead.
fn visit_demo_node(index: usize, ahead_ms: i64) -> Visit {
    let node = demo_cluster().nodes[index].clone();
    let examination = Examination {
        version: WIRE_VERSION,
        cluster: "demo".into(),
        node: node.name.clone(),
        checks: vec![Check::passing("time", "timedatectl")],
        machine: MachineIdentity {
            machine_id: format!("{index:032x}1"),
            product_uuid: format!("4c4c4544-{index}"),
            interfaces: vec![LinkAddress {
                name: "eth0".into(),
                mac: format!("52:54:00:00:00:0{}", index + 1),
            }],
        },
        vrrp: None,
        took_ms: 2_000,
        clock_ms: (1_795_273_200_000 + ahead_ms).try_into().unwrap(),
    };
    Visit {
        node,
        answer: Ok(examination),
        answered_ms: 1_795_273_200_000,
        took_ms: 2_200,
    }
}

fn unwell_checks(checks: &[Check]) -> Vec<(&str, Verdict, &str)> {
    let unwell = checks.iter().filter(|check| check.verdict != Verdict::Pass);
    unwell
        .inspect(|check| {
            assert!(
                !check.command.is_empty() && !check.remedy.is_empty(),
                "{check:?}"
            )
        })
        .map(|check| (check.name.as_str(), check.verdict, check.reason.as_str()))
        .collect()
}

fn compare_spoiled(spoil: impl Fn(&mut [Examination])) -> Vec<Check> {
    let mut visits: Vec<Visit> = (0..5).map(|index| visit_demo_node(index, 0)).collect();
    let mut seen: Vec<Examination> = visits.iter().map(|v| v.answer.clone().unwrap()).collect();
    spoil(&mut seen);
    for (visit, seen) in visits.iter_mut().zip(seen) {
        visit.answer = Ok(seen);
    }
    compare::compare_nodes(&visits)
}

#[test]
fn five_different_machines_are_well() {
    let checks = compare_spoiled(|_| ());
    assert_eq!(unwell_checks(&checks), []);
    assert_eq!(checks.len(), 5, "{checks:?}");
}

#[test]
fn two_machines_with_one_identity_are_named() {
    let checks =
        compare_spoiled(|seen| seen[4].machine.interfaces = seen[3].machine.interfaces.clone());
    let words = "node4 and node5 have one mac, 52:54:00:00:00:04";
    assert_eq!(unwell_checks(&checks), [("mac", Verdict::Fail, words)]);
    let checks =
        compare_spoiled(|seen| seen[4].machine.product_uuid = seen[0].machine.product_uuid.clone());
    let words = "node1 and node5 have one product uuid, 4c4c4544-0";
    assert_eq!(
        unwell_checks(&checks),
        [("product uuid", Verdict::Fail, words)]
    );
    let checks = compare_spoiled(|seen| {
        for one in seen {
            one.machine.machine_id = "0123".into();
        }
    });
    let words = "node1 and node2 and node3 and node4 and node5 have one machine-id, 0123";
    assert_eq!(
        unwell_checks(&checks),
        [("machine-id", Verdict::Fail, words)]
    );
}

#[test]
fn what_is_not_known_is_not_shared() {
    let checks = compare_spoiled(|seen| {
        for one in seen {
            one.machine = MachineIdentity {
                product_uuid: "00000000-0000-0000-0000-000000000000".into(),
                ..MachineIdentity::default()
            };
        }
    });
    assert_eq!(unwell_checks(&checks), []);
    let bond = compare_spoiled(|seen| {
        let again = seen[0].machine.interfaces[0].clone();
        seen[0].machine.interfaces.push(again);
    });
    assert_eq!(unwell_checks(&bond), []);
}

#[test]
fn two_holders_of_the_vip_are_named() {
    let holds = |holds_vip| {
        Some(VrrpHeard {
            holds_vip,
            from: Vec::new(),
            listened_ms: 1000,
        })
    };
    let checks = compare_spoiled(|seen| {
        (seen[0].vrrp, seen[1].vrrp, seen[2].vrrp) = (holds(true), holds(false), holds(true));
    });
    let words = "held by node1 and node3: they do not hear each other";
    assert_eq!(unwell_checks(&checks), [("vip", Verdict::Fail, words)]);
}

#[test]
fn clocks_are_compared_with_each_other_and_not_with_this_machine_s() {
    let clocks = |ahead: [i64; 3]| {
        let visits: Vec<Visit> = (0..3).map(|i| visit_demo_node(i, ahead[i])).collect();
        let checks = compare::compare_nodes(&visits);
        let told = unwell_checks(&checks).into_iter();
        told.map(|(_, verdict, reason)| (verdict, reason.to_owned()))
            .collect::<Vec<_>>()
    };
    let said = |verdict, words: &str| vec![(verdict, words.to_owned())];
    assert_eq!(clocks([0, 0, 0]), []);
    assert_eq!(
        clocks([-60_000, -60_000, -60_000]),
        [],
        "this machine's is wrong"
    );
    // The way took 200 ms, so much may each of the two be off.
    assert_eq!(clocks([0, 0, 1_150]), []);
    let ahead = "node3 is 2 s ahead of the other nodes";
    assert_eq!(clocks([0, 0, 1_500]), said(Verdict::Warn, ahead));
    let behind = "node1 is 41 s behind the other nodes";
    assert_eq!(clocks([-41_000, 0, 0]), said(Verdict::Fail, behind));
    let two: Vec<Visit> = [(0, 0), (1, 41_000)]
        .map(|(i, ahead)| visit_demo_node(i, ahead))
        .into();
    let words = "node2 is 41 s ahead of node1";
    assert_eq!(
        unwell_checks(&compare::compare_nodes(&two)),
        [("clock", Verdict::Fail, words)]
    );
}

#[test]
fn each_node_tries_what_it_lives_on() {
    let cluster = demo_cluster();
    let to = |index: usize| {
        let ways = ways::ways_of(&cluster, &cluster.nodes[index]);
        let mut trials: Vec<PortTrial> = Vec::new();
        for address in [
            "10.77.0.30:6444",
            "10.77.0.11:2379",
            "10.77.0.11:6443",
            "10.77.0.14:10250",
            "10.77.0.12:2380",
        ] {
            let (to, outcome) = (address.parse().unwrap(), TrialOutcome::Silent);
            let error = "no answer within 2500 ms".into();
            trials.push(PortTrial { to, outcome, error });
        }
        let checks = ways::judge_ways("x", &ways, &trials);
        let names = checks.iter().map(|check| {
            let port = check
                .reason
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            format!("{} {port}", check.name)
        });
        names.collect::<Vec<_>>()
    };
    let control_plane = [
        "x to the VIP 6444",
        "x to node1 6443",
        "x to node1 2379",
        "x to node2 2380",
        "x to node4 10250",
    ];
    assert_eq!(to(2), control_plane);
    assert_eq!(to(3), ["x to the VIP 6444", "x to node1 6443"]);
}

#[test]
fn control_planes_try_an_external_etcd_and_no_etcd_of_each_other() {
    use ha_cluster_file::cluster::{Etcd, ExternalEtcd};
    let mut cluster = demo_cluster();
    cluster.kubernetes.etcd = Some(Etcd::External(ExternalEtcd {
        endpoints: vec![
            "https://10.77.0.41:2379".into(),
            "https://[fd00::42]:2381".into(),
        ],
        ca_file: "/ca".into(),
        cert_file: "/cert".into(),
        key_file: "/key".into(),
    }));
    let tried = |index: usize| {
        let ways = ways::ways_of(&cluster, &cluster.nodes[index]);
        let trial = |to: &str| PortTrial {
            to: to.parse().unwrap(),
            outcome: TrialOutcome::Silent,
            error: String::new(),
        };
        let trials = ["10.77.0.12:2379", "10.77.0.41:2379", "[fd00::42]:2381"].map(trial);
        let checks = ways::judge_ways("x", &ways, &trials).into_iter();
        checks.map(|check| check.name).collect::<Vec<_>>()
    };
    assert_eq!(tried(0), ["x to the external etcd"; 2]);
    assert_eq!(tried(3), ["ways of x"]);
}

#[test]
fn the_ways_of_the_second_family_are_tried_too() {
    let mut cluster = demo_cluster();
    let second = |n: u16| format!("fd00:77::{}", 11 + n).parse().unwrap();
    for (n, node) in cluster.nodes.iter_mut().enumerate() {
        node.second_address = Some(second(n as u16));
    }
    let silent = |to: &str| PortTrial {
        to: to.parse().unwrap(),
        outcome: TrialOutcome::Silent,
        error: "no answer".into(),
    };
    let trials = [
        "[fd00:77::11]:6443",
        "[fd00:77::14]:10250",
        "[fd00:77::11]:2379",
    ]
    .map(silent);
    let shut = |index: usize| {
        let ways = ways::ways_of(&cluster, &cluster.nodes[index]);
        let checks = ways::judge_ways("x", &ways, &trials);
        checks
            .into_iter()
            .map(|check| check.command)
            .collect::<Vec<_>>()
    };
    let (api, kubelet) = (
        "nc -zv fd00:77::11 6443  (on x)",
        "nc -zv fd00:77::14 10250  (on x)",
    );
    assert_eq!(shut(2), [api, kubelet], "etcd has no second address");
    assert_eq!(shut(3), [api]);
}

#[test]
fn a_dropped_way_is_told_from_one_where_nobody_listens() {
    let cluster = demo_cluster();
    let ways = ways::ways_of(&cluster, &cluster.nodes[3]);
    let judged = |outcome| {
        let (to, error) = (
            "10.77.0.11:6443".parse().unwrap(),
            "the kernel's word".into(),
        );
        ways::judge_ways("node4", &ways, &[PortTrial { to, outcome, error }])
    };
    assert_eq!(unwell_checks(&judged(TrialOutcome::Open)), []);
    for (outcome, words, remedy) in [
        (
            TrialOutcome::Silent,
            "a firewall drops it",
            "let TCP port 6443",
        ),
        (
            TrialOutcome::Refused,
            "nobody listens there",
            "is kube-apiserver up at node1?",
        ),
        (
            TrialOutcome::Unreachable,
            "the kernel's word",
            "ip route get 10.77.0.11",
        ),
    ] {
        let checks = judged(outcome);
        assert_eq!(unwell_checks(&checks).len(), 1);
        assert!(
            checks[0].reason.contains(words) && checks[0].remedy.contains(remedy),
            "{checks:?}"
        );
    }
}

#[test]
fn a_pod_that_finds_no_node_is_told_in_the_scheduler_s_words() {
    let taint = "0/3 nodes are available: 3 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.";
    let pod = |i: usize| {
        format!(
            r#"{{"metadata": {{"name": "p{i}", "namespace": "x"}}, "status": {{"phase": "Pending", "conditions":
            [{{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "{taint}"}}]}}}}"#
        )
    };
    let pulling = r#"{"metadata": {"name": "q", "namespace": "x"}, "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}}"#;
    let list = |pods: &[String]| format!(r#"{{"items": [{}]}}"#, pods.join(","));
    assert_eq!(
        unwell_checks(&pods::judge_pods(&list(&[pulling.into()]))),
        []
    );
    let checks = pods::judge_pods(&list(&[pulling.into(), pod(1)]));
    let words = format!("x/p1: {taint}");
    assert_eq!(
        unwell_checks(&checks),
        [("pending pod", Verdict::Warn, &words[..])]
    );
    assert_eq!(checks[0].command, "kubectl -n x describe pod p1");
    let many: Vec<String> = (0..9).map(pod).collect();
    let checks = pods::judge_pods(&list(&many));
    assert_eq!(checks.len(), 6);
    assert_eq!(checks[5].reason, "4 pods more find no node");
}

#[test]
fn a_report_says_what_is_well_in_a_line_and_the_rest_with_its_remedy() {
    let full = Check::passing("space of /run", "df -h /run").with(
        Verdict::Fail,
        "run out".into(),
        "remove what fills it",
    );
    let node = |name: &str, checks: Vec<Check>, error: &str| NodeReport {
        node: name.into(),
        error: error.into(),
        checks,
    };
    let time = || Check::passing("time", "timedatectl");
    let report = DoctorReport {
        version: VERSION,
        cluster: "demo".into(),
        well: false,
        nodes: vec![
            node("node1", vec![time()], ""),
            node("node4", vec![time(), full], ""),
            node("node5", vec![], "timed out after 20 s"),
        ],
        checks: vec![],
    };
    assert_eq!(
        print::report_as_text(&report),
        "node1    1 check, all well\n\
         node4    2 checks, 1 not well\n\
         \x20 NOT   space of /run  run out\n\
         \x20                      look    df -h /run\n\
         \x20                      remedy  remove what fills it\n\
         node5    not examined: timed out after 20 s\n\
         cluster  0 checks, all well\n"
    );
}
