//! Who says by a Lease that it lives, and the way of `kubectl logs` to the kubelets.

use super::expected::ExpectedCluster;
use super::view::{ClusterView, ServingCertificate};
use super::words::name_list;
use crate::finding::{Finding, Part};

/// A scheduler renews every 2 s and is replaced after 15 s, a kubelet renews every 10 s and its node counts as gone after 40 s:
/// older than this, in seconds, nobody renews it.
const RENEWED_WITHIN: u64 = 40;
/// Whoever signs serving certificates does it within this, in seconds.
const SIGNED_WITHIN: u64 = 45;

/// kube-controller-manager, kube-scheduler and every kubelet renew their Leases. The age is judged by the apiservers' clocks on
/// both sides: neither a node's clock nor the operator's is asked.
pub fn are_renewed(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let Some(api) = &view.api else {
        return Vec::new();
    };
    let components = api.leases.iter().filter_map(|(name, renewed)| {
        let what = match renewed {
            None => format!("{name} has no Lease: it never ran"),
            Some(ms) => {
                old_age(view, *ms)?;
                format!("{name} does not renew its Lease: it is dead, or cannot write")
            }
        };
        let next = format!("kubectl -n kube-system logs -l component={name} --tail 20");
        let seconds = renewed.and_then(|ms| old_age(view, ms));
        let finding = Finding::new(Part::Leases, what).with_next(next);
        Some(finding.lasting(seconds))
    });
    // Of a node that is not Ready that is said already.
    let ready = expected.nodes.iter().filter(|n| view.is_ready(&n.name));
    let kubelets = ready.filter_map(|node| {
        let seconds = old_age(view, *api.kubelet_leases.get(&node.name)?)?;
        let what = format!("{}'s kubelet does not renew its Lease", node.name);
        let next = expected.journal_command(&node.name, "kubelet");
        let finding = Finding::new(Part::Leases, what).with_next(next);
        Some(finding.lasting(Some(seconds)))
    });
    components.chain(kubelets).collect()
}

fn old_age(view: &ClusterView, renewed_ms: u64) -> Option<u64> {
    let age = view.seconds_since(renewed_ms)?;
    (age > RENEWED_WITHIN).then_some(age)
}

/// Every kubelet has the serving certificate that it asked for.
pub fn kubelets_serve(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let Some(api) = &view.api else {
        return Vec::new();
    };
    let is_ours = |c: &&ServingCertificate| expected.nodes.iter().any(|n| n.name == c.node);
    let age = |c: &ServingCertificate| view.seconds_since(c.made_ms);
    let waiting: Vec<&ServingCertificate> = api
        .serving_certificates
        .iter()
        .filter(is_ours)
        .filter(|c| age(c).is_some_and(|age| age > SIGNED_WITHIN))
        .collect();
    let Some(oldest) = waiting.iter().max_by_key(|c| age(c)) else {
        return Vec::new();
    };
    let nodes: Vec<&str> = waiting.iter().map(|c| c.node.as_str()).collect();
    let requests: Vec<&str> = waiting.iter().map(|c| c.request.as_str()).collect();
    let seconds = age(oldest);
    let what = format!(
        "`kubectl logs` and `kubectl exec` fail on {}: the kubelet's request for a serving certificate is {}, and nobody signs such \
         by himself (serverTLSBootstrap needs an approver)",
        name_list(&nodes),
        oldest.state
    );
    let next = format!("kubectl certificate approve {}", requests.join(" "));
    vec![
        Finding::new(Part::Logs, what)
            .with_next(next)
            .lasting(seconds),
    ]
}
