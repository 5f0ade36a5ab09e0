use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use ha_wire::settings::{Cni, LbMode};

use super::*;
use crate::phases::preflight::addresses::AddressFault;
use crate::render::testing::of_both;
use crate::sys::cri::RuntimeAnswer;
use crate::testing;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A machine without a fault.
fn healthy_facts(node: &NodeFile) -> MachineFacts {
    let kernel = SYSCTLS
        .iter()
        .map(|(name, value, _)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let state = |unit: &str, state: &str| (unit.to_owned(), Ok(state.to_owned()));
    MachineFacts {
        now_ms: 2_000_000_000_000,
        certificates: vec![("ca.crt".into(), 1_000_000_000_000, 3_000_000_000_000)],
        has_ca: true,
        hostname: node.name.clone(),
        in_hosts: true,
        kernel,
        overlay: true,
        free_kib: Some(20 << 20),
        units: BTreeMap::from([
            state("containerd.service", "active"),
            state("kubelet.service", "inactive"),
        ]),
        ..MachineFacts::default()
    }
}

fn check_verdicts(node: &NodeFile, facts: &MachineFacts) -> Vec<(String, Verdict)> {
    let all = evaluate_machine(node, facts)
        .into_iter()
        .filter(|c| c.verdict != Verdict::Pass);
    all.map(|c| (c.name, c.verdict)).collect()
}

#[test]
fn a_fit_machine_passes_everything() {
    for node in [
        testing::founder(),
        testing::control_plane(),
        testing::worker(),
    ] {
        assert_eq!(check_verdicts(&node, &healthy_facts(&node)), []);
    }
}

/// Little of what a kubelet, its pods and etcd need is there, and none of their ports is looked at.
#[test]
fn a_balancer_of_its_own_needs_nothing_of_kubernetes() {
    let mut node = testing::balancer_machine();
    node.cni = Cni::Cilium {
        version: "1.18.1".into(),
        chart: None,
        values: serde_json::Map::new(),
    };
    let mut facts = healthy_facts(&node);
    facts.units.clear();
    (facts.overlay, facts.free_kib) = (false, Some(1 << 20));
    facts.unshared_mounts = vec!["/".into()];
    facts
        .kernel
        .insert("/proc/sys/net/ipv4/ip_forward".into(), "0".into());
    assert_eq!(check_verdicts(&node, &facts), []);
    assert_eq!(wanted_ports(&node).into_keys().collect::<Vec<_>>(), [6444]);
    let bind = "/proc/sys/net/ipv4/ip_nonlocal_bind";
    facts.kernel.insert(bind.into(), "0".into());
    assert_eq!(check_verdicts(&node, &facts).len(), 1);
    node = testing::control_plane();
    node.load_balancer.mode = LbMode::Machines;
    assert!(!wanted_ports(&node).contains_key(&6444));
}

#[test]
fn ipv6_is_forwarded_where_nodes_have_it() {
    const FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
    let mut of_six = testing::worker();
    of_six.address = "fd00:77::14".parse().unwrap();
    for (node, wanted) in [
        (testing::worker(), None),
        (of_six, Some(Verdict::Fail)),
        (of_both(testing::worker()), Some(Verdict::Fail)),
    ] {
        let mut facts = healthy_facts(&node);
        facts.kernel.insert(FORWARDING.into(), "0".into());
        let seen = check_verdicts(&node, &facts).pop();
        let wanted = wanted.map(|verdict| ("net.ipv6.conf.all.forwarding".to_owned(), verdict));
        assert_eq!(seen, wanted);
    }
}

/// Spoils a fit machine in one way.
type Fault = fn(&mut MachineFacts);

#[test]
fn each_fault_has_its_verdict_and_says_what_to_do() {
    let cases: [(&str, Verdict, Fault); 24] = [
        ("time", Verdict::Wait, |f| f.now_ms = 900_000_000_000),
        ("certificates", Verdict::Fail, |f| {
            f.now_ms = 3_100_000_000_000
        }),
        ("hostname", Verdict::Wait, |f| {
            f.hostname = "localhost".into()
        }),
        ("hosts file", Verdict::Warn, |f| f.in_hosts = false),
        ("address", Verdict::Wait, |f| {
            f.address_faults = vec![(LOCALHOST, AddressFault::Missing)];
        }),
        ("address", Verdict::Wait, |f| {
            f.address_faults = vec![(LOCALHOST, AddressFault::Elsewhere("eth1".into()))];
        }),
        ("address", Verdict::Wait, |f| {
            f.address_faults = vec![(LOCALHOST, AddressFault::Tentative)];
        }),
        ("address", Verdict::Wait, |f| {
            f.address_faults = vec![(LOCALHOST, AddressFault::Duplicate)];
        }),
        ("VIP's interface", Verdict::Wait, |f| {
            f.lacks_vip_interface = true
        }),
        ("container runtime", Verdict::Fail, |f| {
            f.runtime = RuntimeAnswer::NoCri;
        }),
        ("container runtime", Verdict::Wait, |f| {
            f.runtime = RuntimeAnswer::Nothing("connection refused".into());
        }),
        ("mount propagation", Verdict::Warn, |f| {
            f.unshared_mounts = vec!["/sys".into()];
        }),
        ("cluster CA", Verdict::Fail, |f| f.has_ca = false),
        ("leftovers", Verdict::Fail, |f| {
            f.other_cluster = Some("/etc/kubernetes/kubelet.conf".into());
        }),
        ("programs", Verdict::Wait, |f| {
            f.missing = vec!["kubeadm".into()]
        }),
        ("containerd.service", Verdict::Wait, |f| {
            _ = f
                .units
                .insert("containerd.service".into(), Ok("activating".into()))
        }),
        ("kubelet.service", Verdict::Wait, |f| {
            _ = f
                .units
                .insert("kubelet.service".into(), Ok("not-found".into()))
        }),
        ("net.ipv4.ip_nonlocal_bind", Verdict::Fail, |f| {
            _ = f
                .kernel
                .insert("/proc/sys/net/ipv4/ip_nonlocal_bind".into(), "0".into());
        }),
        ("net.bridge.bridge-nf-call-iptables", Verdict::Warn, |f| {
            _ = f
                .kernel
                .remove("/proc/sys/net/bridge/bridge-nf-call-iptables");
        }),
        ("overlay", Verdict::Fail, |f| f.overlay = false),
        ("inotify", Verdict::Warn, |f| {
            _ = f.kernel.insert(fix::INOTIFY.into(), "128".into())
        }),
        ("keepalived scheduling", Verdict::Warn, |f| {
            f.keepalived_in_real_time = Some(false)
        }),
        ("disk", Verdict::Fail, |f| f.free_kib = Some(1 << 20)),
        ("port 6443", Verdict::Fail, |f| {
            _ = f.holders.insert(6443, "nginx".into())
        }),
    ];
    let mut node = testing::control_plane();
    node.endpoint.interface = Some("eth1".into());
    for (name, verdict, spoil) in cases {
        let mut facts = healthy_facts(&node);
        spoil(&mut facts);
        assert_eq!(check_verdicts(&node, &facts), [(name.to_owned(), verdict)]);
        let check = evaluate_machine(&node, &facts)
            .into_iter()
            .find(|c| c.name == name)
            .unwrap();
        assert!(
            !check.remedy.is_empty() && !check.command.is_empty() && check.reason != "ok",
            "{check:?}"
        );
        let named = check.remedy.split("ha-host ").skip(1);
        for rest in named {
            let verb: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
            assert!(VERBS.contains(&verb.as_str()), "{verb}: {check:?}");
        }
    }
}

/// The verbs of ha-host that a remedy may name.
const VERBS: [&str; 3] = ["launch", "logs", "status"];

#[test]
fn our_own_programs_may_hold_their_ports() {
    let node = testing::control_plane();
    let mut facts = healthy_facts(&node);
    let holders = [
        (6443, "kube-apiserver"),
        (2379, "etcd"),
        (10250, "kubelet"),
        (10257, "kube-controller"),
        (6444, "haproxy"),
    ];
    facts.holders = holders
        .into_iter()
        .map(|(port, name)| (port, name.to_owned()))
        .collect();
    assert_eq!(check_verdicts(&node, &facts), []);
}

/// As the agent's service sees a node that it restarts on: etcd and the others have more rights than itself.
#[test]
fn a_port_of_a_running_program_of_ours_may_be_held_unseen() {
    let node = testing::control_plane();
    let mut facts = healthy_facts(&node);
    let ports = wanted_ports(&node);
    facts.holders = ports.keys().map(|port| (*port, String::new())).collect();
    facts.hidden = ports.values().map(|name| (*name).to_owned()).collect();
    assert_eq!(check_verdicts(&node, &facts), []);
    facts.hidden.remove("etcd");
    let unclear = ["port 2379", "port 2380"].map(|name| (name.to_owned(), Verdict::Warn));
    assert_eq!(check_verdicts(&node, &facts), unclear);
    facts.holders.insert(10250, "nginx".into());
    let stranger = ("port 10250".to_owned(), Verdict::Fail);
    assert!(
        check_verdicts(&node, &facts).contains(&stranger),
        "seen is seen"
    );
}

#[test]
fn a_worker_needs_no_port_of_a_control_plane() {
    let node = testing::worker();
    assert_eq!(wanted_ports(&node).into_keys().collect::<Vec<_>>(), [10250]);
}

#[test]
fn beside_an_external_etcd_a_control_plane_needs_no_port_of_one() {
    let mut node = testing::control_plane();
    node.kubernetes.external_etcd = vec!["https://10.77.0.41:2379".into()];
    assert!(!wanted_ports(&node).into_values().any(|name| name == "etcd"));
}

#[test]
fn swap_is_a_fault_only_where_the_kubelet_dies_of_it() {
    let cases = [
        (json!({}), None),
        (json!({"failSwapOn": false}), None),
        (json!({"failSwapOn": true}), Some(Verdict::Fail)),
        // Ours is taken away; the kubelet's own default is to fail.
        (json!({"failSwapOn": null}), Some(Verdict::Fail)),
    ];
    for (kubelet_config, verdict) in cases {
        let mut node = testing::worker();
        node.kubernetes.kubelet_config = kubelet_config.as_object().unwrap().clone();
        let mut facts = healthy_facts(&node);
        assert_eq!(
            check_verdicts(&node, &facts),
            [],
            "no swap, {kubelet_config}"
        );
        facts.swaps = vec!["/dev/vda3".into()];
        let wanted = verdict.map(|v| ("swap".to_owned(), v));
        assert_eq!(
            check_verdicts(&node, &facts),
            Vec::from_iter(wanted),
            "{kubelet_config}"
        );
    }
}
