//! The judgement: facts in, checks out. Pure.

use ha_wire::node::NodeFile;

use super::addresses::{check_address, check_vip_interface};
use super::capacity::Gauge;
use super::check::{Check, Verdict, passing_check};
use super::facts::MachineFacts;
use super::fix::{self, IsNeeded, SYSCTLS};
use super::mounts::check_mounts;
use super::node_files::check_node_files;
use super::ports::wanted_ports;
use super::runtime::check_runtime;
use super::units::check_unit;
use crate::render::kubeadm::EffectiveSettings;

/// Below this the kubelet evicts and etcd stops: 2 GiB hold the images of a worker.
const DISK_LEAST_KIB: u64 = 2 << 20;
/// Below this it works, but not for long.
const DISK_GOOD_KIB: u64 = 6 << 20;

/// What to do about a node whose Ignition config is too old to join with.
const REMAKE: &str = "run `ha-host launch` again: it re-makes this node";

/// Every check, in the order in which a person would look.
pub fn evaluate_machine(node: &NodeFile, facts: &MachineFacts) -> Vec<Check> {
    let mut all = vec![
        check_clock(facts),
        check_identity(facts),
        check_hostname(node, facts),
        check_hosts_file(node, facts),
        check_address(node, &facts.address_faults),
    ];
    all.extend(check_vip_interface(node, facts.lacks_vip_interface));
    all.extend(check_endpoint_name(node, facts));
    all.extend([check_ca(facts), check_leftovers(facts)]);
    all.extend(check_node_files(&facts.broken_files));
    all.extend([check_programs(facts)]);
    all.extend(
        facts
            .units
            .iter()
            .map(|(unit, state)| check_unit(node, unit, state)),
    );
    all.extend(check_runtime(node, &facts.runtime));
    all.extend(keepalived_scheduling(facts));
    all.extend(check_kernel(node, facts));
    if node.is_kubernetes_node() {
        all.extend([
            check_overlay(facts),
            check_inotify(facts),
            check_disk(facts),
            check_swap(node, facts),
            check_mounts(node, &facts.unshared_mounts),
        ]);
    }
    all.extend(facts.file_systems.iter().map(Gauge::check));
    all.extend(check_ports(node, facts));
    all
}

fn check_clock(facts: &MachineFacts) -> Check {
    let check = passing_check("time", "timedatectl");
    match facts
        .certificates
        .iter()
        .find(|(_, from, _)| *from > facts.now_ms)
    {
        None => check,
        Some((file, from, _)) => {
            let minutes = (from - facts.now_ms) / 60_000 + 1;
            let reason = format!("the clock is {minutes} min before {file} becomes valid");
            check.with(
                Verdict::Wait,
                reason,
                "set the clock, or let it reach its time server",
            )
        }
    }
}

fn check_identity(facts: &MachineFacts) -> Check {
    let check = passing_check("certificates", "openssl x509 -noout -dates -in FILE");
    match facts
        .certificates
        .iter()
        .find(|(_, _, until)| *until < facts.now_ms)
    {
        None => check,
        Some((file, _, until)) => {
            let days = (facts.now_ms - until) / 86_400_000;
            let reason = format!("{file} ended {days} days ago, by this machine's clock");
            check.with(
                Verdict::Fail,
                reason,
                &format!("check the clock; if it is right, {REMAKE}"),
            )
        }
    }
}

fn check_hostname(node: &NodeFile, facts: &MachineFacts) -> Check {
    let check = passing_check("hostname", "hostnamectl");
    if facts.hostname == node.name {
        return check;
    }
    let reason = format!(
        "this machine calls itself {:?}, its node file {:?}",
        facts.hostname, node.name
    );
    check.with(
        Verdict::Wait,
        reason,
        "set /etc/hostname to the node's name",
    )
}

fn check_hosts_file(node: &NodeFile, facts: &MachineFacts) -> Check {
    let check = passing_check("hosts file", "cat /etc/hosts");
    if facts.in_hosts {
        return check;
    }
    let reason = format!(
        "/etc/hosts does not name {}: kubeadm asks the name server, and waits for it",
        node.name
    );
    check.with(
        Verdict::Warn,
        reason,
        "add a line with the node's address and name",
    )
}

/// Nothing to say where the endpoint is an address.
fn check_endpoint_name(node: &NodeFile, facts: &MachineFacts) -> Option<Check> {
    let name = node.endpoint.name.as_ref()?;
    let check = passing_check("endpoint's name", &format!("getent hosts {name}"));
    if facts.endpoint_in_hosts {
        return Some(check);
    }
    let reason =
        format!("/etc/hosts does not name {name}: the kubelet asks the name server for it");
    let remedy = format!("add a line: {} {name}", node.endpoint.vip);
    Some(check.with(Verdict::Warn, reason, &remedy))
}

fn check_ca(facts: &MachineFacts) -> Check {
    let check = passing_check("cluster CA", "ls -l /etc/kubernetes/pki");
    if facts.has_ca {
        return check;
    }
    let reason = "/etc/kubernetes/pki/ca.crt is not there".to_owned();
    check.with(
        Verdict::Fail,
        reason,
        "the node's Ignition config brings it: make the machine anew",
    )
}

fn check_leftovers(facts: &MachineFacts) -> Check {
    let check = passing_check(
        "leftovers",
        "grep certificate-authority-data /etc/kubernetes/kubelet.conf",
    );
    let Some(file) = &facts.other_cluster else {
        return check;
    };
    let reason = format!("{file} belongs to a cluster with another CA");
    check.with(
        Verdict::Fail,
        reason,
        "this disk was a node of another cluster: make the machine anew",
    )
}

fn check_programs(facts: &MachineFacts) -> Check {
    let check = passing_check("programs", "systemd-sysext status");
    if facts.missing.is_empty() {
        return check;
    }
    let reason = format!("{} not there (yet)", facts.missing.join(", "));
    check.with(Verdict::Wait, reason, "merge the kubernetes sysext")
}

fn check_kernel(node: &NodeFile, facts: &MachineFacts) -> Vec<Check> {
    let needed = SYSCTLS.iter().filter(|(_, _, is_needed)| is_needed(node));
    let one = |(file, value, _): &(&str, &str, IsNeeded)| {
        let name = file.trim_start_matches("/proc/sys/").replace('/', ".");
        let check = passing_check(&name, &format!("sysctl {name}"));
        let bridge = name.starts_with("net.bridge");
        match facts.kernel.get(*file) {
            Some(is) if is == value => check.says(is.clone()),
            // Only bridged pod networks need it, and Cilium is none.
            None if bridge => check.with(
                Verdict::Warn,
                "the kernel has no br_netfilter".into(),
                "modprobe br_netfilter",
            ),
            is => {
                let reason = format!(
                    "is {}, must be {value}",
                    is.map_or("missing", String::as_str)
                );
                let verdict = if bridge { Verdict::Warn } else { Verdict::Fail };
                check.with(verdict, reason, &format!("sysctl -w {name}={value}"))
            }
        }
    };
    needed.map(one).collect()
}

fn check_overlay(facts: &MachineFacts) -> Check {
    let check = passing_check("overlay", "grep overlay /proc/filesystems");
    if facts.overlay {
        return check;
    }
    check.with(
        Verdict::Fail,
        "the kernel cannot mount overlay file systems".into(),
        "modprobe overlay",
    )
}

fn check_inotify(facts: &MachineFacts) -> Check {
    let check = passing_check("inotify", "sysctl fs.inotify.max_user_instances");
    match facts
        .kernel
        .get(fix::INOTIFY)
        .and_then(|v| v.parse::<u64>().ok())
    {
        Some(is) if is < fix::INOTIFY_INSTANCES => {
            let remedy = format!(
                "sysctl -w fs.inotify.max_user_instances={} (on the host, for a container)",
                fix::INOTIFY_INSTANCES
            );
            check.with(
                Verdict::Warn,
                format!("{is} instances for each user"),
                &remedy,
            )
        }
        _ => check,
    }
}

/// Nothing to say where keepalived does not run.
fn keepalived_scheduling(facts: &MachineFacts) -> Option<Check> {
    let in_real_time = facts.keepalived_in_real_time?;
    let check = passing_check(
        "keepalived scheduling",
        "ps -C keepalived -o pid,cls,rtprio,ni",
    );
    if in_real_time {
        return Some(check.says("real time".into()));
    }
    let reason = "not in real time: on a busy machine the VIP may move without need".to_owned();
    let remedy = "give this machine's cgroup real-time runtime (cpu.rt_runtime_us), or take a longer loadBalancer.advertInterval";
    Some(check.with(Verdict::Warn, reason, remedy))
}

fn check_disk(facts: &MachineFacts) -> Check {
    let check = passing_check("disk", "df -h /var/lib");
    let Some(free) = facts.free_kib else {
        return check.with(
            Verdict::Warn,
            "free space of /var/lib is not known".into(),
            "df -h /var/lib",
        );
    };
    let reason = format!(
        "{:.1} GiB free below /var/lib",
        free as f64 / f64::from(1 << 20)
    );
    match free {
        ..DISK_LEAST_KIB => check.with(
            Verdict::Fail,
            reason,
            "images, etcd and pods need 2 GiB at least: a larger disk",
        ),
        DISK_LEAST_KIB..DISK_GOOD_KIB => {
            check.with(Verdict::Warn, reason, "6 GiB and more are sensible")
        }
        _ => check.says(reason),
    }
}

/// In a container the host's swap shows too, and stops its kubelet as well.
fn check_swap(node: &NodeFile, facts: &MachineFacts) -> Check {
    let check = passing_check("swap", "cat /proc/swaps");
    if facts.swaps.is_empty() {
        return check;
    }
    let swaps = facts.swaps.join(", ");
    if !EffectiveSettings::new(node).fails_on_swap {
        return check.says(format!("{swaps}; the kubelet tolerates it"));
    }
    check.with(
        Verdict::Fail,
        format!(
            "swap is on ({swaps}) and kubeletConfig wants failSwapOn: the kubelet will not start"
        ),
        "swapoff -a, or failSwapOn: false in the cluster file's kubeletConfig",
    )
}

fn check_ports(node: &NodeFile, facts: &MachineFacts) -> Vec<Check> {
    let one = |(port, ours): (u16, &'static str)| {
        let check = passing_check(
            &format!("port {port}"),
            &format!("ss -ltnp 'sport = :{port}'"),
        );
        match facts.holders.get(&port).map(String::as_str) {
            None => check.says("free".into()),
            Some(holder) if holder.starts_with(ours) => check.says(format!("{holder}, ours")),
            // The service may not look into processes that may do more than itself, and these are.
            Some("") if facts.hidden.iter().any(|p| p.starts_with(ours)) => {
                check.says(format!("taken; {ours} runs, ours as far as can be seen"))
            }
            Some("") => check.with(
                Verdict::Warn,
                format!("taken, by whom cannot be seen; {ours} needs it"),
                "stop whoever listens there",
            ),
            Some(holder) => check.with(
                Verdict::Fail,
                format!("taken by {holder}, {ours} needs it"),
                &format!("stop {holder}"),
            ),
        }
    };
    wanted_ports(node).into_iter().map(one).collect()
}

#[cfg(test)]
mod tests;
