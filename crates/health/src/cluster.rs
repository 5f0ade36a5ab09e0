//! What is wrong with the whole cluster: a pure judgement of what one look at it showed. What is not known is no fault.

use crate::finding::Finding;

mod access;
mod agents;
mod balancer;
mod etcd;
mod expected;
mod inside;
mod leases;
mod nodes;
mod view;
mod words;

pub use expected::{ExpectedCluster, ExpectedNode};
pub use view::{
    AgentView, AgentWord, ApiFacts, ClusterView, DaemonSetView, DnsPodView, DnsView, EtcdFacts,
    EtcdMemberFacts, Machine, MemberView, NodeView, ServiceName, ServingCertificate,
};

/// What a launch waits for: the API through the VIP, every node joined and Ready, etcd's members, every apiserver. Nothing else
/// keeps it waiting: what needs a minute to show, or to mend itself, is told at its end ([`findings_not_awaited`]).
pub fn findings_awaited(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    if view.vip.is_err() {
        return access::vip_answers(expected, view);
    }
    let missing = nodes::all_joined_and_ready(expected, view);
    if !missing.is_empty() {
        return missing;
    }
    let mut missing = etcd::members_as_expected(expected, view);
    missing.extend(balancer::apiservers_answer(expected, view));
    missing
}

/// What a launch waits for, once nothing else is missing, and not for long: haproxy's checks pass the last apiserver, cluster DNS and
/// services begin a little later than the nodes. Of these two nothing where somebody else installs the pod network.
pub fn findings_awaited_briefly(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let mut findings: Vec<Finding> = balancer::servers_begin(expected, view)
        .into_iter()
        .collect();
    if expected.has_pod_network {
        findings.extend(inside::services_begin(expected, view));
    }
    findings
}

/// Everything that is wrong and that a launch does not wait for, in the order in which people are told.
pub fn findings_not_awaited(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let judgements = [
        access::writes_pass(view),
        access::vip_is_held_once(expected, view),
        access::vip_stays(expected, view),
        nodes::balancer_machines_run(expected, view),
        balancer::servers_are_up(expected, view),
        etcd::members_are_well(expected, view),
        leases::are_renewed(expected, view),
        leases::kubelets_serve(expected, view),
        inside::service_answers(expected, view),
        inside::dns_answers(expected, view),
        inside::pod_network_is_there(expected, view),
        nodes::ready_by_a_foreign_network(expected, view),
        nodes::conditions_and_marks(expected, view),
        agents::agents_are_heard(expected, view),
    ];
    let mut findings: Vec<Finding> = judgements.into_iter().flatten().collect();
    findings.sort_by(|a, b| a.part.cmp(&b.part));
    findings
}

/// Everything that is wrong; empty: the cluster is whole.
pub fn cluster_findings(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let mut findings = access::vip_answers(expected, view);
    if view.knows_nodes() {
        findings.extend(nodes::all_joined_and_ready(expected, view));
    }
    findings.extend(etcd::members_as_expected(expected, view));
    findings.extend(balancer::apiservers_answer(expected, view));
    findings.extend(findings_not_awaited(expected, view));
    findings.sort_by(|a, b| a.part.cmp(&b.part));
    findings
}

#[cfg(test)]
mod tests;
