//! Ports: haproxy binds every address of a control plane, so its ports meet everything else that listens there.

use std::ops::RangeInclusive;

use super::kubeadm::node_port_range;
use super::names::check_dns_label;
use crate::diagnostic::{Fault, Place};
use crate::file::{ClusterFile, Spanned};
use ha_wire::kubernetes::ETCD_CLIENT_PORT;

/// So many of [`TAKEN`] do without Kubernetes.
const OF_EVERY_MACHINE: usize = 2;
/// What listens on a control plane beside its apiserver, and where that comes from.
const TAKEN: [(u16, &str); 12] = [
    (22, "sshd"),
    (53, "systemd-resolved"),
    (ETCD_CLIENT_PORT, "etcd's clients"),
    (2380, "etcd's peers"),
    (2381, "etcd's metrics"),
    (10248, "the kubelet's health"),
    (10249, "kube-proxy's metrics"),
    (10250, "the kubelet"),
    (10255, "the kubelet's read-only port"),
    (10256, "kube-proxy's health"),
    (10257, "the controller manager"),
    (10259, "the scheduler"),
];
/// Kubernetes' default range; kube-proxy takes packets to it before haproxy sees them.
const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;

pub(super) fn check_ports(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let balancer = &file.load_balancer;
    check_apiserver_port(file, faults);
    if balancer.is_external() {
        // No haproxy meets anything: the balancer's port is one of its own machine.
        file.endpoint
            .port
            .iter()
            .for_each(|port| check_not_zero(port, faults));
        return;
    }
    let (node_ports, given) = node_ports(file);
    check_node_port_range(&node_ports, given, file, faults);
    let mut seen: Vec<&Spanned<u16>> = Vec::new();
    let extra = balancer
        .extra_ports
        .iter()
        .filter_map(|extra| extra.port.as_ref());
    let stats = balancer.stats.as_ref().and_then(|page| page.port.as_ref());
    for port in file.endpoint.port.iter().chain(stats).chain(extra) {
        check_taken(port, file, faults);
        if !file.has_balancer_machines() {
            check_node_ports(port, &node_ports, given, faults);
        }
        check_clash(port, &seen, faults);
        check_not_zero(port, faults);
        seen.push(port);
    }
    check_extra_ports(file, faults);
}

/// An apiserver listens on every address of its control plane, as haproxy does.
fn check_apiserver_port(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(port) = &file.endpoint.apiserver_port else {
        return;
    };
    check_not_zero(port, faults);
    if let Some((_, who)) = TAKEN.iter().find(|(taken, _)| *taken == port.value) {
        let message = format!("{} is used by {who} on a control plane", port.value);
        faults.push(port.error(
            message,
            "leave it out: 6443; or choose a free port, e.g. 6444",
        ));
    }
    let (range, given) = node_ports(file);
    // A range of the user's own is told of what it holds.
    if given.is_none() {
        check_node_ports(port, &range, given, faults);
    }
}

fn check_taken(port: &Spanned<u16>, file: &ClusterFile, faults: &mut Vec<Fault>) {
    let is_machine = file.has_balancer_machines();
    let (taken, whose) = match is_machine {
        true => (&TAKEN[..OF_EVERY_MACHINE], "its machine"),
        false => (&TAKEN[..], "a control plane"),
    };
    let apiserver = file.endpoint.apiserver_port.as_ref();
    let apiserver = apiserver.filter(|at| !is_machine && at.value == port.value);
    let other = taken.iter().find(|(taken, _)| *taken == port.value);
    let who = match (apiserver, other) {
        (Some(_), _) => "the apiserver",
        (None, Some((_, who))) => who,
        (None, None) => return,
    };
    let message = format!(
        "{} is used by {who}: haproxy binds every address of {whose}",
        port.value
    );
    let or = match apiserver {
        Some(_) => ", or move the apiservers: endpoint: {port: 6443, apiserverPort: 6444}",
        None => "",
    };
    let free = "choose a free port, e.g. 6444 for the API, 8404 for statistics";
    let fault = port.error(message, format!("{free}{or}"));
    faults.push(match apiserver.filter(|at| at.given) {
        Some(at) => fault.also(at.place, at.path.clone()),
        None => fault,
    });
}

/// The range of NodePort services, and where it is written.
fn node_ports(file: &ClusterFile) -> (RangeInclusive<u16>, Option<Place>) {
    node_port_range(file).map_or((NODE_PORTS, None), |(range, at)| (range, Some(at)))
}

/// Services are not to be given what something else listens on: kube-proxy takes the packets first.
fn check_node_port_range(
    range: &RangeInclusive<u16>,
    given: Option<Place>,
    file: &ClusterFile,
    faults: &mut Vec<Fault>,
) {
    let apiserver = file.endpoint.apiserver_port.as_ref();
    let apiserver = apiserver.map(|port| (port.value, "the apiserver"));
    let mut taken = TAKEN.into_iter().chain(apiserver);
    let taken = taken.find(|(port, _)| range.contains(port));
    if let (Some((port, who)), Some(at)) = (taken, given) {
        let (first, last) = (range.start(), range.end());
        let message = format!(
            "service-node-port-range {first}-{last} holds {port}, which is used by {who}: a service that gets it takes its packets"
        );
        let path = "kubernetes.clusterConfiguration.apiServer.extraArgs";
        let help = "begin above 10259, e.g. 30000-32767";
        faults.push(Fault::error(at, path, message, help));
    }
}

fn check_node_ports(
    port: &Spanned<u16>,
    range: &RangeInclusive<u16>,
    given: Option<Place>,
    faults: &mut Vec<Fault>,
) {
    let reported = TAKEN.iter().any(|(taken, _)| *taken == port.value);
    if !reported && range.contains(&port.value) {
        let message = format!(
            "{} is in the range of NodePort services, {} to {}",
            port.value,
            range.start(),
            range.end()
        );
        let help = "choose a port that no service can be given";
        let fault = port.error(message, help).warning();
        faults.push(match given {
            Some(at) => fault.also(at, "service-node-port-range"),
            None => fault,
        });
    }
}

fn check_clash(port: &Spanned<u16>, seen: &[&Spanned<u16>], faults: &mut Vec<Fault>) {
    if let Some(first) = seen.iter().find(|first| first.value == port.value) {
        let message = format!("{} is also {}", port.value, first.path);
        let fault = port.error(message, "give each of haproxy's ports a number of its own");
        faults.push(if first.given {
            fault.also(first.place, first.path.clone())
        } else {
            fault
        });
    }
}

fn check_not_zero(port: &Spanned<u16>, faults: &mut Vec<Fault>) {
    if port.value == 0 {
        faults.push(port.error("must not be 0", "write a number from 1 to 65535"));
    }
}

fn check_extra_ports(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let mut seen: Vec<&Spanned<String>> = Vec::new();
    for extra in &file.load_balancer.extra_ports {
        if let Some(name) = &extra.name {
            check_dns_label(name, faults);
            if let Some(first) = seen.iter().find(|first| first.value == name.value) {
                let message = format!("`{}` is already in use", name.value);
                faults.push(
                    name.error(message, "give each port a name of its own")
                        .also(first.place, "first here"),
                );
            }
            seen.push(name);
        }
        if let Some(target) = &extra.target {
            check_not_zero(target, faults);
        }
    }
}
