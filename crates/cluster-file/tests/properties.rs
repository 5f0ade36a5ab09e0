//! What holds for every input.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ha_cluster_file::fuzzing::cluster_text;
use ha_wire::node::{Founder, NodeFile, NodeKubernetes, Peer};
use ha_wire::phase::Role;
use ha_wire::settings::Endpoint;
use ha_wire::settings::{
    Balance, BalancerImages, Cni, Cri, ExtraPort, Hooks, KubeProxy, LbMode, LoadBalancer,
    PortCheck, Stats, Taint, Timeouts, Vrrp,
};
use ipnet::{IpNet, Ipv4Net};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const EVERY_KEY: &str = include_str!("good/every-key.yaml");

/// Pieces that cluster files are made of, in no good order.
fn yaml_pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("name: ".to_owned()),
        Just("kubernetes: ".to_owned()),
        Just("endpoint: {vip: ".to_owned()),
        Just("nodes:\n  - {".to_owned()),
        Just("<<: *a ".to_owned()),
        Just("&a ".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("- ".to_owned()),
        Just(": ".to_owned()),
        Just("? ".to_owned()),
        Just("| \n".to_owned()),
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("!x ".to_owned()),
        Just("---\n".to_owned()),
        "[a-z0-9./-]{0,8}",
        "\\PC{0,4}",
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// The full file with a few characters taken out, put in or doubled.
fn mutated_examples() -> impl Strategy<Value = String> {
    let cut = (
        0..EVERY_KEY.len(),
        0_usize..12,
        "[ a-z0-9:{}\\[\\],\"'\n*&#~-]{0,6}",
    );
    vec(cut, 1..5).prop_map(|cuts| {
        let mut text = EVERY_KEY.to_owned();
        for (at, length, new) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &new);
        }
        text
    })
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits)))
}

fn any_network() -> impl Strategy<Value = IpNet> {
    (any::<u32>(), 8_u8..30)
        .prop_map(|(bits, prefix)| IpNet::V4(Ipv4Net::new(bits.into(), prefix).unwrap().trunc()))
}

fn any_settings() -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
    let value = prop_oneof![
        any::<i64>().prop_map(Into::into),
        any::<bool>().prop_map(Into::into),
        "\\PC{0,9}".prop_map(Into::into)
    ];
    btree_map("[a-zA-Z]{1,9}", value, 0..4)
        .prop_map(|map: BTreeMap<String, serde_json::Value>| map.into_iter().collect())
}

fn any_cni() -> impl Strategy<Value = Cni> {
    prop_oneof![
        (
            "[0-9.]{1,9}",
            proptest::option::of("\\PC{1,20}"),
            any_settings()
        )
            .prop_map(|(version, chart, values)| Cni::Cilium {
                version,
                chart,
                values
            }),
        vec("\\PC{1,20}", 0..4).prop_map(|sources| Cni::Manifests { sources }),
        Just(Cni::None),
    ]
}

fn any_balancer() -> impl Strategy<Value = LoadBalancer> {
    let extra =
        ("[a-z]{1,9}", any::<u16>(), any::<u16>()).prop_map(|(name, port, target)| ExtraPort {
            name,
            port,
            target,
            check: PortCheck::Http { path: "/".into() },
            balance: Balance::default(),
        });
    let stats =
        (any_address(), any::<u16>(), any::<Option<bool>>()).prop_map(|(address, port, some)| {
            Stats {
                address,
                port,
                user: some.map(|_| "admin".into()),
                password_file: some.map(|_| "/base/password".into()),
            }
        });
    let times = (any::<u32>(), any::<u32>(), any::<Option<u8>>());
    (proptest::option::of(stats), vec(extra, 0..3), times).prop_map(
        |(stats, extra_ports, (advert_interval_ms, tunnel_ms, router_id))| LoadBalancer {
            mode: LbMode::Native,
            stats,
            extra_ports,
            advert_interval_ms,
            timeouts: Timeouts {
                tunnel_ms,
                ..Timeouts::default()
            },
            vrrp: Vrrp::Multicast,
            router_id,
            track: vec!["eth1".into()],
            images: router_id.map(|_| BalancerImages {
                keepalived: "a".into(),
                haproxy: "b".into(),
            }),
        },
    )
}

fn any_kubernetes() -> impl Strategy<Value = NodeKubernetes> {
    let cri = prop_oneof![Just(Cri::Containerd), Just(Cri::Crio)];
    let proxy = prop_oneof![
        Just(KubeProxy::None),
        Just(KubeProxy::Ipvs),
        Just(KubeProxy::Nftables)
    ];
    (
        any_network(),
        any_network(),
        cri,
        proxy,
        vec("\\PC{1,9}", 0..3),
        any_settings(),
        any_settings(),
    )
        .prop_map(
            |(
                pod_cidr,
                service_cidr,
                cri,
                proxy,
                cert_sans,
                kubelet_config,
                cluster_configuration,
            )| NodeKubernetes {
                version: "1.36.3".to_owned(),
                pod_cidr,
                service_cidr,
                cri,
                proxy,
                cert_sans,
                kubelet_config,
                cluster_configuration,
                timeouts: serde_json::Map::new(),
                external_etcd: Vec::new(),
            },
        )
}

fn any_node_file() -> impl Strategy<Value = NodeFile> {
    let taint = ("[a-z]{1,9}", "[a-z]{0,9}").prop_map(|(key, value)| Taint {
        key,
        value,
        effect: "NoExecute".to_owned(),
    });
    let peer = ("[a-z]{1,9}", any_address()).prop_map(|(name, address)| Peer { name, address });
    let place = (
        any_address(),
        any_address(),
        any::<u16>(),
        any::<u16>(),
        any::<u8>(),
        any::<Option<u64>>(),
        any::<bool>(),
    );
    let lists = (
        vec(peer, 0..4),
        btree_map("[a-z/]{1,9}", "\\PC{0,9}", 0..4),
        vec(taint, 0..3),
        vec("\\PC{0,9}", 0..3),
    );
    (place, lists, any_balancer(), any_kubernetes(), any_cni()).prop_map(
        |(place, lists, load_balancer, kubernetes, cni)| {
            let (
                (address, vip, port, apiserver_port, vrid, founder, worker),
                (control_planes, labels, taints, hooks),
            ) = (place, lists);
            NodeFile {
                version: ha_wire::node::VERSION,
                cluster: "demo".to_owned(),
                name: "node1".to_owned(),
                role: if worker {
                    Role::Worker
                } else {
                    Role::ControlPlane
                },
                address,
                prefix: 24,
                secondary: None,
                interface: "eth0".to_owned(),
                founder: founder.map(|until| Founder { until }),
                control_planes,
                balancers: Vec::new(),
                endpoint: Endpoint {
                    vip,
                    interface: None,
                    port,
                    apiserver_port,
                    name: None,
                    further_addresses: Vec::new(),
                },
                load_balancer,
                vrid,
                kubernetes,
                cni,
                labels,
                label_signature: None,
                annotations: [].into(),
                taints,
                untainted: false,
                kubelet_config: serde_json::Map::new(),
                hooks: Hooks {
                    before_join: hooks.clone(),
                    after_ready: Vec::new(),
                },
                report: hooks,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        cluster_text(&text);
    }

    #[test]
    fn no_yaml_panics(text in yaml_pieces()) {
        cluster_text(&text);
    }

    #[test]
    fn no_slip_of_the_finger_panics(text in mutated_examples()) {
        cluster_text(&text);
    }

    #[test]
    fn addresses_make_sense_or_are_refused(vip in 0_u8..=255, nodes in vec((0_u8..3, 0_u8..=255), 1..5), prefix in 6_u8..34) {
        let mut text = format!("name: a\nkubernetes: {{version: 1.36.3}}\nendpoint: {{vip: 10.77.1.{vip}}}\nnetwork: {{prefix: {prefix}}}\nnodes:\n");
        for (i, (third, fourth)) in nodes.iter().enumerate() {
            text += &format!("  - {{name: n{i}, role: control-plane, address: 10.77.{third}.{fourth}}}\n");
        }
        cluster_text(&text);
    }

    #[test]
    fn a_node_file_comes_back_as_it_went(node in any_node_file()) {
        let text = serde_json::to_string(&node).unwrap();
        prop_assert_eq!(NodeFile::parse(&text).unwrap(), node);
    }
}
