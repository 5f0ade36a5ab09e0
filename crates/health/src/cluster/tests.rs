use ha_wire::phase::{Phase, Role};
use ha_wire::settings::Endpoint;
use ha_wire::status::{Answer, Backend, EtcdEndpoint, EtcdStatus, PhaseState, PodsAnswer, Status};

use super::*;

mod access;
mod agents;
mod awaited;
mod balancer;
mod balancer_machines;
mod etcd;
mod inside;
mod leases;
mod nodes;

/// Every clock of these tests.
const NOW: u64 = 1_795_273_242_000;
const PLANES: [&str; 3] = ["node1", "node2", "node3"];
const NODES: [&str; 5] = ["node1", "node2", "node3", "node4", "node5"];

fn demo_cluster() -> ExpectedCluster {
    let node = |(i, name): (usize, &&str)| ExpectedNode {
        name: (*name).to_owned(),
        role: if i < 3 {
            Role::ControlPlane
        } else {
            Role::Worker
        },
        address: format!("10.77.0.{}", 11 + i).parse().unwrap(),
        untainted: false,
    };
    ExpectedCluster {
        external_etcd: false,
        name: "demo".to_owned(),
        endpoint: Endpoint {
            vip: "10.77.0.30".parse().unwrap(),
            interface: None,
            port: 6444,
            apiserver_port: 6443,
            name: None,
            further_addresses: Vec::new(),
        },
        is_external: false,
        nodes: NODES.iter().enumerate().map(node).collect(),
        has_pod_network: true,
        has_cilium: true,
        has_kube_proxy: true,
        has_name_servers: true,
        advert_interval_ms: 100,
        etcd_quota_bytes: 2 << 30,
    }
}

/// The frozen status of the wire's own tests, of a node that is well.
fn status_of_healthy(name: &str) -> Status {
    let text = include_str!("../../../wire/tests/fixtures/status-v1.json");
    let mut status = Status::parse(text).unwrap();
    let is_plane = PLANES.contains(&name);
    status.node = name.to_owned();
    status.role = if is_plane {
        Role::ControlPlane
    } else {
        Role::Worker
    };
    (status.phase, status.state) = (Phase::Steady, PhaseState::Steady);
    (status.updated_ms, status.since_ms) = (NOW - 2000, NOW - 3_600_000);
    status.waiting_for.clear();
    status.last_error.clear();
    status.vip.here = name == "node1";
    let servers = PLANES.map(|name| backend_for(name, "UP", "L7OK", 3600));
    status.backends = if is_plane { servers.into() } else { Vec::new() };
    status.etcd = is_plane.then(|| EtcdStatus {
        endpoints: Vec::new(),
        expected: 3,
        members: PLANES.map(str::to_owned).into(),
        voter: true,
        leader: "node2".to_owned(),
        alarms: Vec::new(),
        database_bytes: Some(20 << 20),
        quota_bytes: None,
        elections_ms: Vec::new(),
    });
    status.service = Some(answer_since("", 3600));
    status.dns = Some(answer_since("", 3600));
    status
}

fn backend_for(name: &str, state: &str, check: &str, seconds: u64) -> Backend {
    Backend {
        name: name.to_owned(),
        state: state.into(),
        check: check.to_owned(),
        seconds: Some(seconds),
    }
}

fn answer_since(error: &str, seconds: u64) -> Answer {
    Answer {
        at_ms: NOW - 1000,
        since_ms: NOW - seconds * 1000,
        error: error.to_owned(),
    }
}

/// Everything that a whole demo cluster shows.
fn healthy_view() -> ClusterView {
    let node = |name: &str| {
        let is_plane = PLANES.contains(&name);
        let seen = NodeView {
            ready: true,
            changed_ms: Some(NOW - 3_600_000),
            takes_dns: true,
            is_labelled: is_plane,
            is_excluded: is_plane,
            is_tainted: is_plane,
            ..NodeView::default()
        };
        (name.to_owned(), seen)
    };
    let agent = |name: &str| {
        let word = AgentWord::Status {
            status: Box::new(status_of_healthy(name)),
            now_ms: Some(NOW),
        };
        let machine = Some(Machine::Running);
        let run_left_kib = Some(60 << 10);
        let view = AgentView {
            machine,
            word,
            run_left_kib,
        };
        (name.to_owned(), view)
    };
    ClusterView {
        vip: Ok(()),
        nodes: NODES.map(node).into(),
        etcd: Ok(PLANES.map(|n| member_view(n, false)).into()),
        apiservers: PLANES.map(|n| (n.to_owned(), Ok(()))).into(),
        api: Some(well_api()),
        etcd_facts: Some(EtcdFacts {
            alarms: Vec::new(),
            members: PLANES.map(|n| (n.to_owned(), well_member())).into(),
        }),
        agents: NODES.map(agent).into(),
    }
}

fn member_view(name: &str, is_learner: bool) -> MemberView {
    MemberView {
        name: name.to_owned(),
        is_learner,
    }
}

fn well_member() -> EtcdMemberFacts {
    EtcdMemberFacts {
        leader: "node2".to_owned(),
        database_bytes: Some(20 << 20),
        quota_bytes: Some(2 << 30),
    }
}

fn well_api() -> ApiFacts {
    let leaders = ["kube-controller-manager", "kube-scheduler"];
    let pod = |name: &str, node: &str| DnsPodView {
        name: name.to_owned(),
        node: node.to_owned(),
        ready: true,
        scheduled_ms: Some(NOW - 3_600_000),
        trouble: String::new(),
    };
    let daemon = |name: &str| DaemonSetView {
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
        wanted: 5,
        ready: 5,
    };
    ApiFacts {
        now_ms: Some(NOW),
        write: Some(Ok(())),
        services_on_vip: Vec::new(),
        leases: leaders.map(|n| (n.to_owned(), Some(NOW - 2000))).into(),
        kubelet_leases: NODES.map(|n| (n.to_owned(), NOW - 9000)).into(),
        serving_certificates: Vec::new(),
        dns: Some(DnsView {
            wanted: 2,
            made_ms: Some(NOW - 3_600_000),
            pods: vec![pod("coredns-a", "node1"), pod("coredns-b", "node4")],
        }),
        node_daemons: Some(vec![daemon("cilium"), daemon("kube-proxy")]),
        kubernetes_version: None,
    }
}

impl ClusterView {
    /// A node's status, to be hurt.
    fn status(&mut self, name: &str) -> &mut Status {
        let agent = self.agents.get_mut(name).unwrap();
        let AgentWord::Status { status, .. } = &mut agent.word else {
            panic!("{name} has no status")
        };
        status
    }

    fn api(&mut self) -> &mut ApiFacts {
        self.api.as_mut().unwrap()
    }
}

/// What is not as it should be, what is done for it, and everything that is said: `LABEL: WHAT`.
type Row = (&'static str, fn(&mut ClusterView), &'static [&'static str]);

fn said_of(expected: &ExpectedCluster, view: &ClusterView) -> Vec<String> {
    let line = |f: &Finding| format!("{}: {}", f.part.label(), f.what);
    cluster_findings(expected, view).iter().map(line).collect()
}

fn check_rows(rows: &[Row]) {
    for (what, hurt, said) in rows {
        let mut view = healthy_view();
        hurt(&mut view);
        assert_eq!(said_of(&demo_cluster(), &view), *said, "{what}");
    }
}

/// The one finding of a cluster hurt like this.
fn only_finding(hurt: impl FnOnce(&mut ClusterView)) -> Finding {
    let mut view = healthy_view();
    hurt(&mut view);
    let mut findings = cluster_findings(&demo_cluster(), &view);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

#[test]
fn a_whole_cluster_is_whole() {
    assert_eq!(cluster_findings(&demo_cluster(), &healthy_view()), []);
}

#[test]
fn what_is_not_known_is_no_fault() {
    let mut view = healthy_view();
    view.api = None;
    view.etcd_facts = None;
    for agent in view.agents.values_mut() {
        agent.word = AgentWord::Unreachable;
    }
    view.agents.get_mut("node2").unwrap().word = AgentWord::OtherVersion(9);
    assert_eq!(cluster_findings(&demo_cluster(), &view), []);
    view.agents.clear();
    view.api = Some(ApiFacts::default());
    assert_eq!(cluster_findings(&demo_cluster(), &view), []);
}

#[test]
fn a_launch_waits_for_nothing_of_what_takes_a_minute_to_show() {
    let mut view = healthy_view();
    view.api().leases.insert("kube-scheduler".to_owned(), None);
    view.status("node4").dns = Some(answer_since("no answer", 60));
    assert_eq!(findings_awaited(&demo_cluster(), &view), []);
    let said = findings_not_awaited(&demo_cluster(), &view);
    assert_eq!(said.len(), 2, "{said:?}");
}
