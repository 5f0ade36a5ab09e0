//! Every combination that the cluster file allows, rendered. Each distinct text then goes once through the program that
//! reads it. Tests only.
//!
//! The axes are walked in two products, because no renderer reads both halves:
//! - the balancer's (keepalived.conf, haproxy.cfg): control planes, seat, statistics, extra ports, advert interval,
//!   interface, prefix;
//! - Kubernetes' (kubeadm's files, Cilium's values): seat, runtime, kube-proxy, pod network, cgroups, connection table,
//!   the user's own settings, labels and taints.
//!
//! `the_halves_do_not_meet` holds them to it. What the guides' options add is walked in `options`.

use std::net::{IpAddr, Ipv4Addr};

use ha_wire::node::{Founder, NodeFile, Peer};
use ha_wire::phase::Role;
use ha_wire::settings::{Cni, Cri, KubeProxy, Stats, Taint};
use serde_json::{Map, Value, json};

use super::kubeadm::MachineTraits;
use super::testing::{extra_port, of_both, of_ipv6};
use super::validators::{self, Texts};
use super::{cilium, haproxy, keepalived, kubeadm};
use crate::testing;

mod options;

/// How many control planes a cluster may have without a warning.
const CONTROL_PLANES: [usize; 4] = [1, 3, 5, 7];
/// Shortest, default, and longest that VRRPv3 can say.
const ADVERTS_MS: [u32; 3] = [10, 100, 40_950];
/// The default, and the longest name that a kernel takes.
const INTERFACES: [&str; 2] = ["eth0", "enx0123456789ab"];
/// Shortest, most used, longest.
const PREFIXES: [u8; 3] = [8, 24, 29];
const STATS: [Option<u16>; 2] = [None, Some(8404)];
const EXTRA_PORTS: [&[(&str, u16, u16)]; 3] = [
    &[],
    &[("http", 80, 30080)],
    &[("http", 80, 30080), ("https", 443, 30443)],
];
const SEATS: [Seat; 3] = [Seat::Founder, Seat::Follower, Seat::Worker];
const PROXIES: [KubeProxy; 4] = [
    KubeProxy::None,
    KubeProxy::Iptables,
    KubeProxy::Ipvs,
    KubeProxy::Nftables,
];
const BOTH: [bool; 2] = [false, true];
const TOKEN: &str = "abcdef.0123456789abcdef";

/// A node's place in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    /// The first control plane, permitted to found.
    Founder,
    /// The last control plane, where there is more than one.
    Follower,
    Worker,
}

/// A node at this seat of a cluster with so many control planes.
fn node_at_seat(control_planes: usize, seat: Seat) -> Option<NodeFile> {
    let address = |n: usize| IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + n as u8));
    let name = |n: usize| format!("node{n}");
    let number = match seat {
        Seat::Founder => 1,
        Seat::Follower if control_planes == 1 => return None,
        Seat::Follower => control_planes,
        Seat::Worker => control_planes + 1,
    };
    let mut node = testing::worker();
    (node.name, node.address) = (name(number), address(number));
    if seat != Seat::Worker {
        node.role = Role::ControlPlane;
    }
    node.founder = (seat == Seat::Founder).then_some(Founder {
        until: 4_000_000_000,
    });
    let peer = |n| Peer {
        name: name(n),
        address: address(n),
    };
    node.control_planes = (1..=control_planes).map(peer).collect();
    Some(node)
}

/// The items of one axis, each applied to a copy of each node so far.
fn apply_axis<A: Copy>(
    nodes: Vec<NodeFile>,
    axis: &[A],
    apply: impl Fn(&mut NodeFile, A),
) -> Vec<NodeFile> {
    let with = |node: &NodeFile, item| {
        let mut node = node.clone();
        apply(&mut node, item);
        node
    };
    nodes
        .iter()
        .flat_map(|node| axis.iter().map(move |item| (node, *item)))
        .map(|(node, item)| with(node, item))
        .collect()
}

/// Every seat of every size, and every setting of the load balancer and the network.
fn all_balancer_nodes() -> Vec<NodeFile> {
    let sizes = CONTROL_PLANES.into_iter();
    let nodes = sizes.flat_map(|size| {
        SEATS
            .into_iter()
            .filter_map(move |seat| node_at_seat(size, seat))
    });
    let nodes = apply_axis(nodes.collect(), &STATS, |n, stats| {
        n.load_balancer.stats = stats.map(Stats::on_loopback);
    });
    let nodes = apply_axis(nodes, &EXTRA_PORTS, |n, extra| {
        let port = |&(name, port, target): &(&str, u16, u16)| extra_port(name, port, target);
        n.load_balancer.extra_ports = extra.iter().map(port).collect();
    });
    let nodes = apply_axis(nodes, &ADVERTS_MS, |n, ms| {
        n.load_balancer.advert_interval_ms = ms;
    });
    let nodes = apply_axis(nodes, &INTERFACES, |n, name| n.interface = name.into());
    apply_axis(nodes, &PREFIXES, |n, prefix| n.prefix = prefix)
}

/// Every seat, and everything that Kubernetes is told.
fn all_kubernetes_nodes() -> Vec<NodeFile> {
    let sizes = [1, 3].into_iter();
    let nodes = sizes.flat_map(|size| {
        SEATS
            .into_iter()
            .filter_map(move |seat| node_at_seat(size, seat))
    });
    let nodes = apply_axis(nodes.collect(), &[Cri::Containerd, Cri::Crio], |n, cri| {
        n.kubernetes.cri = cri;
    });
    let nodes = apply_axis(nodes, &PROXIES, |n, proxy| n.kubernetes.proxy = proxy);
    let nodes = apply_axis(nodes, &[0, 1, 2], |n, kind| n.cni = pod_network(kind));
    let nodes = apply_axis(nodes, &BOTH, |n, given| {
        if given {
            n.kubernetes.kubelet_config = json_object(json!({
                "maxPods": 200, "failSwapOn": true, "evictionHard": {"memory.available": "5%"},
            }));
        }
    });
    let nodes = apply_axis(nodes, &BOTH, |n, given| {
        if given {
            n.kubernetes.cert_sans = vec!["k8s.example.org".into(), "192.0.2.7".into()];
            n.kubernetes.cluster_configuration = json_object(json!({
                "apiServer": {"extraArgs": [{"name": "audit-log-maxage", "value": "7"}]},
                "networking": {"dnsDomain": "demo.local"},
            }));
        }
    });
    apply_axis(nodes, &BOTH, |n, given| {
        if given {
            n.labels.insert("disk".into(), "ssd".into());
            n.taints = vec![Taint {
                key: "db".into(),
                value: "only".into(),
                effect: "NoExecute".into(),
            }];
        }
    })
}

fn pod_network(kind: usize) -> Cni {
    match kind {
        0 => Cni::Cilium {
            version: "1.18.1".into(),
            chart: None,
            values: json_object(json!({"hubble": {"enabled": true}})),
        },
        1 => Cni::Manifests {
            sources: vec!["00-net.yaml".into()],
        },
        _ => Cni::None,
    }
}

fn json_object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn machine_variants() -> impl Iterator<Item = MachineTraits> {
    let machine = |cgroup_v2, owns_conntrack| MachineTraits {
        cgroup_v2,
        owns_conntrack,
        owns_disk: owns_conntrack,
        // Its three words are in the golden files.
        emulated: !cgroup_v2,
    };
    BOTH.into_iter()
        .flat_map(move |v2| BOTH.into_iter().map(move |owns| machine(v2, owns)))
}

/// kubeadm's files for this node: `init` where it may found, `join` always.
fn rendered_kubeadm_files(node: &NodeFile) -> Vec<String> {
    let founds = node.founder.is_some();
    let inits = machine_variants().filter(|_| founds);
    inits
        .map(|machine| kubeadm::init_config(node, machine, Some(TOKEN), &["show-join-command"]))
        .chain(
            machine_variants()
                .take(1)
                .map(|machine| kubeadm::join_config(node, machine, &["etcd-join"])),
        )
        .collect()
}

/// Each distinct text, named by its number and the first node that has it.
fn distinct_texts(all: impl Iterator<Item = (String, NodeFile)>) -> Texts {
    let mut seen = std::collections::HashSet::new();
    let new = all.filter(|(text, _)| seen.insert(text.clone()));
    let named = new.enumerate().map(|(at, (text, node))| {
        let node = serde_json::to_string(&node).unwrap();
        (format!("text {at} of {node}"), text)
    });
    named.collect()
}

/// With IPv4, and with IPv6 alone.
fn of_both_kinds(nodes: impl Iterator<Item = NodeFile>) -> impl Iterator<Item = NodeFile> {
    nodes.flat_map(|node| [of_ipv6(node.clone()), node])
}

fn only_control_planes(nodes: Vec<NodeFile>) -> impl Iterator<Item = NodeFile> {
    nodes.into_iter().filter(NodeFile::is_control_plane)
}

#[test]
fn haproxy_takes_every_text() {
    let texts = distinct_texts(
        of_both_kinds(only_control_planes(all_balancer_nodes()))
            .map(|n| (haproxy::render_config(&n, &n.control_planes), n)),
    );
    // Four sizes; the seats of a size share one text.
    assert_eq!(texts.len(), 2 * 4 * STATS.len() * EXTRA_PORTS.len());
    validators::assert_haproxy_accepts(&texts);
}

#[test]
fn keepalived_takes_every_text() {
    let nodes = of_both_kinds(only_control_planes(all_balancer_nodes()));
    let texts = distinct_texts(nodes.map(|n| (keepalived::render_config(&n), n)));
    assert_eq!(texts.len(), 2 * 7 * ADVERTS_MS.len() * INTERFACES.len());
    validators::assert_keepalived_accepts(&texts);
}

/// The labels' and taints' share is the same code in `init` and `join`: only joins are walked with them.
#[test]
fn kubeadm_takes_every_text() {
    let nodes = all_kubernetes_nodes().into_iter();
    let nodes = nodes.filter(|n| n.founder.is_none() || n.labels.is_empty());
    let texts = distinct_texts(nodes.flat_map(|n| {
        let files = rendered_kubeadm_files(&n);
        files.into_iter().map(move |text| (text, n.clone()))
    }));
    // Runtimes x (no kube-proxy, or a mode) x container or not x cgroups x the user's two settings.
    let inits = 2 * (1 + 3) * 2 * 2 * 2 * 2;
    assert!(
        texts.len() > inits && texts.len() < inits + 50,
        "{}",
        texts.len()
    );
    validators::assert_kubeadm_accepts(&texts);
}

#[test]
fn the_halves_do_not_meet() {
    let base = node_at_seat(3, Seat::Founder).unwrap();
    let balancer = |n: &NodeFile| {
        (
            haproxy::render_config(n, &n.control_planes),
            keepalived::render_config(n),
        )
    };
    for other in all_kubernetes_nodes() {
        let mut same = base.clone();
        (same.kubernetes, same.cni) = (other.kubernetes, other.cni);
        (same.labels, same.taints) = (other.labels, other.taints);
        assert_eq!(balancer(&same), balancer(&base));
    }
    // keepalived and haproxy are of the VIP's family, whatever there is beside it.
    for one in [base.clone(), of_ipv6(base.clone())] {
        assert_eq!(balancer(&of_both(one.clone())), balancer(&one));
    }
    for other in all_balancer_nodes() {
        let mut same = base.clone();
        (same.load_balancer, same.interface) = (other.load_balancer, other.interface);
        (same.prefix, same.control_planes) = (other.prefix, other.control_planes);
        assert_eq!(rendered_kubeadm_files(&same), rendered_kubeadm_files(&base));
    }
}

#[test]
fn every_balancer_is_right() {
    for node in only_control_planes(all_balancer_nodes()) {
        let text = haproxy::render_config(&node, &node.control_planes);
        assert_eq!(haproxy::parse_servers(&text), node.control_planes);
        let lb = &node.load_balancer;
        let count = |word: &str| text.matches(word).count();
        assert_eq!(count("\n    bind :"), 1 + lb.extra_ports.len(), "{text}");
        assert_eq!(count("bind 127.0.0.1:"), usize::from(lb.stats.is_some()));
        // Each apiserver twice: checked, and as a last resort.
        let servers = node.control_planes.len() * (2 + lb.extra_ports.len());
        assert_eq!(count("\n    server "), servers, "{text}");
        for extra in &lb.extra_ports {
            let target = format!(":{} check", extra.target);
            assert_eq!(count(&target), node.control_planes.len(), "{text}");
        }
        every_router_is_right(&node);
    }
}

fn every_router_is_right(node: &NodeFile) {
    let text = keepalived::render_config(node);
    let value = |key: &str| {
        let mut lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key));
        let value = lines.next().unwrap();
        assert_eq!(lines.next(), None, "{key} twice: {text}");
        value.trim().to_owned()
    };
    let seconds: f64 = value("advert_int").parse().unwrap();
    let ms = (seconds * 1000.0).round() as u32;
    assert_eq!(ms, node.load_balancer.advert_interval_ms);
    assert_eq!(value("interface"), node.interface);
    let priority: u8 = value("priority").parse().unwrap();
    assert!((1..255).contains(&priority), "255 is the owner's: {text}");
    assert_eq!(value("virtual_router_id"), node.vrid.to_string());
    let block = text.split_once("unicast_peer {\n");
    let peers: Vec<IpAddr> = block
        .map(|(_, rest)| rest.lines().map_while(|l| l.trim().parse().ok()).collect())
        .unwrap_or_default();
    assert_eq!(peers, node.peers().map(|p| p.address).collect::<Vec<_>>());
}

#[test]
fn every_kubeadm_file_is_right() {
    for node in all_kubernetes_nodes() {
        let files = rendered_kubeadm_files(&node);
        let (join, inits) = files.split_last().unwrap();
        join_is_right(&node, &json_documents(join));
        for (machine, text) in machine_variants().zip(inits) {
            let documents = json_documents(text);
            cluster_is_right(&node, &documents[1]);
            kubelet_is_right(&node, machine, &documents[2]);
            let proxy = documents.get(3);
            assert_eq!(proxy.is_none(), node.kubernetes.proxy == KubeProxy::None);
            let told = proxy.is_none_or(|p| p["conntrack"].is_null() == machine.owns_conntrack);
            assert!(told, "{text}");
        }
    }
}

fn json_documents(text: &str) -> Vec<Value> {
    let parts = text.split("---\n");
    parts.map(|d| serde_json::from_str(d).unwrap()).collect()
}

fn join_is_right(node: &NodeFile, documents: &[Value]) {
    let [join] = documents else {
        panic!("{documents:?}")
    };
    assert_eq!(join["controlPlane"].is_object(), node.is_control_plane());
    let registration = &join["nodeRegistration"];
    assert_eq!(registration["name"], node.name);
    assert_eq!(registration["criSocket"], node.kubernetes.cri.socket());
    let args = registration["kubeletExtraArgs"].to_string();
    assert!(args.contains(&node.address.to_string()), "{args}");
    assert_eq!(args.contains("disk=ssd"), !node.labels.is_empty(), "{args}");
    let taints = registration["taints"].as_array().map(Vec::len);
    // A list of one's own replaces kubeadm's, so that its own must be in it.
    let own = usize::from(node.is_control_plane());
    let wanted = (!node.taints.is_empty()).then_some(node.taints.len() + own);
    assert_eq!(taints, wanted);
}

fn cluster_is_right(node: &NodeFile, cluster: &Value) {
    let kubernetes = &node.kubernetes;
    assert_eq!(cluster["controlPlaneEndpoint"], "10.77.0.30:6444");
    assert_eq!(cluster["apiServer"]["certSANs"][0], "10.77.0.30");
    let sans = cluster["apiServer"]["certSANs"].as_array().map(Vec::len);
    assert_eq!(sans, Some(1 + kubernetes.cert_sans.len()));
    let disabled = kubernetes.proxy == KubeProxy::None;
    assert_eq!(cluster["proxy"]["disabled"], disabled);
    let networking = &cluster["networking"];
    assert_eq!(networking["podSubnet"], "10.244.0.0/16");
    let users_own = !kubernetes.cluster_configuration.is_empty();
    assert_eq!(networking["dnsDomain"].is_string(), users_own);
}

fn kubelet_is_right(node: &NodeFile, machine: MachineTraits, kubelet: &Value) {
    let driver = ["cgroupfs", "systemd"][usize::from(machine.cgroup_v2)];
    assert_eq!(kubelet["cgroupDriver"], driver);
    assert_eq!(kubelet["failCgroupV1"].is_null(), machine.cgroup_v2);
    let users_own = !node.kubernetes.kubelet_config.is_empty();
    assert_eq!(kubelet["maxPods"].is_null(), !users_own);
    assert_eq!(kubelet["failSwapOn"], users_own, "the user's word is last");
    let eviction = &kubelet["evictionHard"];
    let memory =
        [["", "100Mi"], ["5%", "5%"]][usize::from(users_own)][usize::from(!machine.owns_disk)];
    assert_eq!(
        eviction["memory.available"].as_str().unwrap_or_default(),
        memory
    );
    assert_eq!(eviction["nodefs.available"].is_null(), machine.owns_disk);
}

#[test]
fn every_pod_network_is_right() {
    for node in all_kubernetes_nodes() {
        let Cni::Cilium { values, .. } = &node.cni else {
            continue;
        };
        let values: Value = serde_json::from_str(&cilium::render_values(&node, values)).unwrap();
        let replaces = node.kubernetes.proxy == KubeProxy::None;
        assert_eq!(values["kubeProxyReplacement"], replaces);
        assert_eq!(values["k8sServiceHost"], "10.77.0.30");
        let operators = node.control_planes.len().min(2);
        assert_eq!(values["operator"]["replicas"], operators);
        assert_eq!(values["hubble"]["enabled"], true, "the user's word is last");
    }
}
