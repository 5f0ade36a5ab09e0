//! The ways that a cluster lives on, tried from each node: every control plane to the others, everybody to the VIP and to the
//! apiservers, control planes to every kubelet.

use std::net::SocketAddr;
use std::time::Duration;

use ha_cluster_file::cluster::{Cluster, Node};
use ha_providers::Provider;
use ha_wire::doctor::{Check, PortTrial, PortTrials, TrialOutcome, Verdict};
use ha_wire::kubernetes::ETCD_CLIENT_PORT;
use ha_wire::phase::Role;

use super::run_agent;
use crate::node_status::Asking;

const ETCD_PEER_PORT: u16 = 2380;
const KUBELET_PORT: u16 = 10250;
/// All ways of a node are tried at once, for 2.5 s at most.
const TRYING: Asking = Asking {
    at_a_time: 8,
    each: Duration::from_secs(10),
    all: Duration::from_secs(40),
};

/// A way that a node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    to: SocketAddr,
    /// Whose address that is: `node1`, or the VIP.
    whose: String,
    /// Who listens there.
    service: &'static str,
}

/// Tries every way of these nodes. One check for each node, and one more for each way that is shut.
pub fn try_ways(cluster: &Cluster, provider: &dyn Provider, nodes: &[&Node]) -> Vec<Check> {
    let ask = |node: &Node, patience| {
        let ways = ways_of(cluster, node);
        let to: Vec<String> = ways.iter().map(|way| way.to.to_string()).collect();
        let mut args = vec!["try-ports"];
        args.extend(to.iter().map(String::as_str));
        // A node whose agent does not answer is named by its examination.
        let text = run_agent(provider, node, &args, patience).ok()?;
        Some((ways, PortTrials::parse(&text).ok()?))
    };
    let answers = TRYING.ask(nodes, ask).into_iter().zip(nodes);
    let tried = answers.filter_map(|(answer, node)| Some((node, answer??)));
    tried
        .flat_map(|(node, (ways, trials))| judge_ways(&node.name, &ways, &trials.trials))
        .collect()
}

/// What this node has to reach.
pub fn ways_of(cluster: &Cluster, node: &Node) -> Vec<Way> {
    let endpoint = &cluster.endpoint;
    let (whose, service) = match cluster.has_external_balancer() {
        true => ("the endpoint", "the balancer"),
        false => ("the VIP", "haproxy"),
    };
    let way = |address| Way {
        to: SocketAddr::new(address, endpoint.port),
        whose: whose.to_owned(),
        service,
    };
    let mut ways: Vec<Way> = endpoint.addresses().map(way).collect();
    let is_control_plane = node.role == Role::ControlPlane;
    let external = cluster.kubernetes.external_etcd();
    for other in cluster.nodes.iter().filter(|other| other.name != node.name) {
        let mut ports: Vec<(u16, &'static str)> = Vec::new();
        if other.role == Role::ControlPlane {
            ports.push((endpoint.apiserver_port, "kube-apiserver"));
            if is_control_plane && external.is_none() {
                ports.extend([(ETCD_CLIENT_PORT, "etcd"), (ETCD_PEER_PORT, "etcd")]);
            }
        }
        if is_control_plane && other.role.is_kubernetes_node() {
            ports.push((KUBELET_PORT, "kubelet"));
        }
        // etcd is at the first address alone; the others tell whether the second family's way is open.
        let second = other.second_address.into_iter();
        let second = second.flat_map(|at| ports.iter().map(move |port| (at, *port)));
        let second = second.filter(|(_, (_, service))| *service != "etcd");
        let first = ports.iter().map(|port| (other.address, *port));
        ways.extend(first.chain(second).map(|(address, (port, service))| Way {
            to: SocketAddr::new(address, port),
            whose: other.name.clone(),
            service,
        }));
    }
    let endpoints = external.iter().filter(|_| is_control_plane);
    let endpoints = endpoints.flat_map(|etcd| &etcd.endpoints);
    ways.extend(endpoints.filter_map(|url| {
        Some(Way {
            to: url.strip_prefix("https://")?.parse().ok()?,
            whose: "the external etcd".into(),
            service: "etcd",
        })
    }));
    ways
}

/// How the ways of one node are.
pub fn judge_ways(from: &str, ways: &[Way], trials: &[PortTrial]) -> Vec<Check> {
    let shut: Vec<Check> = ways
        .iter()
        .filter_map(|way| {
            let trial = trials.iter().find(|trial| trial.to == way.to)?;
            judge_way(from, way, trial)
        })
        .collect();
    match shut.is_empty() {
        true => vec![Check::passing(
            &format!("ways of {from}"),
            "nc -zv ADDRESS PORT",
        )],
        false => shut,
    }
}

fn judge_way(from: &str, way: &Way, trial: &PortTrial) -> Option<Check> {
    let Way { to, whose, service } = way;
    let (port, error) = (to.port(), &trial.error);
    let name = format!("{from} to {whose}");
    let check = Check::passing(&name, &format!("nc -zv {} {port}  (on {from})", to.ip()));
    let (reason, remedy) = match trial.outcome {
        TrialOutcome::Open => return None,
        TrialOutcome::Refused => (
            format!("port {port} is refused: nobody listens there, or a rule rejects it ({error})"),
            format!("is {service} up at {whose}? ha-host logs, ha-agent doctor there"),
        ),
        TrialOutcome::Silent => (
            format!(
                "port {port} does not answer, {error}: a firewall drops it, or the machine is off"
            ),
            format!(
                "let TCP port {port} ({service}) pass: nft list ruleset, iptables-save, on {from} and at {whose}"
            ),
        ),
        TrialOutcome::Unreachable => (
            format!(
                "port {port} cannot be reached, {error}: a firewall rejects it (firewalld does), the machine is off, or there is no route"
            ),
            format!(
                "let TCP port {port} ({service}) pass: nft list ruleset, firewall-cmd --list-all at {whose}; ip route get {} on {from}",
                to.ip()
            ),
        ),
    };
    Some(check.with(Verdict::Fail, reason, &remedy))
}
