use std::collections::BTreeMap;

use ha_health::Part;
use ha_health::cluster::{ApiFacts, EtcdFacts, NodeView};
use ha_test_support::demo_cluster;
use ha_wire::phase::Phase;
use ha_wire::status::{Backend, PhaseState, Status as NodeStatus};
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 15:00:42 UTC);
const NOW_MS: u64 = 1_795_273_242_000;

/// The demo as the frozen texts have it.
fn frozen_demo() -> Cluster {
    let mut cluster = demo_cluster();
    cluster.kubernetes.version = "1.34.4".to_owned();
    cluster
}

/// The look at a demo cluster that is whole, and the agents' words.
fn look_at_whole() -> WholeLook {
    let cluster = frozen_demo();
    let planes = || cluster.control_planes().map(|n| n.name.clone());
    let node = |n: &Node| {
        let is_plane = n.role == Role::ControlPlane;
        let seen = NodeView {
            ready: true,
            is_labelled: is_plane,
            is_excluded: is_plane,
            is_tainted: is_plane,
            ..NodeView::default()
        };
        (n.name.clone(), seen)
    };
    let member = |name| MemberView {
        name,
        is_learner: false,
    };
    let answers: Vec<NodeAnswer> = cluster.nodes.iter().map(agent_of).collect();
    let view = ClusterView {
        vip: Ok(()),
        nodes: cluster.nodes.iter().map(node).collect(),
        etcd: Ok(planes().map(member).collect()),
        apiservers: planes().map(|n| (n, Ok(()))).collect(),
        api: Some(ApiFacts {
            now_ms: Some(NOW_MS),
            ..ApiFacts::default()
        }),
        etcd_facts: Some(EtcdFacts::default()),
        agents: BTreeMap::new(),
    };
    WholeLook { view, answers }
}

fn agent_of(node: &Node) -> NodeAnswer {
    let text = include_str!("../../../../crates/wire/tests/fixtures/status-v1.json");
    let mut status = NodeStatus::parse(text).unwrap();
    status.node.clone_from(&node.name);
    (status.phase, status.state) = (Phase::Steady, PhaseState::Steady);
    status.waiting_for.clear();
    status.last_error.clear();
    status.etcd = None;
    status.backends.clear();
    status.vip.here = node.name == "node2";
    let held_ms = 3 * 3_600_000 + 60_000;
    status.vip.held_since_ms = status.vip.here.then_some(NOW_MS - held_ms);
    NodeAnswer::Status {
        status: Box::new(status),
        now_ms: NOW_MS,
        run_left_kib: None,
    }
}

fn status_of(look: &mut WholeLook, index: usize) -> &mut NodeStatus {
    let NodeAnswer::Status { status, .. } = &mut look.answers[index] else {
        panic!("node {index} has no status")
    };
    status
}

/// Two holders of the VIP, a server that fails its check, a machine that is off.
fn look_at_degraded() -> WholeLook {
    let mut look = look_at_whole();
    status_of(&mut look, 2).vip.here = true;
    status_of(&mut look, 2).vip.complaint =
        "Cant send advert (Operation not\u{7} permitted)".to_owned();
    status_of(&mut look, 0).backends = vec![
        Backend {
            name: "node1".to_owned(),
            state: "UP".into(),
            check: "L7OK".to_owned(),
            seconds: Some(9000),
        },
        Backend {
            name: "node3".to_owned(),
            state: "DOWN".into(),
            check: "L7STS/401".to_owned(),
            seconds: Some(251),
        },
    ];
    look.answers[4] = NodeAnswer::Silent;
    let seen = look.view.nodes.get_mut("node5").unwrap();
    (seen.ready, seen.reason) = (false, "Kubelet stopped posting node status.".to_owned());
    seen.changed_ms = Some(NOW_MS - 90_000);
    look
}

fn report_on_demo(look: WholeLook) -> ClusterReport {
    report_on(frozen_demo(), look)
}

fn report_on(cluster: Cluster, mut look: WholeLook) -> ClusterReport {
    let machine = |said: &NodeAnswer| match said {
        NodeAnswer::Silent => Some(ha_providers::Machine::Off),
        _ => Some(ha_providers::Machine::Running),
    };
    let machines: Vec<_> = look.answers.iter().map(machine).collect();
    look.view.agents = api::agent_views(&cluster, &look.answers, &machines);
    report_of(
        &cluster,
        &look,
        KeyEnds::ending(datetime!(2096-01-01 00:00 UTC)),
        NOW,
    )
}

#[test]
fn a_whole_cluster_as_people_see_it() {
    assert_eq!(
        report_text(&report_on_demo(look_at_whole()), NOW, Paint::stdout()),
        include_str!("../../../tests/fixtures/status-whole.txt")
    );
}

#[test]
fn a_cluster_that_was_upgraded_past_its_file_is_whole_and_says_so() {
    let report_with = |version: &str| {
        let mut look = look_at_whole();
        look.view.api.as_mut().unwrap().kubernetes_version = Some(version.to_owned());
        report_on_demo(look)
    };
    let upgraded = report_with("1.35.4");
    assert!(upgraded.whole);
    let text = report_text(&upgraded, NOW, Paint::stdout());
    let line = "\n  Kubernetes 1.35.4, by the cluster's own word; its file says 1.34.4: write 1.35.4 there, and launch (docs/sysexts.md)\n";
    assert!(text.contains(line), "{text}");
    assert!(report_with("1.34.4").upgraded.is_none());
}

#[test]
fn a_vip_whose_coming_nobody_saw_has_a_holder_and_no_time() {
    let mut look = look_at_whole();
    assert_eq!(
        report_on_demo(look_at_whole()).vip_held_seconds,
        Some(3 * 3600 + 60)
    );
    status_of(&mut look, 1).vip.held_since_ms = None;
    let text = report_text(&report_on_demo(look), NOW, Paint::stdout());
    assert!(text.contains("answers, held by node2\n"), "{text}");
}

#[test]
fn a_degraded_cluster_as_people_see_it() {
    assert_eq!(
        report_text(&report_on_demo(look_at_degraded()), NOW, Paint::stdout()),
        include_str!("../../../tests/fixtures/status-degraded.txt")
    );
}

#[test]
fn version_two_of_the_json_is_frozen() {
    let frozen = include_str!("../../../tests/fixtures/status-v2.json");
    let frozen: serde_json::Value = serde_json::from_str(frozen).unwrap();
    assert_eq!(
        serde_json::to_value(report_on_demo(look_at_degraded())).unwrap(),
        frozen
    );
}

#[test]
fn only_a_whole_cluster_ends_well() {
    assert_eq!(report_on_demo(look_at_whole()).exit(), Exit::Done);
    let ill = report_on_demo(look_at_degraded());
    assert_eq!(ill.exit(), Exit::Failed);
    let parts: Vec<&Part> = ill.findings.iter().map(|f| &f.part).collect();
    let node5 = Part::Node("node5".to_owned());
    assert_eq!(parts, [&Part::Vip, &Part::LoadBalancer, &node5]);
}

#[test]
fn a_cluster_that_does_not_answer_is_called_that() {
    let mut look = look_at_whole();
    look.view.vip = Err("Connection refused".to_owned());
    look.view.apiservers = BTreeMap::new();
    let text = report_text(&report_on_demo(look), NOW, Paint::stdout());
    assert!(
        text.starts_with("demo: does not answer; 3 control planes"),
        "{text}"
    );
}

#[test]
fn a_pipe_that_watches_gets_what_is_new_and_what_is_over() {
    let (well, ill) = (
        report_on_demo(look_at_whole()),
        report_on_demo(look_at_degraded()),
    );
    assert_eq!(
        watch::describe_changes(None, &well, NOW),
        ["15:00:42  demo: whole"]
    );
    assert!(watch::describe_changes(Some(&well), &well, NOW).is_empty());
    let lines = watch::describe_changes(Some(&well), &ill, NOW);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(
        lines[0],
        "15:00:42  demo: degraded since 14:56:31 UTC (4 min)"
    );
    assert_eq!(
        lines[2],
        "15:00:42  + haproxy: node3's apiserver fails the check of node1 (L7STS/401) (4 min)"
    );
    let mut later = look_at_degraded();
    status_of(&mut later, 0).backends[1].seconds = Some(300);
    assert!(
        watch::describe_changes(Some(&ill), &report_on_demo(later), NOW).is_empty(),
        "time alone is not a change"
    );
    let lines = watch::describe_changes(Some(&ill), &well, NOW);
    assert_eq!(lines[0], "15:00:42  demo: whole");
    assert!(
        lines[1].starts_with("15:00:42  - VIP: 10.77.0.30 is held by node2 and node3"),
        "{lines:#?}"
    );
}

#[test]
fn an_external_etcd_is_told_by_its_endpoints() {
    use ha_cluster_file::cluster::{Etcd, ExternalEtcd};
    use ha_wire::status::{EtcdEndpoint, EtcdStatus};
    let told = |errors: &[&str]| {
        let mut cluster = frozen_demo();
        cluster.kubernetes.etcd = Some(Etcd::External(ExternalEtcd {
            endpoints: Vec::new(),
            ca_file: "/ca".into(),
            cert_file: "/cert".into(),
            key_file: "/key".into(),
        }));
        let mut look = look_at_whole();
        let endpoint = |(host, error): (u8, &&str)| EtcdEndpoint {
            url: format!("https://10.77.0.{host}:2379"),
            error: (*error).to_owned(),
        };
        let endpoints: Vec<_> = (41..).zip(errors).map(endpoint).collect();
        status_of(&mut look, 0).etcd = (!errors.is_empty()).then(|| EtcdStatus {
            expected: 3,
            members: Vec::new(),
            voter: false,
            leader: "7".to_owned(),
            alarms: Vec::new(),
            database_bytes: None,
            quota_bytes: None,
            endpoints,
            elections_ms: Vec::new(),
        });
        let report = report_on(cluster, look);
        let text = report_text(&report, NOW, Paint::stdout());
        let line = text.lines().rfind(|line| line.starts_with("  etcd  "));
        (report.whole, line.unwrap_or_default().trim().to_owned())
    };
    let line = |words: &str| format!("etcd  external, {words}");
    assert_eq!(
        told(&["", "", ""]),
        (true, line("3 of 3 endpoints healthy"))
    );
    assert_eq!(told(&[]), (true, line("not known")));
    let sick = line("2 of 3 endpoints healthy, not https://10.77.0.42:2379");
    assert_eq!(told(&["", "Connection refused", ""]), (false, sick));
}
