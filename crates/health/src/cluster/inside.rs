//! What pods need: the API's service address, cluster DNS, the pod network.

use std::collections::BTreeSet;

use ha_wire::status::{Answer, Status};

use super::expected::ExpectedCluster;
use super::view::{ClusterView, DaemonSetView, DnsPodView, DnsView, FreshWord};
use super::words::{name_list, with_reason};
use crate::finding::{Finding, Part};
use crate::node::STOPS_PODS;

/// An answer that is missing for less, in seconds, may be a restart.
const SILENT_FOR: u64 = 10;
/// A pod of CoreDNS serves within this, in seconds; what lasts longer is told within the minute, if only that its image is fetched.
const DNS_STARTS_WITHIN: u64 = 45;
/// A node that has just become Ready may not run all of its daemons yet; within this, in seconds, it does.
const DAEMONS_START_WITHIN: u64 = 60;
/// Agents move one of its pods when a second node takes some: within this, in seconds, of its being Ready.
const SPREAD_WITHIN: u64 = 45;

/// What a new cluster has a little later than its nodes: a pod of CoreDNS that serves, and answers of it and of the API's service
/// address to whoever asked. Said as waits, without the words of what failed: they are ordinary for a moment.
pub fn services_begin(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let dns = view.api.as_ref().and_then(|api| api.dns.as_ref());
    let none_serves = dns.is_some_and(|dns| dns.wanted > 0 && !dns.pods.iter().any(|p| p.ready));
    let words = view.kubernetes_words(expected);
    let unanswered = |asked: fn(&Status) -> [Option<&Answer>; 2]| {
        let is_silent = |word: &&FreshWord<'_>| {
            let mut asked = asked(word.status).into_iter().flatten();
            asked.any(|answer| !answer.error.is_empty())
        };
        let silent = words.iter().filter(is_silent);
        let names: Vec<&str> = silent.map(|word| word.node.name.as_str()).collect();
        Some(names).filter(|n| !n.is_empty())
    };
    let service = unanswered(|s| [s.service.as_ref(), None])
        .map(|n| format!("the API's service address to answer {}", name_list(&n)));
    // Without a pod that serves nobody is answered.
    let dns = match none_serves {
        true => Some("a pod of CoreDNS to serve".to_owned()),
        false => unanswered(|s| [s.dns.as_ref(), s.dns_in_pods.as_ref().map(|p| &p.answer)])
            .map(|n| format!("cluster DNS to answer {}", name_list(&n))),
    };
    let service = service.map(|what| Finding::new(Part::Service, what));
    let dns = dns.map(|what| Finding::new(Part::Dns, what));
    service.into_iter().chain(dns).collect()
}

/// The API's service address answers on every node.
pub fn service_answers(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let words = view.kubernetes_words(expected);
    let silent = silent_nodes(&words, |w| w.status.service.as_ref());
    let what = "the API's service address does not answer on";
    let next = match (expected.has_kube_proxy, expected.has_cilium) {
        (true, _) => "kubectl -n kube-system logs -l k8s-app=kube-proxy --tail 20",
        (false, true) => "kubectl -n kube-system logs -l k8s-app=cilium -c cilium-agent --tail 20",
        (false, false) => "kubectl get endpointslices kubernetes",
    };
    let finding = silent_finding(Part::Service, what, words.len(), &silent);
    finding.map(|f| f.with_next(next)).into_iter().collect()
}

/// Cluster DNS runs, on more than one node if there are more, and answers on every node.
pub fn dns_answers(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let dns = view.api.as_ref().and_then(|api| api.dns.as_ref());
    if let Some(dns) = dns.filter(|dns| !dns.pods.iter().any(|p| p.ready)) {
        return nothing_serves(expected, view, dns).into_iter().collect();
    }
    let words = view.kubernetes_words(expected);
    let silent = silent_nodes(&words, |w| w.status.dns.as_ref());
    let what = "cluster DNS does not answer on";
    let next = "kubectl -n kube-system logs -l k8s-app=kube-dns --tail 20";
    let silent = silent_finding(Part::Dns, what, words.len(), &silent);
    let silent = silent.map(|f| f.with_next(next));
    let in_pods = silent_in_pods(expected, &words);
    let crowded = dns.and_then(|dns| on_one_node(view, dns));
    silent.into_iter().chain(in_pods).chain(crowded).collect()
}

/// Where nodes are answered and their pods are not.
fn silent_in_pods(expected: &ExpectedCluster, words: &[FreshWord<'_>]) -> Option<Finding> {
    let is_answered =
        |w: &&FreshWord<'_>| w.status.dns.as_ref().is_some_and(|a| a.error.is_empty());
    let answered: Vec<FreshWord<'_>> = words.iter().filter(is_answered).copied().collect();
    let silent = silent_nodes(&answered, |w| {
        w.status.dns_in_pods.as_ref().map(|p| &p.answer)
    });
    let first = silent.iter().max_by_key(|s| s.seconds)?;
    let names: Vec<&str> = silent.iter().map(|s| s.node).collect();
    let none = match names.len() {
        1 => "itself and none of its pods",
        _ => "themselves and none of their pods",
    };
    let what = format!("cluster DNS answers {} {none}", name_list(&names));
    let what = format!("{}; {STOPS_PODS}", with_reason(&what, first.error));
    let asked = answered.iter().find(|w| w.node.name == first.node)?;
    let command = &asked.status.dns_in_pods.as_ref()?.command;
    let next = format!("ha-host exec {} {} -- {command}", expected.name, first.node);
    Some(
        Finding::new(Part::Dns, what)
            .with_next(next)
            .lasting(Some(first.seconds)),
    )
}

fn nothing_serves(
    expected: &ExpectedCluster,
    view: &ClusterView,
    dns: &DnsView,
) -> Option<Finding> {
    let starts = |ms: u64| {
        view.seconds_since(ms)
            .is_none_or(|s| s <= DNS_STARTS_WITHIN)
    };
    let first = dns.pods.iter().filter_map(|p| p.scheduled_ms).min();
    let begun = first.or(dns.made_ms);
    if dns.wanted == 0 || begun.is_some_and(starts) {
        return None;
    }
    let troubled = dns.pods.iter().find(|p| !p.trouble.is_empty());
    let trouble = troubled.map_or("", |p| p.trouble.as_str());
    let what = format!("no pod of CoreDNS serves: 0 of {}", dns.wanted);
    let mut what = with_reason(&what, trouble);
    if !expected.has_name_servers {
        what += "; the cluster file names no name servers (network.dns), without which CoreDNS may not start";
    }
    let next = match troubled.or_else(|| dns.pods.first()) {
        Some(DnsPodView { name, .. }) => format!("kubectl -n kube-system describe pod {name}"),
        None => "kubectl -n kube-system describe deployment coredns".to_owned(),
    };
    let seconds = begun.and_then(|ms| view.seconds_since(ms));
    let finding = Finding::new(Part::Dns, what).with_next(next);
    Some(finding.lasting(seconds))
}

fn on_one_node(view: &ClusterView, dns: &DnsView) -> Option<Finding> {
    let ready: Vec<&DnsPodView> = dns.pods.iter().filter(|p| p.ready).collect();
    let homes: BTreeSet<&str> = ready.iter().map(|p| p.node.as_str()).collect();
    let (Some(home), 1) = (homes.first(), homes.len()) else {
        return None;
    };
    let others = view
        .nodes
        .iter()
        .filter(|(n, seen)| n.as_str() != *home && seen.takes_dns);
    // Since when there is another place.
    let open_ms = others
        .map(|(_, n)| n.changed_ms.unwrap_or_default())
        .min()?;
    let placed_ms = ready.iter().filter_map(|p| p.scheduled_ms).max()?;
    let seconds = view.seconds_since(placed_ms.max(open_ms));
    if ready.len() < 2 || seconds.is_none_or(|s| s <= SPREAD_WITHIN) {
        return None;
    }
    let what = format!(
        "all {} pods of CoreDNS run on {home}: without that node no name is resolved for minutes",
        ready.len()
    );
    let next = "kubectl -n kube-system rollout restart deployment coredns";
    let finding = Finding::new(Part::Dns, what).with_next(next);
    Some(finding.lasting(seconds))
}

/// A node where something does not answer, since when, and the words of it.
struct SilentNode<'a> {
    node: &'a str,
    seconds: u64,
    error: &'a str,
}

fn silent_nodes<'a>(
    words: &'a [FreshWord<'a>],
    answer: impl Fn(&'a FreshWord<'a>) -> Option<&'a Answer>,
) -> Vec<SilentNode<'a>> {
    let silent = |word: &'a FreshWord<'a>| {
        let answer = answer(word)?;
        let seconds = word.seconds_since(answer.since_ms);
        (!answer.error.is_empty() && seconds >= SILENT_FOR).then_some(SilentNode {
            node: &word.node.name,
            seconds,
            error: &answer.error,
        })
    };
    words.iter().filter_map(silent).collect()
}

fn silent_finding(
    part: Part,
    what: &str,
    asked: usize,
    silent: &[SilentNode<'_>],
) -> Option<Finding> {
    let first = silent.iter().max_by_key(|s| s.seconds)?;
    let names: Vec<&str> = silent.iter().map(|s| s.node).collect();
    let where_ = match silent.len() {
        all if all == asked && all > 1 => "any node".to_owned(),
        _ => name_list(&names),
    };
    let what = with_reason(&format!("{what} {where_}"), first.error);
    let finding = Finding::new(part, what);
    Some(finding.lasting(Some(first.seconds)))
}

/// The DaemonSets that nodes cannot do without are there and serve on every node that is Ready.
pub fn pod_network_is_there(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let daemons = view.api.as_ref().and_then(|api| api.node_daemons.as_ref());
    let Some(daemons) = daemons else {
        return Vec::new();
    };
    let mut findings = missing_daemons(expected, daemons);
    let is_new = |ms: u64| {
        view.seconds_since(ms)
            .is_none_or(|s| s <= DAEMONS_START_WITHIN)
    };
    let mut changes = view.nodes.values().filter_map(|n| n.changed_ms);
    if !changes.any(is_new) {
        findings.extend(daemons.iter().filter_map(|d| falls_short(view, d)));
    }
    findings
}

fn missing_daemons(expected: &ExpectedCluster, daemons: &[DaemonSetView]) -> Vec<Finding> {
    let wanted = [
        (expected.has_cilium, "cilium", Part::PodNetwork),
        (expected.has_kube_proxy, "kube-proxy", Part::Service),
    ];
    let is_there = |name: &str| {
        let mut named = daemons.iter().filter(|d| d.name == name);
        named.any(|d| d.namespace == "kube-system")
    };
    let gone = wanted
        .into_iter()
        .filter(|(wanted, name, _)| *wanted && !is_there(name));
    gone.map(|(_, name, part)| {
        let what = format!("the DaemonSet {name} is gone: no new pod gets its network");
        Finding::new(part, what).with_next("kubectl -n kube-system get daemonsets")
    })
    .collect()
}

/// On more nodes than are down: of those it is said already.
fn falls_short(view: &ClusterView, daemon: &DaemonSetView) -> Option<Finding> {
    let down = view.nodes.values().filter(|n| !n.ready).count();
    let missing = daemon.wanted.saturating_sub(daemon.ready);
    if usize::try_from(missing).unwrap_or(usize::MAX) <= down {
        return None;
    }
    let part = match daemon.name.as_str() {
        "kube-proxy" => Part::Service,
        _ => Part::PodNetwork,
    };
    let (name, namespace) = (&daemon.name, &daemon.namespace);
    let (ready, wanted) = (daemon.ready, daemon.wanted);
    let what = format!("the DaemonSet {name} is ready on {ready} of {wanted} nodes");
    let next = format!("kubectl -n {namespace} describe daemonset {name}");
    Some(Finding::new(part, what).with_next(next))
}
