//! The way to the API: the VIP, who holds it, how often it moves, and whether a write passes.

use super::expected::ExpectedCluster;
use super::view::{ClusterView, FreshWord};
use super::words::name_list;
use crate::finding::{Finding, Part};

/// A VIP that has just moved is told by two agents for a moment: each looks once a second.
const MOVE_SETTLES: u64 = 15;
/// So often the VIP changes hands within ten minutes when somebody made it move: a launch moves it up to three times, the death
/// and the return of its holder twice, a restart of each of its daemons twice more. Beyond that it moves by itself.
const MOVES_WITH_A_CAUSE: usize = 6;

/// The API answers through the VIP.
pub fn vip_answers(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let Err(error) = &view.vip else {
        return Vec::new();
    };
    let mut what = format!("the API at {}: {error}", expected.endpoint.authority());
    let served = served_apiserver(expected, view);
    if expected.is_external {
        what += &behind_balancer(expected, view);
    }
    let services = view.api.iter().flat_map(|api| &api.services_on_vip);
    let mut findings: Vec<Finding> = services
        .map(|service| {
            let (namespace, name) = (&service.namespace, &service.name);
            let what = format!(
                "{what}; Service {namespace}/{name} claims that address, so every node sends what is for the API to it"
            );
            let server = served.map_or_else(String::new, |s| format!("--server {s} "));
            let next = format!("kubectl {server}-n {namespace} edit service {name}");
            Finding::new(Part::Api, what).with_next(next)
        })
        .collect();
    if findings.is_empty() {
        let next = served.map_or_else(String::new, |s| {
            format!("kubectl --server {s} get --raw /readyz?verbose")
        });
        findings.push(Finding::new(Part::Api, what).with_next(next));
    }
    findings
}

/// What can be said of a balancer that is somebody else's.
fn behind_balancer(expected: &ExpectedCluster, view: &ClusterView) -> String {
    let planes = expected.control_planes();
    let well = planes.filter(|n| view.apiservers.get(&n.name).is_some_and(Result::is_ok));
    let well: Vec<&str> = well.map(|n| n.name.as_str()).collect();
    match well[..] {
        [] => "; the balancer there is not the cluster's".to_owned(),
        _ => format!(
            "; the balancer there is not the cluster's, and {} behind it would answer: are they its servers, on port {}?",
            name_list(&well),
            expected.endpoint.apiserver_port
        ),
    }
}

/// The URL of the first apiserver that answers by itself.
fn served_apiserver(expected: &ExpectedCluster, view: &ClusterView) -> Option<Server> {
    let answers = |name: &str| view.apiservers.get(name).is_some_and(Result::is_ok);
    let node = expected.control_planes().find(|n| answers(&n.name))?;
    Some(Server(expected.endpoint.apiserver(node.address)))
}

/// `https://10.77.0.11:6443`.
#[derive(Clone, Copy)]
struct Server(std::net::SocketAddr);

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

/// A write through the VIP passes. As a dry run it goes through admission and stops before etcd: a full database shows in etcd's
/// alarm, and in Leases that nobody can renew.
pub fn writes_pass(view: &ClusterView) -> Vec<Finding> {
    let tried = view.api.as_ref().and_then(|api| api.write.as_ref());
    let Some(Err(error)) = tried.filter(|_| view.vip.is_ok()) else {
        return Vec::new();
    };
    let what = format!("it can be read and not written: {error}");
    let next = "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations";
    vec![Finding::new(Part::Api, what).with_next(next)]
}

/// The VIP is held by exactly one node.
pub fn vip_is_held_once(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    if expected.is_external {
        return Vec::new();
    }
    let words = view.fresh_words(expected);
    let may_hold = expected.vip_candidates();
    let balances = |w: &&FreshWord<'_>| may_hold.contains(&w.node);
    let planes: Vec<&FreshWord<'_>> = words.iter().filter(balances).collect();
    let holders: Vec<&&FreshWord<'_>> = planes.iter().filter(|w| w.status.vip.here).collect();
    let names: Vec<&str> = holders.iter().map(|w| w.node.name.as_str()).collect();
    let complaints = keepalived_complaints(&planes);
    let address = expected.endpoint.vip;
    let finding = match names[..] {
        // Who answers holds it: its agent has not looked again since it moved.
        [] if view.vip.is_ok() => return keepalived_complaint_findings(expected, &planes),
        [_] => return keepalived_complaint_findings(expected, &planes),
        [] if planes.len() < may_hold.len() => return Vec::new(),
        [] => {
            let role = may_hold.first().map_or("node", |n| n.role.label());
            format!("no {role} holds {address}{complaints}")
        }
        _ if holders.iter().any(|w| has_just_taken(w)) => return Vec::new(),
        _ => format!(
            "{address} is held by {} at once: their adverts (VRRP, IP protocol 112) do not reach each other{complaints}",
            name_list(&names)
        ),
    };
    let planes = planes.iter();
    let of_complaint = planes.clone().find(|w| !w.status.vip.complaint.is_empty());
    let first = of_complaint.or_else(|| planes.clone().next());
    let next = first.map_or_else(String::new, |w| {
        expected.journal_command(&w.node.name, "keepalived")
    });
    vec![Finding::new(Part::Vip, finding).with_next(next)]
}

/// What keepalived complains of although one node holds the VIP: the next move may not work.
fn keepalived_complaint_findings(
    expected: &ExpectedCluster,
    planes: &[&FreshWord<'_>],
) -> Vec<Finding> {
    let complaining = planes.iter().filter(|w| !w.status.vip.complaint.is_empty());
    let finding = |w: &&FreshWord<'_>| {
        let what = format!("{}'s keepalived: {}", w.node.name, w.status.vip.complaint);
        let next = expected.journal_command(&w.node.name, "keepalived");
        Finding::new(Part::Vip, what).with_next(next)
    };
    complaining.map(finding).collect()
}

fn keepalived_complaints(planes: &[&FreshWord<'_>]) -> String {
    let complaining = planes.iter().filter(|w| !w.status.vip.complaint.is_empty());
    complaining
        .map(|w| format!("; {}'s keepalived: {}", w.node.name, w.status.vip.complaint))
        .collect()
}

fn has_just_taken(word: &FreshWord<'_>) -> bool {
    let last = word.status.vip.taken_ms.last();
    last.is_some_and(|ms| word.seconds_since(*ms) < MOVE_SETTLES)
}

/// The VIP does not move by itself.
pub fn vip_stays(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let words = view.fresh_words(expected);
    let taken = |w: &FreshWord<'_>| (w.node.name.clone(), w.status.vip.taken_ms.len());
    let takers: Vec<(String, usize)> = words.iter().map(taken).filter(|t| t.1 > 0).collect();
    let moves: usize = takers.iter().map(|t| t.1).sum();
    if moves <= MOVES_WITH_A_CAUSE {
        return Vec::new();
    }
    let each: Vec<String> = takers
        .iter()
        .map(|(n, c)| format!("{n} {c} times"))
        .collect();
    let what = format!(
        "{} moved {moves} times in ten minutes ({}), and each move cuts connections: adverts are lost, or these machines are too \
         busy for an interval of {} ms; a longer loadBalancer.advertInterval on every control plane stops it (backups follow the \
         interval of whoever holds the VIP)",
        expected.endpoint.vip,
        name_list(&each),
        expected.advert_interval_ms
    );
    let busiest = takers.iter().max_by_key(|t| t.1);
    let next = busiest.map_or_else(String::new, |t| {
        expected.journal_command(&t.0, "keepalived")
    });
    vec![Finding::new(Part::Vip, what).with_next(next)]
}
