//! What haproxy and keepalived are told besides their ports.

use std::ops::RangeInclusive;

use ha_wire::settings::{LbMode, PortCheck};

use super::files::check_local_path;
use super::network::check_interface_name;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, LoadBalancerFile, MACHINES_HELP, Spanned, StatsFile};

/// keepalived counts in hundredths of a second, 12 bits of them.
const ADVERT_MS: RangeInclusive<u32> = 10..=40950;
/// VRRP has eight bits for it, and 0 is nobody's.
const ROUTER_IDS: RangeInclusive<u32> = 1..=255;
/// haproxy counts milliseconds in 31 bits: 24.8 days.
const TIMEOUT_MS: RangeInclusive<u32> = 1000..=24 * 24 * 60 * 60 * 1000;
/// A watch of what does not change hears from its apiserver about once a minute.
const BOOKMARK_MS: u32 = 60_000;
/// What haproxy takes unquoted, of what a path may hold.
const PATH_SIGNS: &str = "/-._~%?=&:@,+";

pub(super) fn check_load_balancer(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let balancer = &file.load_balancer;
    check_mode(file, faults);
    if balancer.is_external() {
        return check_own_options(balancer, faults);
    }
    check_balancer_timeouts(balancer, faults);
    if let Some(stats) = &balancer.stats {
        check_stats_address(stats, file, faults);
        check_login(stats, faults);
    }
    for extra in &balancer.extra_ports {
        check_path(extra.check.as_ref(), faults);
    }
    check_advert_interval(balancer, faults);
    check_router_id(balancer, faults);
    check_track(file, faults);
}

fn check_mode(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(mode) = &file.load_balancer.mode else {
        return;
    };
    if mode.value == LbMode::Machines {
        faults.extend(machine_count_fault(file, mode));
    }
}

/// Without nodes that could be read the machines are not known either.
fn machine_count_fault(file: &ClusterFile, mode: &Spanned<LbMode>) -> Option<Fault> {
    file.nodes.as_ref()?;
    let count = file.entries().iter().filter(|node| node.is_balancer());
    match count.count() {
        0 => Some(mode.error("lists no machine", MACHINES_HELP)),
        1 => {
            let message =
                "lists one machine: the API is lost with it, however many control planes there are";
            Some(mode.error(message, "list a second one").warning())
        }
        _ => None,
    }
}

fn check_own_options(balancer: &LoadBalancerFile, faults: &mut Vec<Fault>) {
    faults.extend(balancer.own_options().iter().map(|option| {
        let message = "is for the cluster's own keepalived and haproxy, and with `mode: external` no node runs them";
        option.error(message, "leave it out, and set its like at the balancer")
    }));
}

fn check_balancer_timeouts(balancer: &LoadBalancerFile, faults: &mut Vec<Fault>) {
    let timeouts = &balancer.timeouts;
    let all = [&timeouts.client, &timeouts.server, &timeouts.tunnel];
    let odd = |at: &&Spanned<u32>| !TIMEOUT_MS.contains(&at.value);
    let outside = all.into_iter().flatten().filter(odd);
    faults.extend(outside.map(|at| {
        let message = "is not between 1s and 24d, which is what haproxy can count";
        at.error(message, "write e.g. 1h; left out, it is 1h")
    }));
    let Some(tunnel) = &timeouts.tunnel else {
        return;
    };
    if tunnel.value < BOOKMARK_MS && TIMEOUT_MS.contains(&tunnel.value) {
        let message = "cuts connections that are silent for less than a minute, as a watch of something that does not change is";
        faults.push(
            tunnel
                .error(message, "write a minute or more, e.g. 1h")
                .warning(),
        );
    }
    let longer = |at: &&Spanned<u32>| !tunnel.given && !odd(at) && at.value > tunnel.value;
    let of_no_use = all.into_iter().flatten().filter(longer);
    faults.extend(of_no_use.map(|at| {
        let message =
            "counts only until both sides are connected; from then on tunnel does, which is 1h";
        at.error(message, "write `tunnel`, too").warning()
    }));
}

fn check_stats_address(stats: &StatsFile, file: &ClusterFile, faults: &mut Vec<Fault>) {
    let vip = file.endpoint.vip.as_ref().map(|vip| vip.value);
    let machine = match file.has_balancer_machines() {
        true => "machine of the load balancer",
        false => "control plane",
    };
    if let Some(address) = &stats.address {
        let ip = address.value;
        if !ip.is_loopback() && !ip.is_unspecified() && vip.is_some_and(|vip| vip != ip) {
            let message = format!("{ip} is not an address that every {machine} has");
            let help = format!(
                "write 127.0.0.1, 0.0.0.0 (all addresses of a {machine}) or the VIP (its holder's page)"
            );
            faults.push(address.error(message, help));
        } else if !ip.is_loopback() && stats.user.is_none() && stats.password_file.is_none() {
            let message = format!("{ip} shows the page to everybody who reaches a {machine}");
            let help = "give it `user` and `passwordFile`, or leave `address` out: 127.0.0.1";
            faults.push(address.error(message, help).warning());
        }
    }
}

fn check_login(stats: &StatsFile, faults: &mut Vec<Fault>) {
    match (&stats.user, &stats.password_file) {
        (Some(user), None) => faults.push(user.error(
            "has no password",
            "write `passwordFile: FILE`, a local file that holds the password alone",
        )),
        (None, Some(path)) => {
            faults.push(path.error("is nobody's password", "write `user`, e.g. `user: admin`"));
        }
        _ => {}
    }
    if let Some(user) = &stats.user {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if user.value.is_empty() || user.value.len() > 64 || !user.value.chars().all(fits) {
            let message = format!("`{}` is not a user name that haproxy takes", user.value);
            let help = "use at most 64 letters, digits, `.`, `_` and `-`";
            faults.push(user.error(message, help));
        }
    }
    if let Some(path) = &stats.password_file {
        check_local_path(path, faults);
    }
}

fn check_path(check: Option<&Spanned<PortCheck>>, faults: &mut Vec<Fault>) {
    let Some((at, PortCheck::Http { path })) = check.map(|at| (at, &at.value)) else {
        return;
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || PATH_SIGNS.contains(c);
    if !path.starts_with('/') || !path.chars().all(fits) {
        let message = format!("`{path}` is not the path of a URL");
        let help = "begin with `/`, percent-encode what is not a letter, digit or sign of a path, e.g. /healthz";
        faults.push(at.error(message, help));
    }
}

fn check_advert_interval(balancer: &LoadBalancerFile, faults: &mut Vec<Fault>) {
    let Some(interval) = &balancer.advert_interval_ms else {
        return;
    };
    if !ADVERT_MS.contains(&interval.value) || interval.value % 10 != 0 {
        let message = format!("{} ms is not a valid VRRP interval", interval.value);
        let help =
            "write 10ms to 40950ms in steps of 10ms; 100ms moves the VIP in under half a second";
        faults.push(interval.error(message, help));
    }
}

fn check_router_id(balancer: &LoadBalancerFile, faults: &mut Vec<Fault>) {
    let id = balancer.router_id.iter();
    let odd = id.filter(|id| !ROUTER_IDS.contains(&id.value));
    faults.extend(odd.map(|id| {
        let message = format!("{} is not a virtual router id", id.value);
        let help = "write a number from 1 to 255 that no other VRRP router of this network has; left out, one is made of the cluster's \
                    name and VIP";
        id.error(message, help)
    }));
}

fn check_track(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let of_nodes = file
        .entries()
        .iter()
        .filter_map(|node| node.interface.as_ref());
    let of_vip = &file.endpoint.interface;
    let own = file.network.interface.iter().chain(of_nodes);
    let own: Vec<_> = own.chain(of_vip).collect();
    for (i, name) in file.load_balancer.track.iter().enumerate() {
        check_interface_name(name, faults);
        let mut before = own.iter().copied().chain(&file.load_balancer.track[..i]);
        if let Some(first) = before.find(|first| first.value == name.value) {
            let message = format!("`{}` is tracked already", name.value);
            let fault = name.error(message, "name each further interface once");
            faults.push(match first.given {
                true => fault.also(first.place, first.path.clone()),
                false => fault,
            });
        }
    }
}
