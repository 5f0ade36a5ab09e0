//! Node objects.

use ha_wire::phase::Phase;
use ha_wire::status::Status;

use super::expected::{ExpectedCluster, ExpectedNode};
use super::view::{AgentWord, ClusterView, Machine, NodeView};
use super::words::{name_list, with_reason};
use crate::finding::{Finding, Part};

/// Every node has joined and is Ready.
pub fn all_joined_and_ready(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let nodes = expected.kubernetes_nodes();
    nodes
        .filter_map(|n| joined_and_ready(expected, view, n))
        .collect()
}

/// The load balancer's machines, which no Node object speaks for: whether they run. What their agents say is told of all agents.
pub fn balancer_machines_run(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let finding = |node: &ExpectedNode| {
        let name = &node.name;
        let words = describe_machine(view, name);
        let next = format!("ha-host logs {} {name}", expected.name);
        let what = format!("{name} does not balance{words}");
        let finding = Finding::new(Part::Node(name.clone()), what).with_next(next);
        (!words.is_empty()).then_some(finding)
    };
    expected.balancer_machines().filter_map(finding).collect()
}

fn joined_and_ready(
    expected: &ExpectedCluster,
    view: &ClusterView,
    node: &ExpectedNode,
) -> Option<Finding> {
    let name = &node.name;
    let part = || Part::Node(name.clone());
    let kubelet = expected.journal_command(name, "kubelet");
    match view.nodes.get(name) {
        // Without a pod network of ours joining is all.
        Some(seen) if seen.ready || !expected.has_pod_network => None,
        Some(seen) => Some(not_ready(expected, view, node, seen)),
        None if joined_once(view, name) => {
            let what = format!(
                "{name}'s Node object is gone, though its agent joined it: somebody deleted it; a restart of its kubelet brings it back"
            );
            Some(Finding::new(part(), what).with_next(kubelet))
        }
        None => {
            let next = format!("ha-host logs {} {name}", expected.name);
            let what = format!("{name} has not joined{}", describe_machine(view, name));
            Some(Finding::new(part(), what).with_next(next))
        }
    }
}

fn not_ready(
    expected: &ExpectedCluster,
    view: &ClusterView,
    node: &ExpectedNode,
    seen: &NodeView,
) -> Finding {
    let name = &node.name;
    let why = seen.reason.trim_end_matches('.');
    let what = with_reason(&format!("{name} is not Ready"), why) + describe_machine(view, name);
    let seconds = seen.changed_ms.and_then(|ms| view.seconds_since(ms));
    let finding = Finding::new(Part::Node(name.clone()), what);
    let finding = finding.with_next(expected.journal_command(name, "kubelet"));
    finding.lasting(seconds)
}

/// Where somebody else brings the pod network, no launch waits for it; what it lacks is told all the same.
pub fn ready_by_a_foreign_network(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    if expected.has_pod_network {
        return Vec::new();
    }
    let nodes = expected.nodes.iter();
    let known = nodes.filter_map(|n| Some((n, view.nodes.get(&n.name)?)));
    let (ready, not): (Vec<_>, Vec<_>) = known.partition(|(_, seen)| seen.ready);
    match (&ready[..], &not[..]) {
        ([], [(_, first), ..]) => {
            let what = "no node is Ready: the pod network is still to be installed (cni: none)";
            let what = with_reason(what, first.reason.trim_end_matches('.'));
            vec![Finding::new(Part::PodNetwork, what).with_next("kubectl get nodes")]
        }
        (_, not) => not
            .iter()
            .map(|(n, seen)| not_ready(expected, view, n, seen))
            .collect(),
    }
}

/// What is known of the machine below a node that is not well.
fn describe_machine(view: &ClusterView, name: &str) -> &'static str {
    match view.agents.get(name).map(|a| (a.machine, &a.word)) {
        Some((Some(Machine::Absent), _)) => "; it has no machine",
        Some((Some(Machine::Off), _)) => "; its machine is off",
        Some((Some(Machine::Running), AgentWord::Unreachable)) => {
            "; its machine runs, and nobody there answers"
        }
        _ => "",
    }
}

fn joined_once(view: &ClusterView, name: &str) -> bool {
    let word = view.agents.get(name).map(|a| &a.word);
    matches!(word, Some(AgentWord::Status { status, .. }) if has_joined(status))
}

/// What comes after joining shows it, and so does a join that ended well.
fn has_joined(status: &Status) -> bool {
    let joins = |phase| matches!(phase, Phase::Init | Phase::Join);
    let ended = |p: &ha_wire::status::PhaseTime| joins(p.phase) && p.ended_ms.is_some();
    matches!(status.phase, Phase::Network | Phase::Finish | Phase::Steady)
        || status.phases.iter().any(ended)
}

/// No node runs short of something, and control planes have the marks that kubeadm gave them.
pub fn conditions_and_marks(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let known = |n: &&ExpectedNode| view.nodes.contains_key(&n.name);
    let pressed = expected.nodes.iter().filter_map(|node| {
        let pressures = &view.nodes.get(&node.name)?.pressures;
        let what = format!(
            "{} has {}: pods are evicted from it",
            node.name,
            name_list(pressures)
        );
        let next = format!("kubectl describe node {}", node.name);
        let part = Part::Node(node.name.clone());
        (!pressures.is_empty()).then(|| Finding::new(part, what).with_next(next))
    });
    let planes: Vec<&ExpectedNode> = expected.control_planes().filter(known).collect();
    let marks = planes.iter().filter_map(|node| {
        let missing = missing_marks(view, &planes, node)?;
        let what = format!(
            "{} lacks {}: its Node object was deleted and made anew, or somebody took it away",
            node.name,
            missing.iter().map(|m| m.0).collect::<Vec<_>>().join(", ")
        );
        let commands: Vec<String> = missing
            .iter()
            .map(|m| m.1.replace("NODE", &node.name))
            .collect();
        let part = Part::Node(node.name.clone());
        Some(Finding::new(part, what).with_next(commands.join(" && ")))
    });
    pressed.chain(marks).collect()
}

type Mark = (&'static str, &'static str);

const LABEL: Mark = (
    "the label node-role.kubernetes.io/control-plane",
    "kubectl label node NODE node-role.kubernetes.io/control-plane=",
);
const EXCLUDED: Mark = (
    "the label node.kubernetes.io/exclude-from-external-load-balancers",
    "kubectl label node NODE node.kubernetes.io/exclude-from-external-load-balancers=",
);
const TAINT: Mark = (
    "the taint node-role.kubernetes.io/control-plane (pods land on it)",
    "kubectl taint node NODE node-role.kubernetes.io/control-plane=:NoSchedule",
);

/// Taint and exclusion that no control plane has any more were taken away on purpose.
fn missing_marks(
    view: &ClusterView,
    planes: &[&ExpectedNode],
    node: &ExpectedNode,
) -> Option<Vec<Mark>> {
    let seen = view.nodes.get(&node.name)?;
    let all = || planes.iter().filter_map(|n| view.nodes.get(&n.name));
    let another = |has: fn(&NodeView) -> bool| !has(seen) && all().any(has);
    let lacks = [
        (!seen.is_labelled, LABEL),
        (another(|n| n.is_excluded), EXCLUDED),
        (!node.untainted && another(|n| n.is_tainted), TAINT),
    ];
    let missing: Vec<Mark> = lacks.into_iter().filter(|l| l.0).map(|l| l.1).collect();
    (!missing.is_empty()).then_some(missing)
}
