//! Ports: haproxy binds every address of a control plane, so its ports meet everything else that listens there.

use std::ops::RangeInclusive;

use super::kubeadm::node_port_range;
use super::names::check_dns_label;
use crate::diagnostic::{Fault, Place};
use crate::file::{ClusterFile, Spanned};
use ha_wire::kubernetes::{APISERVER_PORT, ETCD_CLIENT_PORT};

/// So many of [`TAKEN`] do without Kubernetes.
const OF_EVERY_MACHINE: usize = 2;
/// What listens on a control plane already, and where that comes from.
const TAKEN: [(u16, &str); 13] = [
    (22, "sshd"),
    (53, "systemd-resolved"),
    (ETCD_CLIENT_PORT, "etcd's clients"),
    (2380, "etcd's peers"),
    (2381, "etcd's metrics"),
    (APISERVER_PORT, "the apiserver"),
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
    if balancer.is_external() {
        // No haproxy meets anything: the balancer's port is one of its own machine.
        file.endpoint
            .port
            .iter()
            .for_each(|port| check_not_zero(port, faults));
        return;
    }
    let given = node_port_range(file);
    let (node_ports, given) = given.map_or((NODE_PORTS, None), |(range, at)| (range, Some(at)));
    check_node_port_range(&node_ports, given, faults);
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

fn check_taken(port: &Spanned<u16>, file: &ClusterFile, faults: &mut Vec<Fault>) {
    let (taken, whose) = match file.has_balancer_machines() {
        true => (&TAKEN[..OF_EVERY_MACHINE], "its machine"),
        false => (&TAKEN[..], "a control plane"),
    };
    if let Some((_, who)) = taken.iter().find(|(taken, _)| *taken == port.value) {
        let message = format!(
            "{} is used by {who}: haproxy binds every address of {whose}",
            port.value
        );
        faults.push(port.error(
            message,
            "choose a free port, e.g. 6444 for the API, 8404 for statistics",
        ));
    }
}

/// Services are not to be given what something else listens on: kube-proxy takes the packets first.
fn check_node_port_range(
    range: &RangeInclusive<u16>,
    given: Option<Place>,
    faults: &mut Vec<Fault>,
) {
    let taken = TAKEN.iter().find(|(port, _)| range.contains(port));
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
