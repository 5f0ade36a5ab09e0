//! What the guides' options add, each with each other where one text has them both.

use std::net::Ipv4Addr;

use ha_wire::node::NodeFile;
use ha_wire::settings::{Balance, ExtraPort, PortCheck, Stats, Timeouts, Vrrp};
use serde_json::json;

use super::{
    Seat, apply_axis, distinct_texts, json_object, node_at_seat, of_both_kinds,
    rendered_kubeadm_files,
};
use crate::render::testing::{extra_port, of_both, of_ipv6};
use crate::render::{haproxy, keepalived, validators};
use crate::testing;

/// The page's address, and whether it asks who wants it.
const STATS: [Option<(Page, bool)>; 4] = [
    None,
    Some((Page::Loopback, true)),
    Some((Page::Everywhere, true)),
    Some((Page::Vip, false)),
];
/// The balancer's port at the VIP, and the apiservers'.
const API_PORTS: [(u16, u16); 2] = [(6444, 6443), (6443, 6444)];
/// A port of the VIP, and the nodes': another one, and the same.
const TARGETS: [(u16, u16); 2] = [(443, 30443), (8132, 8132)];
const TIMEOUTS_MS: [Option<(u32, u32, u32)>; 2] = [None, Some((86_400_000, 90_000, 1500))];
const BOTH: [bool; 2] = [false, true];

/// Where the statistics page is.
#[derive(Debug, Clone, Copy)]
enum Page {
    Loopback,
    Everywhere,
    Vip,
}

fn extra_ports() -> Vec<Option<ExtraPort>> {
    let checks = [
        PortCheck::Tcp,
        PortCheck::Tls,
        PortCheck::Http {
            path: "/healthz".into(),
        },
    ];
    let mut all = vec![None];
    for (check, (port, target)) in checks.iter().flat_map(|c| TARGETS.map(|t| (c, t))) {
        for balance in [Balance::Leastconn, Balance::Roundrobin] {
            let check = check.clone();
            let plain = extra_port("web", port, target);
            all.push(Some(ExtraPort {
                check,
                balance,
                ..plain
            }));
        }
    }
    all
}

fn stats_page(node: &NodeFile, page: Page) -> Stats {
    let plain = Stats::on_loopback(9000);
    let address = match page {
        Page::Loopback => plain.address,
        Page::Everywhere => Ipv4Addr::UNSPECIFIED.into(),
        Page::Vip => node.endpoint.vip,
    };
    Stats { address, ..plain }
}

/// Everything that haproxy is told but for who its servers are.
fn haproxy_nodes() -> impl Iterator<Item = NodeFile> {
    let extra_ports = extra_ports();
    let first = node_at_seat(3, Seat::Founder).into_iter();
    let nodes = apply_axis(first.collect(), &API_PORTS, |n, ports| {
        (n.endpoint.port, n.endpoint.apiserver_port) = ports;
    });
    let nodes = apply_axis(nodes, &TIMEOUTS_MS, |n, timeouts| {
        if let Some((client_ms, server_ms, tunnel_ms)) = timeouts {
            n.load_balancer.timeouts = Timeouts {
                client_ms,
                server_ms,
                tunnel_ms,
            };
        }
    });
    let every: Vec<usize> = (0..extra_ports.len()).collect();
    let nodes = apply_axis(nodes, &every, move |n, at| {
        n.load_balancer.extra_ports = extra_ports[at].iter().cloned().collect();
    });
    let nodes = of_both_kinds(nodes.into_iter()).collect();
    // The VIP's page is of its family.
    let nodes = apply_axis(nodes, &STATS, |n, stats| {
        n.load_balancer.stats = stats.map(|(at, asks)| Stats {
            user: asks.then(|| "ops".into()),
            ..stats_page(n, at)
        });
    });
    nodes.into_iter()
}

#[test]
fn haproxy_takes_every_option() {
    let told = haproxy_nodes();
    let texts = distinct_texts(told.map(|n| (haproxy::render_config(&n, &n.control_planes), n)));
    let checks_and_targets = 1 + 3 * TARGETS.len() * 2;
    let settings = API_PORTS.len() * TIMEOUTS_MS.len() * STATS.len();
    assert_eq!(texts.len(), 2 * checks_and_targets * settings);
    validators::assert_haproxy_accepts(&texts);
}

#[test]
fn keepalived_takes_every_option() {
    // One alone, the first and the last of three, and a machine that only balances.
    let seats = [
        node_at_seat(1, Seat::Founder),
        node_at_seat(3, Seat::Founder),
        node_at_seat(3, Seat::Follower),
        Some(testing::balancer_machine()),
    ];
    let (some, ways) = (seats.len(), [Vrrp::Unicast, Vrrp::Multicast]);
    let nodes = apply_axis(seats.into_iter().flatten().collect(), &ways, |n, vrrp| {
        n.load_balancer.vrrp = vrrp;
    });
    let nodes = apply_axis(nodes, &[&[][..], &["eth1", "eth2"]], |n, track| {
        n.load_balancer.track = track.iter().map(|&name| name.to_owned()).collect();
    });
    let nodes = apply_axis(nodes, &[None, Some("vlan20")], |n, interface| {
        n.endpoint.interface = interface.map(str::to_owned);
    });
    let nodes = apply_axis(nodes, &[1, 51, 255], |n, vrid| n.vrid = vrid);
    let count = nodes.len();
    let nodes = of_both_kinds(nodes.into_iter());
    let texts = distinct_texts(nodes.map(|n| (keepalived::render_config(&n), n)));
    // One alone has nobody to speak with: its two ways of speaking are one text.
    assert_eq!(texts.len(), 2 * (count - count / some / 2));
    validators::assert_keepalived_accepts(&texts);
}

#[test]
fn kubeadm_takes_every_option() {
    let seats = [
        node_at_seat(3, Seat::Founder),
        node_at_seat(3, Seat::Worker),
    ];
    let nodes = apply_axis(seats.into_iter().flatten().collect(), &API_PORTS, |n, p| {
        (n.endpoint.port, n.endpoint.apiserver_port) = p;
    });
    let nodes = apply_axis(nodes, &BOTH, |n, named| {
        n.endpoint.name = named.then(|| "k8s-api.example.org".into());
    });
    let nodes = apply_axis(nodes, &BOTH, |n, external| {
        if external {
            let member = |i| format!("https://10.103.1.10{i}:2379");
            n.kubernetes.external_etcd = (1..=3).map(member).collect();
        }
    });
    let nodes = apply_axis(nodes, &BOTH, |n, given| {
        n.untainted = given && n.is_control_plane();
        if given {
            n.kubernetes.timeouts =
                json_object(json!({"controlPlaneComponentHealthCheck": "8m0s"}));
        }
    });
    let families = nodes.into_iter().flat_map(|node| {
        let v6 = of_ipv6(node.clone());
        [of_both(node.clone()), of_both(v6.clone()), v6, node]
    });
    let texts = distinct_texts(families.flat_map(|n| {
        let files = rendered_kubeadm_files(&n);
        files.into_iter().map(move |text| (text, n.clone()))
    }));
    validators::assert_kubeadm_accepts(&texts);
}
