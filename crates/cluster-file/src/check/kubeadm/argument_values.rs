//! Values of arguments that this product lives on: with a wrong one a cluster never comes up, or falls apart later.

use super::super::families::is_dual_stack;
use super::apiserver_values::{check_apiserver, check_pairs};
use super::arguments::{Argument, Program};
use super::go_values::{is_false, parse_bool};
use super::shape::parse_go_duration;
use crate::diagnostic::Fault;
use crate::file::ClusterFile;
use ha_wire::phase::Role;

/// etcd's own advice: above it, it warns at start.
const MOST_QUOTA: u64 = 8 << 30;
/// etcd's default is 2 GiB; a cluster's first day takes some 100 MiB.
const LEAST_QUOTA: u64 = 512 << 20;
/// Every argument's value, as far as it matters here.
pub(super) fn check_values(
    file: &ClusterFile,
    program: Program,
    arguments: &[Argument<'_>],
    faults: &mut Vec<Fault>,
) {
    for argument in arguments {
        let fault = match (program, argument.name.as_str()) {
            (Program::Apiserver, _) => check_apiserver(file, argument),
            (Program::ControllerManager | Program::Scheduler, name) => {
                check_controller(file, argument, name)
            }
            (Program::Etcd, name) => check_etcd_argument(argument, name),
        };
        faults.extend(fault.or_else(|| check_type(argument)));
    }
    match program {
        Program::Apiserver => check_pairs(arguments, faults),
        Program::Etcd => check_timeout_arguments(arguments, faults),
        Program::ControllerManager | Program::Scheduler => {}
    }
}

/// What Go's flag parser refuses, and the program ends with.
fn check_type(argument: &Argument<'_>) -> Option<Fault> {
    let text = argument.text.as_str();
    let (fine, what, help) = match argument.program.flag(&argument.name)?.kind {
        "bool" => (
            parse_bool(text).is_some(),
            "true or false",
            "write \"true\" or \"false\"",
        ),
        "int" => (
            text.parse::<i64>().is_ok(),
            "a whole number",
            "write digits only",
        ),
        "float" => (
            text.parse::<f64>().is_ok(),
            "a number",
            "write digits only, e.g. 50",
        ),
        "duration" => (
            parse_go_duration(text).is_some(),
            "a length of time",
            "write number and unit, e.g. 40s, 5m or 1h30m",
        ),
        _ => return None,
    };
    let message = format!("is not {what}: it ends at once");
    // A list is a fault of its own.
    let written = argument.value.text().is_some();
    (written && !fine).then(|| argument.error(message, help))
}

fn check_controller(file: &ClusterFile, argument: &Argument<'_>, name: &str) -> Option<Fault> {
    match name {
        "secure-port" => {
            let message = "is not where kubeadm's probes ask it: it is restarted for ever";
            let own = if argument.program == Program::Scheduler {
                "10259"
            } else {
                "10257"
            };
            (argument.text != own).then(|| argument.error(message, "leave it out"))
        }
        "leader-elect" if is_false(&argument.text) => {
            let is_control_plane = |role: Role| role == Role::ControlPlane;
            let roles = file.entries().iter().filter_map(|node| node.role.as_ref());
            let count = roles.filter(|role| is_control_plane(role.value)).count();
            let message = format!("lets all {count} of them act at once, against each other");
            (count > 1).then(|| argument.error(message, "leave it out"))
        }
        "allocate-node-cidrs" if is_false(&argument.text) => {
            let message = "gives nodes no part of podCIDR: Cilium as it is installed here, and most pod networks, wait for one";
            let help = "leave it out unless your pod network hands addresses out itself";
            Some(argument.error(message, help).warning())
        }
        "node-cidr-mask-size" if is_dual_stack(file) => {
            let message =
                "is for one family of addresses: beside two the controller manager ends at once";
            let help = "write node-cidr-mask-size-ipv4 or node-cidr-mask-size-ipv6";
            Some(argument.error(message, help))
        }
        "node-cidr-mask-size" | "node-cidr-mask-size-ipv4" => {
            let mask = argument.text.parse::<u8>().ok();
            let fine = mask.is_some_and(|mask| (1..=30).contains(&mask));
            let help = "write the number of bits of a node's part, e.g. 24";
            (!fine).then(|| argument.error("is not a usable prefix length", help))
        }
        _ => None,
    }
}

fn check_etcd_argument(argument: &Argument<'_>, name: &str) -> Option<Fault> {
    let digits = |help: &str| {
        let whole = argument.text.parse::<u64>().is_ok();
        (!whole).then(|| argument.error("is not a number: etcd ends at once", help))
    };
    match name {
        "quota-backend-bytes" => check_quota(argument),
        "heartbeat-interval" | "election-timeout" => {
            digits("write milliseconds as digits only, e.g. 100 and 1000")
        }
        "snapshot-count" | "max-request-bytes" | "max-txn-ops" | "max-snapshots" | "max-wals" => {
            digits("write digits only")
        }
        _ => None,
    }
}

fn check_quota(argument: &Argument<'_>) -> Option<Fault> {
    let text = argument.text.trim();
    let Ok(bytes) = text.parse::<i64>() else {
        let example = bytes_meant(text).unwrap_or(MOST_QUOTA);
        let message =
            "is not a number: etcd ends at once, and kubeadm waits for it until its time is up";
        return Some(argument.error(message, format!("write a number of bytes, e.g. {example}")));
    };
    // Zero is its default, less is not a quota.
    let bytes = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)?;
    if bytes > MOST_QUOTA {
        let message = "is more than 8 GiB: etcd warns of it, and a member so large takes minutes to start or to be copied";
        let help = format!("write {MOST_QUOTA} or less");
        return Some(argument.error(message, help).warning());
    }
    let message =
        "is so little that the cluster is soon full, and then takes no more writes (NOSPACE)";
    let help = "write e.g. 2147483648, which is etcd's default, or leave it out";
    (bytes < LEAST_QUOTA).then(|| argument.error(message, help).warning())
}

/// How many bytes somebody means by `8G`, `8GiB` or `8Gi`.
fn bytes_meant(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    let shift = match unit.trim().chars().next()?.to_ascii_lowercase() {
        'k' => 10,
        'm' => 20,
        'g' => 30,
        't' => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// etcd refuses an election that does not outlast five heartbeats.
fn check_timeout_arguments(arguments: &[Argument<'_>], faults: &mut Vec<Fault>) {
    let find = |name: &str| arguments.iter().rfind(|argument| argument.name == name);
    let value = |argument: Option<&Argument<'_>>, default| {
        argument.map_or(Some(default), |argument| argument.text.parse::<u64>().ok())
    };
    let (heartbeat, election) = (find("heartbeat-interval"), find("election-timeout"));
    let Some(shown) = election.or(heartbeat) else {
        return;
    };
    let (Some(beat), Some(timeout)) = (value(heartbeat, 100), value(election, 1000)) else {
        return;
    };
    if beat.saturating_mul(5) > timeout {
        let message = format!(
            "goes with a heartbeat of {beat} ms and an election after {timeout} ms: etcd ends at once, it wants five times as much"
        );
        let help = format!("write election-timeout {} or more", beat.saturating_mul(10));
        faults.push(shown.error(message, help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("8G", Some(8 << 30)),
            ("512MiB", Some(512 << 20)),
            ("8 GB", Some(8 << 30)),
            ("lots", None),
            ("99999999999999T", None),
        ] {
            assert_eq!(bytes_meant(text), bytes, "{text}");
        }
    }
}
