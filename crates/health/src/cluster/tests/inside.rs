use super::*;

fn dns_mut(view: &mut ClusterView) -> &mut DnsView {
    view.api().dns.as_mut().unwrap()
}

fn in_pods(view: &mut ClusterView, node: &str, error: &str, seconds: u64) {
    let command = "nsenter --net=/run/netns/cni-1 nslookup a 10.96.0.10".to_owned();
    let answer = answer_since(error, seconds);
    view.status(node).dns_in_pods = Some(PodsAnswer { answer, command });
}

#[test]
fn pods_that_are_not_answered_are_asked_for_by_a_command_on_their_node() {
    let mut view = healthy_view();
    in_pods(&mut view, "node4", "no answer within 2 s", 30);
    let finding = cluster_findings(&demo_cluster(), &view).remove(0);
    assert_eq!(
        finding.next,
        "ha-host exec demo node4 -- nsenter --net=/run/netns/cni-1 nslookup a 10.96.0.10"
    );
}

fn crash_dns(view: &mut ClusterView) {
    for pod in &mut dns_mut(view).pods {
        pod.ready = false;
        pod.trouble = "CrashLoopBackOff: plugin/forward: no nameservers found".to_owned();
    }
}

#[test]
fn services_and_names_are_asked_for_from_every_node() {
    check_rows(&[
        (
            "an empty service table",
            |view| view.status("node5").service = Some(answer_since("Connection refused", 30)),
            &["service: the API's service address does not answer on node5: Connection refused"],
        ),
        (
            "for a moment",
            |view| view.status("node5").service = Some(answer_since("Connection refused", 9)),
            &[],
        ),
        (
            "nowhere",
            |view| {
                for name in NODES {
                    view.status(name).dns = Some(answer_since("no answer within 2 s", 30));
                }
            },
            &["dns: cluster DNS does not answer on any node: no answer within 2 s"],
        ),
        (
            "pods of a node that is answered itself",
            |view| in_pods(view, "node4", "no answer within 2 s", 30),
            &[
                "dns: cluster DNS answers node4 itself and none of its pods: no answer within 2 s; a firewall rule in a forward \
                 hook stops them (nft list ruleset there), the pod network of that node (restart its pod), or a NetworkPolicy: let UDP port \
                 53 pass",
            ],
        ),
        (
            "pods of several nodes, on one of which the node is not answered either",
            |view| {
                for name in ["node1", "node4", "node5"] {
                    in_pods(view, name, "no answer within 2 s", 30);
                }
                view.status("node5").dns = Some(answer_since("Connection refused", 30));
            },
            &[
                "dns: cluster DNS does not answer on node5: Connection refused",
                "dns: cluster DNS answers node1 and node4 themselves and none of their pods: no answer within 2 s; a firewall rule in a \
                 forward hook stops them (nft list ruleset there), the pod network of that node (restart its pod), or a NetworkPolicy: \
                 let UDP port 53 pass",
            ],
        ),
        (
            "pods for a moment",
            |view| in_pods(view, "node4", "no answer within 2 s", 9),
            &[],
        ),
        (
            "CoreDNS does not start: what its silence does is not said again",
            |view| {
                crash_dns(view);
                view.status("node5").dns = Some(answer_since("Connection refused", 30));
            },
            &[
                "dns: no pod of CoreDNS serves: 0 of 2: CrashLoopBackOff: plugin/forward: no nameservers found",
            ],
        ),
        (
            "CoreDNS is just starting",
            |view| {
                crash_dns(view);
                for pod in &mut dns_mut(view).pods {
                    pod.scheduled_ms = Some(NOW - 45_000);
                }
                view.status("node5").dns = Some(answer_since("Connection refused", 30));
            },
            &[],
        ),
        (
            "both pods on the only node that takes them",
            |view| {
                dns_mut(view).pods[1].node = "node1".to_owned();
                view.nodes.values_mut().for_each(|n| n.takes_dns = false);
            },
            &[],
        ),
        (
            "both pods on one node",
            |view| dns_mut(view).pods[1].node = "node1".to_owned(),
            &[
                "dns: all 2 pods of CoreDNS run on node1: without that node no name is resolved for minutes",
            ],
        ),
        (
            "both pods on one node, and an agent is about to move one",
            |view| {
                dns_mut(view).pods[1].node = "node1".to_owned();
                dns_mut(view).pods[1].scheduled_ms = Some(NOW - 45_000);
            },
            &[],
        ),
        (
            "both pods on one node, and the others have just become Ready",
            |view| {
                dns_mut(view).pods[1].node = "node1".to_owned();
                for (name, node) in &mut view.nodes {
                    node.changed_ms = Some(if name == "node1" { 0 } else { NOW - 45_000 });
                }
            },
            &[],
        ),
        (
            "nobody wants any",
            |view| {
                dns_mut(view).wanted = 0;
                dns_mut(view).pods.clear();
            },
            &[],
        ),
    ]);
}

#[test]
fn a_cluster_file_without_name_servers_is_named_as_the_cause() {
    let expected = ExpectedCluster {
        has_name_servers: false,
        ..demo_cluster()
    };
    let mut view = healthy_view();
    crash_dns(&mut view);
    let said = said_of(&expected, &view);
    assert!(
        said.len() == 1 && said[0].contains("names no name servers (network.dns)"),
        "{said:?}"
    );
}

#[test]
fn the_pod_network_is_there() {
    check_rows(&[
        (
            "gone",
            |view| drop(view.api().node_daemons.as_mut().unwrap().remove(0)),
            &["network: the DaemonSet cilium is gone: no new pod gets its network"],
        ),
        (
            "not on every node",
            |view| view.api().node_daemons.as_mut().unwrap()[1].ready = 4,
            &["service: the DaemonSet kube-proxy is ready on 4 of 5 nodes"],
        ),
        (
            "not yet on a node that has just become Ready",
            |view| {
                view.api().node_daemons.as_mut().unwrap()[1].ready = 4;
                view.nodes.get_mut("node5").unwrap().changed_ms = Some(NOW - 60_000);
            },
            &[],
        ),
        (
            "not on a node that is down anyway",
            |view| {
                view.api().node_daemons.as_mut().unwrap()[0].ready = 4;
                view.nodes.get_mut("node5").unwrap().ready = false;
            },
            &["node: node5 is not Ready"],
        ),
    ]);
}
