//! Values of arguments that this product lives on: with a wrong one a cluster never comes up, or falls apart later.

use std::ops::RangeInclusive;

use super::arguments::{Argument, Program};
use super::given::Given;
use super::shape::seconds;
use crate::diagnostic::Fault;
use crate::file::ClusterFile;
use ha_wire::kubernetes::APISERVER_PORT;
use ha_wire::phase::Role;

/// etcd's own advice: above it, it warns at start.
const MOST_QUOTA: u64 = 8 << 30;
/// etcd's default is 2 GiB; a cluster's first day takes some 100 MiB.
const LEAST_QUOTA: u64 = 512 << 20;
/// Directories of the host that kubeadm mounts into the apiserver by itself.
const MOUNTED: [&str; 5] = [
    "/etc/kubernetes/pki",
    "/etc/ssl/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];
/// Arguments that name a file which is read at start.
const READ_FILES: [&str; 12] = [
    "admission-control-config-file",
    "audit-policy-file",
    "audit-webhook-config-file",
    "authentication-config",
    "authentication-token-webhook-config-file",
    "authorization-config",
    "authorization-webhook-config-file",
    "egress-selector-config-file",
    "encryption-provider-config",
    "oidc-ca-file",
    "token-auth-file",
    "tracing-config-file",
];

/// Every argument's value, as far as it matters here.
pub(super) fn check_values(
    file: &ClusterFile,
    program: Program,
    arguments: &[Argument<'_>],
    faults: &mut Vec<Fault>,
) {
    for argument in arguments {
        let fault = match (program, argument.name.as_str()) {
            (_, "feature-gates") => check_gates(argument),
            (Program::Apiserver, _) => check_apiserver(file, argument),
            (Program::ControllerManager | Program::Scheduler, name) => {
                check_controller(file, argument, name)
            }
            (Program::Etcd, name) => check_etcd(argument, name),
        };
        faults.extend(fault.or_else(|| check_type(argument)));
    }
    match program {
        Program::Apiserver => check_pairs(arguments, faults),
        Program::Etcd => check_timeouts(arguments, faults),
        Program::ControllerManager | Program::Scheduler => {}
    }
}

/// What Go's flag parser refuses, and the program ends with.
fn check_type(argument: &Argument<'_>) -> Option<Fault> {
    let text = argument.text.as_str();
    let (fine, what, help) = match argument.program.flag_type(&argument.name)? {
        "bool" => (
            is_false(text) || matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"),
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
            seconds(text).is_some(),
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

fn check_apiserver(file: &ClusterFile, argument: &Argument<'_>) -> Option<Fault> {
    let text = argument.text.trim();
    match argument.name.as_str() {
        "anonymous-auth" if is_false(text) => {
            let message = "would have every apiserver restarted for ever: haproxy asks /readyz and the kubelet /livez, both without a certificate";
            let help = "leave it out and allow nothing else: `authentication-config` with an AuthenticationConfiguration that says `anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]}`";
            Some(argument.error(message, help))
        }
        "bind-address" if !matches!(text, "0.0.0.0" | "::") => {
            let message = "is one address for all nodes: peers, haproxy and the agent reach each apiserver at its own node's";
            Some(argument.error(message, "leave it out: it listens on every address"))
        }
        "secure-port" if text != APISERVER_PORT.to_string() => {
            let message = format!("is not where haproxy and the agent ask it: {APISERVER_PORT}");
            let help = "leave it out; the port that clients see is endpoint.port";
            Some(argument.error(message, help))
        }
        "authorization-mode" => {
            let has = |mode: &str| text.split(',').any(|word| word.trim() == mode);
            let lacks = ["Node", "RBAC"].into_iter().find(|mode| !has(mode))?;
            let message =
                format!("lacks {lacks}: no kubelet, and nothing of kubeadm's, may do its work");
            Some(argument.error(message, "write value: Node,RBAC (others may follow)"))
        }
        "enable-admission-plugins" if !text.split(',').any(|p| p.trim() == "NodeRestriction") => {
            let message =
                "replaces kubeadm's NodeRestriction: each kubelet may then change every node";
            let help = format!("write value: NodeRestriction,{text}");
            Some(argument.error(message, help).warning())
        }
        "service-node-port-range" => match parse_port_range(text) {
            Some(_) => None,
            None => Some(argument.error("is not a range of ports", "write e.g. 30000-32767")),
        },
        "audit-log-path" if text.starts_with('/') && !is_mounted(file, text) => {
            let message = "is written inside the apiserver's container, and is lost with it";
            Some(argument.error(message, mount_help(text, false)).warning())
        }
        "oidc-issuer-url" if !text.starts_with("https://") => {
            let message = "is no https:// URL: the apiserver ends at once";
            Some(argument.error(
                message,
                "write the issuer's URL as its tokens have it, with https://",
            ))
        }
        name if READ_FILES.contains(&name) && !is_mounted(file, text) => {
            let message =
                "is a file that the apiserver's pod does not have: it ends at once, for ever";
            Some(argument.error(message, mount_help(text, true)))
        }
        _ => None,
    }
}

fn is_false(text: &str) -> bool {
    // What Go's `strconv.ParseBool` takes.
    matches!(text, "0" | "f" | "F" | "false" | "FALSE" | "False")
}

/// Whether a path of the host is in the apiserver's pod.
fn is_mounted(file: &ClusterFile, path: &str) -> bool {
    let below = |dir: &str| {
        let dir = dir.trim_end_matches('/');
        let rest = path.strip_prefix(dir);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let volumes = Program::Apiserver
        .settings(file)
        .and_then(|settings| settings.get("extraVolumes"))
        .map_or_else(Vec::new, |volumes| volumes.items());
    let mounts: Vec<Given<'_>> = volumes.iter().filter_map(|v| v.get("mountPath")).collect();
    MOUNTED
        .into_iter()
        .chain(mounts.iter().filter_map(Given::text))
        .any(below)
}

/// A file that is read is mounted alone: what lies beside it is none of the pod's business.
fn mount_help(path: &str, reads: bool) -> String {
    if reads {
        return format!(
            "add `extraVolumes: [{{name: extra, hostPath: {path}, mountPath: {path}, readOnly: true, pathType: File}}]`, and bring the file to every control plane by `ignition.merge`"
        );
    }
    let dir = path.rsplit_once('/').map_or(path, |(dir, _)| dir);
    format!(
        "add `extraVolumes: [{{name: extra, hostPath: {dir}, mountPath: {dir}, pathType: DirectoryOrCreate}}]`"
    )
}

/// What the apiserver refuses to be told together.
fn check_pairs(arguments: &[Argument<'_>], faults: &mut Vec<Fault>) {
    let find = |name: &str| arguments.iter().find(|argument| argument.name == name);
    for (one, other) in [
        ("oidc-issuer-url", "authentication-config"),
        ("authorization-mode", "authorization-config"),
    ] {
        if let (Some(one), Some(other)) = (find(one), find(other)) {
            let message = format!("and {} exclude each other: it ends at once", other.name);
            let fault = one.error(message, format!("leave {} out", one.name));
            faults.push(fault.also(other.value.node.place, other.name.clone()));
        }
    }
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
        "node-cidr-mask-size" | "node-cidr-mask-size-ipv4" => {
            let mask = argument.text.parse::<u8>().ok();
            let fine = mask.is_some_and(|mask| (1..=30).contains(&mask));
            let help = "write the number of bits of a node's part, e.g. 24";
            (!fine).then(|| argument.error("is not a usable prefix length", help))
        }
        _ => None,
    }
}

fn check_etcd(argument: &Argument<'_>, name: &str) -> Option<Fault> {
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
    // Zero is its default, less is no quota.
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
fn check_timeouts(arguments: &[Argument<'_>], faults: &mut Vec<Fault>) {
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

/// `Name=true,Other=false`.
fn check_gates(argument: &Argument<'_>) -> Option<Fault> {
    let fine = |gate: &str| {
        let gate = gate.trim().split_once('=');
        gate.is_some_and(|(name, on)| is_gate(name) && matches!(on, "true" | "false"))
    };
    let wrong = argument.text.split(',').find(|gate| !fine(gate))?;
    let message = format!("is not a list of feature gates: `{}`", wrong.trim());
    Some(argument.error(message, "write e.g. SidecarContainers=true,OtherGate=false"))
}

/// The form of a feature gate's name.
pub(super) fn is_gate(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// `30000-32767`, or `30000+2767`, as apimachinery's `PortRange` reads it.
pub(super) fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |digits: &str| digits.trim().parse::<u16>().ok();
    let range = match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), _) => number(first)?..=number(last)?,
        (None, Some((first, more))) => {
            number(first)?..=number(first)?.checked_add(number(more)?)?
        }
        (None, None) => number(text)?..=number(text)?,
    };
    (!range.is_empty() && *range.start() > 0).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_sizes_are_read() {
        assert_eq!(parse_port_range("30000-32767"), Some(30000..=32767));
        assert_eq!(parse_port_range("30000+10"), Some(30000..=30010));
        assert_eq!(parse_port_range("80"), Some(80..=80));
        for wrong in ["", "a-b", "2-1", "1-70000", "0-5", "1-2-3"] {
            assert_eq!(parse_port_range(wrong), None, "{wrong}");
        }
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
