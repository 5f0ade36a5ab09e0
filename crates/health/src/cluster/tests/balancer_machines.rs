//! The load balancer has machines of its own: they hold the VIP, and are no Nodes.

use super::*;

fn with_machines() -> (ExpectedCluster, ClusterView) {
    let (mut expected, mut view) = (demo_cluster(), healthy_view());
    view.status("node1").vip.here = false;
    for (at, name) in ["lb1", "lb2"].into_iter().enumerate() {
        expected.nodes.push(ExpectedNode {
            name: name.to_owned(),
            role: Role::LoadBalancer,
            address: format!("10.77.0.{}", 21 + at).parse().unwrap(),
            untainted: false,
        });
        let mut status = status_of_healthy(name);
        status.role = Role::LoadBalancer;
        (status.service, status.dns, status.node_ready) = (None, None, None);
        status.vip.here = at == 0;
        let word = AgentWord::Status {
            status: Box::new(status),
            now_ms: Some(NOW),
        };
        let agent = AgentView {
            machine: Some(Machine::Running),
            word,
            run_left_kib: None,
        };
        view.agents.insert(name.to_owned(), agent);
    }
    (expected, view)
}

fn told_findings(change: impl FnOnce(&mut ClusterView)) -> Vec<String> {
    let (expected, mut view) = with_machines();
    change(&mut view);
    let findings = cluster_findings(&expected, &view).into_iter();
    findings
        .map(|f| format!("{}: {}", f.part.label(), f.what))
        .collect()
}

#[test]
fn a_launch_waits_for_no_node_of_theirs_and_status_finds_nothing() {
    let (expected, view) = with_machines();
    assert_eq!(findings_awaited(&expected, &view), []);
    assert_eq!(told_findings(|_| ()), [""; 0]);
    assert_eq!(view.vip_holders(&expected), ["lb1"]);
}

#[test]
fn what_is_wrong_with_them_is_told() {
    let off = |view: &mut ClusterView| {
        let agent = view.agents.get_mut("lb2").unwrap();
        agent.machine = Some(Machine::Off);
        agent.word = AgentWord::Unreachable;
    };
    assert_eq!(
        told_findings(off),
        ["node: lb2 does not balance; its machine is off"]
    );
    let nobody = |view: &mut ClusterView| {
        view.status("lb1").vip.here = false;
        view.vip = Err("no connection".to_owned());
    };
    assert_eq!(
        told_findings(nobody)[1],
        "VIP: no load balancer holds 10.77.0.30"
    );
    let both = |view: &mut ClusterView| view.status("lb2").vip.here = true;
    assert!(told_findings(both)[0].contains("held by lb1 and lb2 at once"));
    let old = |view: &mut ClusterView| view.status("lb2").updated_ms = NOW - 3_600_000;
    assert!(
        told_findings(old)[0].contains("says nothing any more"),
        "it has no service to ask for"
    );
}
