//! haproxy and the apiservers behind it.

use std::collections::{BTreeMap, BTreeSet};

use ha_wire::status::Backend;

use super::expected::ExpectedCluster;
use super::view::{ClusterView, FreshWord};
use super::words::name_list;
use crate::finding::{Finding, Part};

/// A server that is down for less may be a restart; for longer it is a fault, in seconds.
const DOWN_FOR: u64 = 30;

/// Every apiserver answers by itself.
pub fn apiservers_answer(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let words = view.fresh_words(expected);
    let finding = |name: &String| {
        let what = match view.apiservers.get(name) {
            Some(Ok(())) => return None,
            Some(Err(error)) => format!("{name}'s apiserver: {error}"),
            None => format!("{name}'s apiserver was not asked yet"),
        };
        let down: Vec<&Backend> = words.iter().filter_map(|w| lasting_down(w, name)).collect();
        let check = down
            .iter()
            .map(|b| b.check.as_str())
            .find(|c| !c.is_empty());
        let what = check.map_or_else(|| what.clone(), |c| format!("{what}; haproxy's check: {c}"));
        let seconds = down.iter().filter_map(|b| b.seconds).max();
        let next = format!("ha-host logs {} {name} --unit kubelet", expected.name);
        let part = match expected.is_external {
            true => Part::Api,
            false => Part::LoadBalancer,
        };
        let finding = Finding::new(part, what).with_next(next);
        Some(finding.lasting(seconds))
    };
    let planes = expected.control_planes();
    planes.filter_map(|n| finding(&n.name)).collect()
}

/// haproxy's own checks say so too. Those that do not answer by themselves are named by [`apiservers_answer`].
pub fn servers_are_up(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let words = view.fresh_words(expected);
    let (alone, served): (Vec<_>, Vec<_>) = words
        .iter()
        .filter(|w| !w.status.backends.is_empty())
        .partition(|w| all_down(w));
    let mut findings: Vec<Finding> = none_is_up(expected, &alone).into_iter().collect();
    let mut down: BTreeMap<&str, Vec<(&str, &Backend)>> = BTreeMap::new();
    for word in served {
        for backend in word.status.backends.iter().filter(|b| is_down_for_long(b)) {
            let seen = down.entry(&backend.name).or_default();
            seen.push((&word.node.name, backend));
        }
    }
    let answers = |name: &str| !matches!(view.apiservers.get(name), Some(Err(_)));
    let down = down.into_iter().filter(|(name, _)| answers(name));
    findings.extend(down.map(|(name, seen)| server_is_down(expected, name, &seen)));
    findings
}

/// Those that haproxy's checks do not pass yet, however short: a server that was never up counts as down since haproxy began. Said
/// as a wait.
pub fn servers_begin(expected: &ExpectedCluster, view: &ClusterView) -> Option<Finding> {
    let words = view.fresh_words(expected);
    let backends = words.iter().flat_map(|w| &w.status.backends);
    let down: BTreeSet<&str> = backends
        .filter(|b| b.state.is_down())
        .map(|b| b.name.as_str())
        .collect();
    let names: Vec<&str> = down.into_iter().collect();
    let what = format!("haproxy's checks of {} to pass", name_list(&names));
    (!names.is_empty()).then(|| Finding::new(Part::LoadBalancer, what))
}

/// Requests still pass then: haproxy sends them to servers of last resort, unchecked.
fn none_is_up(expected: &ExpectedCluster, alone: &[&FreshWord<'_>]) -> Option<Finding> {
    let first = alone.first()?;
    let names: Vec<&str> = alone.iter().map(|w| w.node.name.as_str()).collect();
    let seconds = first.status.backends.iter().filter_map(|b| b.seconds).min();
    let checks = first.status.backends.iter().map(|b| b.check.as_str());
    let what = format!(
        "no apiserver passes the check of {}{}: requests go to any of them, unchecked",
        name_list(&names),
        in_haproxys_words(checks)
    );
    let next = expected.journal_command(&first.node.name, "haproxy");
    let finding = Finding::new(Part::LoadBalancer, what).with_next(next);
    Some(finding.lasting(seconds))
}

fn server_is_down(expected: &ExpectedCluster, name: &str, seen: &[(&str, &Backend)]) -> Finding {
    let seconds = seen.iter().filter_map(|(_, b)| b.seconds).max();
    let on: Vec<&str> = seen.iter().map(|(on, _)| *on).collect();
    let what = format!(
        "{name}'s apiserver fails the check of {}{}",
        name_list(&on),
        in_haproxys_words(seen.iter().map(|(_, b)| b.check.as_str()))
    );
    let first = on.first().copied().unwrap_or(name);
    let next = expected.journal_command(first, "haproxy");
    let finding = Finding::new(Part::LoadBalancer, what).with_next(next);
    finding.lasting(seconds)
}

/// ` (L7STS/401)`; empty: haproxy does not say.
fn in_haproxys_words<'a>(checks: impl Iterator<Item = &'a str>) -> String {
    match checks.max() {
        None | Some("") => String::new(),
        Some(check) => format!(" ({check})"),
    }
}

fn all_down(word: &FreshWord<'_>) -> bool {
    word.status.backends.iter().all(is_down_for_long)
}

fn lasting_down<'a>(word: &FreshWord<'a>, name: &str) -> Option<&'a Backend> {
    let mut backends = word.status.backends.iter();
    backends.find(|b| b.name == name && is_down_for_long(b))
}

fn is_down_for_long(backend: &Backend) -> bool {
    backend.state.is_down() && backend.seconds.is_none_or(|s| s > DOWN_FOR)
}
