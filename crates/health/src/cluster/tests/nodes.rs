use super::*;

fn node_mut<'a>(view: &'a mut ClusterView, name: &str) -> &'a mut NodeView {
    view.nodes.get_mut(name).unwrap()
}

#[test]
fn node_objects_are_judged() {
    check_rows(&[
        (
            "somebody deleted a live node's object",
            |view| drop(view.nodes.remove("node2")),
            &[
                "node: node2's Node object is gone, though its agent joined it: somebody deleted it; a restart of its kubelet \
               brings it back",
            ],
        ),
        (
            "a node that is still to join",
            |view| {
                view.nodes.remove("node5");
                let status = view.status("node5");
                (status.phase, status.state) = (Phase::Gate, PhaseState::Working);
                status.since_ms = NOW;
                status.phases.clear();
            },
            &["node: node5 has not joined"],
        ),
        (
            "its machine is off",
            |view| {
                let seen = node_mut(view, "node5");
                (seen.ready, seen.reason) =
                    (false, "Kubelet stopped posting node status.".to_owned());
                let agent = view.agents.get_mut("node5").unwrap();
                (agent.machine, agent.word) = (Some(Machine::Off), AgentWord::Unreachable);
            },
            &["node: node5 is not Ready: Kubelet stopped posting node status; its machine is off"],
        ),
        (
            "a full disk",
            |view| node_mut(view, "node4").pressures = vec!["DiskPressure".to_owned()],
            &["node: node4 has DiskPressure: pods are evicted from it"],
        ),
        (
            "a founder whose object was deleted has neither label nor taint",
            |view| {
                let seen = node_mut(view, "node1");
                (seen.is_labelled, seen.is_excluded, seen.is_tainted) = (false, false, false);
            },
            &[
                "node: node1 lacks the label node-role.kubernetes.io/control-plane, the label \
               node.kubernetes.io/exclude-from-external-load-balancers, the taint node-role.kubernetes.io/control-plane (pods \
               land on it): its Node object was deleted and made anew, or somebody took it away",
            ],
        ),
        (
            "pods are wanted on control planes",
            |view| {
                for name in PLANES {
                    node_mut(view, name).is_tainted = false;
                }
            },
            &[],
        ),
    ]);
}

#[test]
fn a_control_plane_that_is_to_work_lacks_no_taint() {
    let mut view = healthy_view();
    node_mut(&mut view, "node3").is_tainted = false;
    let mut expected = demo_cluster();
    assert_eq!(cluster_findings(&expected, &view).len(), 1);
    expected.nodes[2].untainted = true;
    assert_eq!(cluster_findings(&expected, &view), []);
}

#[test]
fn marks_are_put_back_by_the_command() {
    let finding = only_finding(|view| node_mut(view, "node3").is_tainted = false);
    assert_eq!(
        finding.next,
        "kubectl taint node node3 node-role.kubernetes.io/control-plane=:NoSchedule"
    );
}

#[test]
fn under_somebody_elses_pod_network_nodes_are_judged_and_not_waited_for() {
    let expected = ExpectedCluster {
        has_pod_network: false,
        has_cilium: false,
        ..demo_cluster()
    };
    let mut view = healthy_view();
    node_mut(&mut view, "node5").ready = false;
    assert_eq!(findings_awaited(&expected, &view), []);
    assert_eq!(said_of(&expected, &view), ["node: node5 is not Ready"]);
    for name in NODES {
        node_mut(&mut view, name).ready = false;
        node_mut(&mut view, name).reason = "cni plugin not initialized".to_owned();
    }
    assert_eq!(
        said_of(&expected, &view),
        [
            "network: no node is Ready: the pod network is still to be installed (cni: none): cni plugin not initialized"
        ]
    );
}
