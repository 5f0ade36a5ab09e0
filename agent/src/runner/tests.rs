use ha_wire::settings::BalancerImages;

use super::*;
use crate::render::{haproxy, keepalived, static_pod};
use crate::testing::{self, FakeMachine};

fn machine_in_mode(mode: LbMode) -> FakeMachine {
    let mut node = testing::control_plane();
    node.load_balancer.mode = mode;
    node.load_balancer.images = (mode != LbMode::Native).then(|| BalancerImages {
        keepalived: "registry.example.org/keepalived@sha256:1".into(),
        haproxy: "registry.example.org/haproxy@sha256:2".into(),
    });
    testing::fake_machine(node)
}

#[tokio::test]
async fn a_static_pod_is_known_by_its_process_and_told_by_a_signal() {
    let machine = machine_in_mode(LbMode::StaticPod);
    let runner = runner_for(&machine.cx.node, &machine.cx.sys).unwrap();
    let pid_file = static_pod::pid_file("haproxy");
    assert_eq!(runner.state(haproxy::UNIT).await.unwrap(), "inactive");
    machine.file(&pid_file, "77\n");
    machine.file("/proc/77/comm", "sleep\n");
    assert_eq!(runner.state(haproxy::UNIT).await.unwrap(), "inactive");
    assert!(runner.reload(haproxy::UNIT).await.is_err(), "not sleep's");
    machine.file("/proc/77/comm", "haproxy\n");
    machine.file(&static_pod::pid_file("keepalived"), "78");
    machine.file("/proc/78/comm", "keepalived\n");
    assert_eq!(runner.state(haproxy::UNIT).await.unwrap(), "active");
    machine.commands.succeed("kill");
    for unit in [haproxy::UNIT, keepalived::UNIT] {
        runner.reload(unit).await.unwrap();
    }
    assert_eq!(machine.orders(), ["run kill -USR2 77", "run kill -HUP 78"]);
}

/// As a machine and a container of this lab have it.
#[test]
fn a_static_pod_asks_for_no_capability_that_its_machine_lacks() {
    for (set, asks) in [("000001ffffffffff", true), ("000001fffeffffff", false)] {
        let machine = machine_in_mode(LbMode::StaticPod);
        machine.file("/proc/1/status", &format!("CapEff:\t0\nCapBnd:\t{set}\n"));
        let runner = runner_for(&machine.cx.node, &machine.cx.sys).unwrap();
        let files = runner.files();
        let (_, text) = files
            .iter()
            .find(|(name, _)| *name == static_pod::KEEPALIVED)
            .unwrap();
        assert_eq!(text.contains("SYS_RESOURCE"), asks, "{text}");
    }
}

#[tokio::test]
async fn a_quadlet_is_a_unit_once_systemd_has_read_it() {
    let machine = machine_in_mode(LbMode::Quadlet);
    let runner = runner_for(&machine.cx.node, &machine.cx.sys).unwrap();
    assert_eq!(runner.files().len(), 2);
    runner.reread().await.unwrap();
    machine.systemd.unit(haproxy::UNIT, "active");
    runner.reload(haproxy::UNIT).await.unwrap();
    let orders = ["daemon-reload", "reload-or-restart haproxy.service"];
    assert_eq!(machine.orders(), orders);
}

#[test]
fn a_node_file_without_images_is_an_error() {
    let mut machine = machine_in_mode(LbMode::StaticPod);
    let node = std::sync::Arc::make_mut(&mut machine.cx.node);
    node.load_balancer.images = None;
    assert!(runner_for(&machine.cx.node, &machine.cx.sys).is_err());
}
