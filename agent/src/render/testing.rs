//! Golden files, and the nodes that renderers are tried on.

use std::net::IpAddr;
use std::path::PathBuf;

use ha_wire::node::{NodeFile, Secondary};
use ha_wire::settings::{Balance, BalancerImages, ExtraPort, PortCheck, Stats, Timeouts, Vrrp};

use crate::testing;

/// Set to write the golden files anew; look at the difference before you commit it.
const BLESS: &str = "HA_BLESS";

/// Compares with `tests/golden/NAME`, byte for byte.
pub fn assert_golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os(BLESS).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == want,
        "{} differs ({BLESS}=1 writes it anew); now:\n{text}",
        path.display()
    );
}

/// Every shape that the cluster file allows a balancer.
pub fn balancer_nodes() -> Vec<(&'static str, NodeFile)> {
    let mut alone = testing::founder();
    alone.control_planes.truncate(1);
    let mut full = testing::control_plane();
    full.load_balancer.stats = Some(Stats::on_loopback(8404));
    full.load_balancer.extra_ports = vec![
        extra_port("http", 80, 30080),
        extra_port("https", 443, 30443),
    ];
    full.load_balancer.advert_interval_ms = 1000;
    vec![
        ("three", testing::control_plane()),
        ("alone", alone.clone()),
        ("full", full),
        ("ipv6", of_ipv6(testing::control_plane())),
        ("ipv6-alone", of_ipv6(alone)),
        ("options", with_options()),
        ("machine", testing::balancer_machine()),
    ]
}

/// The balancers whose programs come from container images.
pub fn container_nodes() -> Vec<(&'static str, NodeFile)> {
    let image = |name: &str, digit: &str| {
        format!("registry.example.org/{name}@sha256:{}", digit.repeat(64))
    };
    let nodes = balancer_nodes().into_iter();
    let nodes = nodes.filter(|(name, _)| ["three", "options"].contains(name));
    let in_containers = |mut node: NodeFile| {
        node.load_balancer.images = Some(BalancerImages {
            keepalived: image("keepalived", "1"),
            haproxy: image("haproxy", "2"),
        });
        node
    };
    nodes
        .map(|(name, node)| (name, in_containers(node)))
        .collect()
}

/// The same node in a cluster of IPv6 alone.
pub fn of_ipv6(mut node: NodeFile) -> NodeFile {
    let own = |address: IpAddr| {
        let text = address.to_string();
        let host = text.rsplit('.').next().unwrap();
        format!("fd00:77::{host}").parse().unwrap()
    };
    (node.address, node.prefix) = (own(node.address), 64);
    node.endpoint.vip = own(node.endpoint.vip);
    for peer in node.control_planes.iter_mut().chain(&mut node.balancers) {
        peer.address = own(peer.address);
    }
    node.kubernetes.pod_cidr = "fd00:10:244::/56".parse().unwrap();
    node.kubernetes.service_cidr = "fd00:10:96::/112".parse().unwrap();
    node
}

/// The same node with the other family beside its own.
pub fn of_both(mut node: NodeFile) -> NodeFile {
    let v6 = node.address.is_ipv6();
    let other = |address: IpAddr| -> IpAddr {
        let text = address.to_string();
        let host = text.rsplit(['.', ':']).next().unwrap();
        let text = match v6 {
            true => format!("10.77.0.{host}"),
            false => format!("fd00:77::{host}"),
        };
        text.parse().unwrap()
    };
    let [pods, services] = match v6 {
        true => ["10.244.0.0/16", "10.96.0.0/12"],
        false => ["fd00:10:244::/56", "fd00:10:96::/112"],
    };
    let peers = node.control_planes.iter();
    node.secondary = Some(Secondary {
        address: other(node.address),
        prefix: if v6 { 24 } else { 64 },
        pod_cidr: pods.parse().unwrap(),
        service_cidr: services.parse().unwrap(),
        control_planes: peers.map(|peer| other(peer.address)).collect(),
    });
    node
}

/// Nothing of the balancer at its default.
fn with_options() -> NodeFile {
    let mut node = testing::control_plane();
    (node.endpoint.port, node.endpoint.apiserver_port) = (6443, 6444);
    let balancer = &mut node.load_balancer;
    balancer.stats = Some(Stats {
        address: [0, 0, 0, 0].into(),
        user: Some("admin".into()),
        ..Stats::on_loopback(9000)
    });
    let http = PortCheck::Http {
        path: "/healthz".into(),
    };
    balancer.extra_ports = vec![
        ExtraPort {
            check: PortCheck::Tls,
            balance: Balance::Roundrobin,
            ..extra_port("konnectivity", 8132, 8132)
        },
        ExtraPort {
            check: http,
            ..extra_port("web", 443, 30443)
        },
    ];
    balancer.timeouts = Timeouts {
        client_ms: 24 * 3_600_000,
        server_ms: 90_000,
        tunnel_ms: 1500,
    };
    node.endpoint.interface = Some("vlan20".into());
    let balancer = &mut node.load_balancer;
    (balancer.vrrp, balancer.track) = (Vrrp::Multicast, vec!["eth1".into(), "eth2".into()]);
    node
}

/// With nothing else said of it.
pub fn extra_port(name: &str, port: u16, target: u16) -> ExtraPort {
    ExtraPort {
        name: name.into(),
        port,
        target,
        check: PortCheck::default(),
        balance: Balance::default(),
    }
}
