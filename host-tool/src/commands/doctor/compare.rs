//! What two nodes must not share, and how far their clocks are apart. Pure.

use std::collections::BTreeMap;

use ha_wire::doctor::{Check, Examination, Verdict};

use super::Visit;

/// Leases are renewed every few seconds, and certificates begin a moment before they are made.
const CLOCK_WARN_MS: i64 = 1_000;
/// Leader election, etcd's leases and the validity of certificates made on another node go wrong.
const CLOCK_FAIL_MS: i64 = 10_000;

/// One check for each thing that is compared; nothing to compare with a single node.
pub fn compare_nodes(visits: &[Visit]) -> Vec<Check> {
    let seen: Vec<(&str, &Examination)> = visits
        .iter()
        .filter_map(|visit| Some((visit.node.name.as_str(), visit.answer.as_ref().ok()?)))
        .collect();
    if seen.len() < 2 {
        return Vec::new();
    }
    let mut checks = vec![
        check_macs(&seen),
        check_unique(
            "product uuid",
            "cat /sys/class/dmi/id/product_uuid",
            "give each virtual machine a UUID of its own (a copied disk or definition keeps the old one)",
            seen.iter()
                .map(|(name, e)| (*name, e.machine.product_uuid.clone())),
        ),
        check_unique(
            "machine-id",
            "cat /etc/machine-id",
            "a copied disk: make one of the machines anew, or remove /etc/machine-id there and reboot it",
            seen.iter()
                .map(|(name, e)| (*name, e.machine.machine_id.clone())),
        ),
    ];
    checks.extend(check_clocks(visits));
    checks.push(check_holders(&seen));
    checks
}

fn check_macs(seen: &[(&str, &Examination)]) -> Check {
    let macs = seen.iter().flat_map(|(name, examination)| {
        let interfaces = examination.machine.interfaces.iter();
        interfaces.map(|interface| (*name, interface.mac.clone()))
    });
    let interface = seen
        .iter()
        .find_map(|(_, e)| e.machine.interfaces.first())
        .map_or("", |interface| interface.name.as_str());
    check_unique(
        "mac",
        &format!("ip link show {interface}"),
        "give one of the machines another MAC address: the switch sends each packet to only one of them",
        macs,
    )
}

/// Values that stand for nothing: unset, or what some firmware gives to all.
fn means_nothing(value: &str) -> bool {
    value.chars().all(|c| matches!(c, '0' | ':' | '-'))
        || value.chars().all(|c| matches!(c, 'f' | 'F' | ':' | '-'))
}

fn check_unique<'a>(
    name: &str,
    command: &str,
    remedy: &str,
    values: impl Iterator<Item = (&'a str, String)>,
) -> Check {
    let mut holders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, value) in values.filter(|(_, value)| !means_nothing(value)) {
        let nodes = holders.entry(value).or_default();
        // Bonded interfaces of one machine share an address.
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    let check = Check::passing(name, command);
    let shared: Vec<String> = holders
        .iter()
        .filter(|(_, nodes)| nodes.len() > 1)
        .map(|(value, nodes)| format!("{} have one {name}, {value}", nodes.join(" and ")))
        .collect();
    match shared.is_empty() {
        true => check,
        false => check.with(Verdict::Fail, shared.join("; "), remedy),
    }
}

/// How far a node's clock is from this machine's.
struct ClockOffset<'a> {
    node: &'a str,
    /// Ahead of this machine's, milliseconds; the middle of what is possible.
    ahead_ms: i64,
    /// Up to so much more or less: when exactly the node looked at its clock is not known.
    give_or_take_ms: i64,
}

/// The node looked at its clock at the end of its examination; the rest of the question's time was the way, either before or after.
fn clock_offset(visit: &Visit) -> Option<ClockOffset<'_>> {
    let seen = visit.answer.as_ref().ok()?;
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let way = signed(visit.took_ms.saturating_sub(seen.took_ms));
    let least = signed(seen.clock_ms).saturating_sub(signed(visit.answered_ms));
    Some(ClockOffset {
        node: &visit.node.name,
        ahead_ms: least.saturating_add(way / 2),
        give_or_take_ms: way / 2 + 1,
    })
}

/// Against the middle one of all clocks: this machine's own may be wrong.
fn check_clocks(visits: &[Visit]) -> Vec<Check> {
    let offsets: Vec<ClockOffset> = visits.iter().filter_map(clock_offset).collect();
    let mut sorted: Vec<&ClockOffset> = offsets.iter().collect();
    sorted.sort_by_key(|offset| offset.ahead_ms);
    let Some(middle) = sorted.get((sorted.len().saturating_sub(1)) / 2) else {
        return Vec::new();
    };
    let apart = offsets.iter().filter_map(|offset| {
        let ahead = offset.ahead_ms - middle.ahead_ms;
        let surely = ahead.abs() - offset.give_or_take_ms - middle.give_or_take_ms;
        let verdict = match surely {
            CLOCK_FAIL_MS.. => Verdict::Fail,
            CLOCK_WARN_MS.. => Verdict::Warn,
            _ => return None,
        };
        let where_to = if ahead > 0 { "ahead of" } else { "behind" };
        let others = match offsets.len() {
            2 => middle.node,
            _ => "the other nodes",
        };
        let seconds = (ahead.abs() + 500) / 1000;
        let reason = format!("{} is {seconds} s {where_to} {others}", offset.node);
        let remedy =
            "set its clock, and let every node reach one time server (timedatectl set-ntp true)";
        let check = Check::passing("clock", "timedatectl timesync-status");
        Some(check.with(verdict, reason, remedy))
    });
    let apart: Vec<Check> = apart.collect();
    match apart.is_empty() {
        true => vec![Check::passing("clock", "timedatectl timesync-status")],
        false => apart,
    }
}

/// Nodes that held the VIP for as long as they listened: each of them answers for it.
fn check_holders(seen: &[(&str, &Examination)]) -> Check {
    let check = Check::passing("vip", "ip address show to VIP (on each control plane)");
    let holds = |e: &Examination| e.vrrp.as_ref().is_some_and(|heard| heard.holds_vip);
    let holders: Vec<&str> = seen
        .iter()
        .filter(|(_, e)| holds(e))
        .map(|(name, _)| *name)
        .collect();
    if holders.len() < 2 {
        return check;
    }
    let reason = format!(
        "held by {}: they do not hear each other",
        holders.join(" and ")
    );
    let remedy =
        "let IP protocol 112 (VRRP) pass between the control planes: nft list ruleset on each";
    check.with(Verdict::Fail, reason, remedy)
}
