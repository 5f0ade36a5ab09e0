//! etcd: members, leader, alarms, space.

use std::collections::{BTreeMap, BTreeSet};

use ha_wire::status::{AlarmKind, EtcdAlarm};

use super::expected::ExpectedCluster;
use super::view::{ClusterView, EtcdMemberFacts, FreshWord, MemberView};
use super::words::name_list;
use crate::finding::{Finding, Part};
use crate::node::{ask_external_etcd, often_elected};

/// From this part of its quota on, in percent, a database is told of: what is left may be a day.
const NEARLY_FULL: u64 = 80;

/// Its members are the control planes, and all of them vote.
pub fn members_as_expected(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    if expected.external_etcd {
        return Vec::new();
    }
    let members = match &view.etcd {
        Ok(members) => members,
        Err(error) => {
            let what = format!("etcd's member list: {error}");
            return vec![with_command(expected, view, Finding::new(Part::Etcd, what))];
        }
    };
    let wanted: BTreeSet<&str> = expected.control_planes().map(|n| n.name.as_str()).collect();
    let voters = members.iter().filter(|m| m.is_voter());
    let voters: BTreeSet<&str> = voters.map(|m| m.name.as_str()).collect();
    if wanted == voters && members.len() == wanted.len() {
        return Vec::new();
    }
    let word = |m: &MemberView| match (m.name.as_str(), m.is_learner) {
        ("", _) => "one not started".to_owned(),
        (name, false) => name.to_owned(),
        (name, true) => format!("{name} (learner)"),
    };
    let list: Vec<String> = members.iter().map(word).collect();
    let what = match list.join(", ") {
        list if list.is_empty() => "etcd has no members".to_owned(),
        list => format!("etcd's members are {list} instead of all control planes"),
    };
    vec![with_command(expected, view, Finding::new(Part::Etcd, what))]
}

/// No alarm, room in the database, one leader.
pub fn members_are_well(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let mut findings: Vec<Finding> = alarms_of_members(expected, view)
        .into_iter()
        .map(|alarm| {
            let what = format!("alarm {alarm}{}", meaning_of_alarm(&alarm.kind));
            with_command(expected, view, Finding::new(Part::Etcd, what))
        })
        .collect();
    if expected.external_etcd {
        findings.extend(sick_endpoints(expected, view));
        return findings;
    }
    let members = member_facts(expected, view);
    if findings.is_empty() {
        findings.extend(nearly_full(expected, &members));
    }
    findings.extend(one_leader(expected, &members));
    findings.extend(leader_stays(expected, view));
    findings
}

/// Somebody else's etcd is asked by the control planes alone.
fn sick_endpoints(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (url, errors) in view.etcd_endpoints(expected) {
        // The same of all of them, mostly: the first one's words.
        let Some((_, error)) = errors.first() else {
            continue;
        };
        let nodes: Vec<&str> = errors.iter().map(|(node, _)| *node).collect();
        let what = format!(
            "external endpoint {url}: {error} (asked by {})",
            name_list(&nodes)
        );
        let next = ask_external_etcd(url);
        findings.push(Finding::new(Part::Etcd, what).with_next(next));
    }
    findings
}

/// Whichever node saw it: an agent that began later has seen less.
fn leader_stays(expected: &ExpectedCluster, view: &ClusterView) -> Option<Finding> {
    let words = view.fresh_words(expected);
    let often = |w: &FreshWord<'_>| often_elected(w.status.etcd.as_ref()?, &w.node.name, w.now_ms);
    words.iter().find_map(often)
}

fn meaning_of_alarm(kind: &AlarmKind) -> &'static str {
    match kind {
        AlarmKind::NoSpace => {
            ": the database is at its quota, and nothing can be written until it is compacted, defragmented and the alarm disarmed"
        }
        AlarmKind::Corrupt => {
            ": that member's data differs from the others': make its machine anew"
        }
        AlarmKind::Other(_) => "",
    }
}

fn alarms_of_members(expected: &ExpectedCluster, view: &ClusterView) -> BTreeSet<EtcdAlarm> {
    let asked = view.etcd_facts.iter().flat_map(|e| &e.alarms).cloned();
    let words = view.fresh_words(expected).into_iter();
    let told = words.filter_map(|w| w.status.etcd.as_ref());
    let told = told.flat_map(|e| e.alarms.clone());
    asked.chain(told).collect()
}

/// By the members' own word, and by their agents' where nobody could ask them.
fn member_facts(
    expected: &ExpectedCluster,
    view: &ClusterView,
) -> BTreeMap<String, EtcdMemberFacts> {
    let mut members = BTreeMap::new();
    for word in view.fresh_words(expected) {
        if let Some(etcd) = &word.status.etcd {
            let facts = EtcdMemberFacts {
                leader: etcd.leader.clone(),
                database_bytes: etcd.database_bytes,
                quota_bytes: etcd.quota_bytes,
            };
            members.insert(word.node.name.clone(), facts);
        }
    }
    if let Some(asked) = &view.etcd_facts {
        members.extend(asked.members.clone());
    }
    members
}

fn nearly_full(
    expected: &ExpectedCluster,
    members: &BTreeMap<String, EtcdMemberFacts>,
) -> Option<Finding> {
    let share = |facts: &EtcdMemberFacts| {
        let quota = facts.quota_bytes.unwrap_or(expected.etcd_quota_bytes);
        Some((
            facts.database_bytes?.saturating_mul(100) / quota.max(1),
            quota,
        ))
    };
    let shares = members
        .iter()
        .filter_map(|(name, f)| Some((name, share(f)?)));
    let (name, (percent, quota)) = shares.max_by_key(|(_, share)| share.0)?;
    let mib = quota / (1024 * 1024);
    let what = format!(
        "{name}'s database takes {percent} % of its quota of {mib} MiB: at 100 % nothing can be written any more"
    );
    let next = etcdctl_command(name, "defrag --cluster");
    (percent >= NEARLY_FULL).then(|| Finding::new(Part::Etcd, what).with_next(next))
}

fn one_leader(
    expected: &ExpectedCluster,
    members: &BTreeMap<String, EtcdMemberFacts>,
) -> Vec<Finding> {
    let leaders: BTreeSet<&str> = members.values().map(|m| m.leader.as_str()).collect();
    let without = members.iter().filter(|(_, m)| m.leader.is_empty());
    let without: Vec<&String> = without.map(|(name, _)| name).collect();
    let what = match (&without[..], leaders.len()) {
        ([], 0 | 1) => return Vec::new(),
        ([], _) => format!(
            "its members follow more than one leader: {}",
            name_list(&leaders.into_iter().collect::<Vec<_>>())
        ),
        (without, _) => format!(
            "{} has no leader: it is cut off from the others",
            name_list(without)
        ),
    };
    let first = without.first().copied().or_else(|| members.keys().next());
    let next = first.map_or_else(String::new, |n| {
        format!("ha-host logs {} {n} --unit kubelet", expected.name)
    });
    vec![Finding::new(Part::Etcd, what).with_next(next)]
}

/// The command is run where a member still answers.
fn with_command(expected: &ExpectedCluster, view: &ClusterView, finding: Finding) -> Finding {
    if expected.external_etcd {
        return finding;
    }
    let asked = view.etcd_facts.as_ref().map(|e| &e.members);
    let answers = |name: &str| asked.is_some_and(|members| members.contains_key(name));
    let planes = || expected.control_planes();
    let node = planes()
        .find(|n| answers(&n.name))
        .or_else(|| planes().next());
    let next = node.map_or_else(String::new, |n| {
        etcdctl_command(&n.name, "endpoint status --cluster -w table")
    });
    finding.with_next(next)
}

/// `etcdctl` as kubeadm's own static pod has it.
fn etcdctl_command(node: &str, arguments: &str) -> String {
    let pki = "/etc/kubernetes/pki/etcd";
    format!(
        "kubectl -n kube-system exec etcd-{node} -- etcdctl --cacert {pki}/ca.crt --cert {pki}/server.crt --key {pki}/server.key \
         {arguments}"
    )
}
