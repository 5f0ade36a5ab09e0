use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::LocalSet;

use ha_wire::settings::{BalancerImages, LbMode};

use super::*;
use crate::testing::{self, FakeMachine};

/// A control plane with its CA, the units there but not running, and a haproxy that answers.
fn machine_with_balancer(keepalived_state: &str) -> FakeMachine {
    let machine = testing::fake_machine(testing::control_plane());
    machine.file(CLUSTER_CA, "-----BEGIN CERTIFICATE-----\n");
    machine.file("/run/haproxy/here", "");
    machine
        .systemd
        .unit(haproxy::UNIT, "inactive")
        .unit(keepalived::UNIT, keepalived_state);
    machine
}

async fn with_haproxy<T>(machine: &FakeMachine, test: impl Future<Output = T>) -> T {
    let listener = UnixListener::bind(machine.cx.sys.files.path(haproxy::HEALTH_SOCKET)).unwrap();
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 100]).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
        }
    };
    let local = LocalSet::new();
    local.spawn_local(serve);
    local.run_until(test).await
}

#[tokio::test]
async fn the_first_run_starts_haproxy_before_keepalived() {
    let machine = machine_with_balancer("inactive");
    with_haproxy(&machine, async {
        assert!(needed(&machine.cx).await.unwrap());
        assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(
            !needed(&machine.cx).await.unwrap(),
            "done is seen on the machine"
        );
    })
    .await;
    assert_eq!(
        machine.orders(),
        ["start haproxy.service", "start keepalived.service"]
    );
    assert_eq!(
        machine
            .cx
            .sys
            .files
            .read(paths::HEALTH_FILE)
            .unwrap()
            .as_deref(),
        Some(keepalived::FINE)
    );
}

#[tokio::test]
async fn a_keepalived_on_an_empty_configuration_is_restarted() {
    let machine = machine_with_balancer("active");
    machine.file(keepalived::CONFIG, "");
    with_haproxy(&machine, run(&machine.cx)).await.unwrap();
    assert_eq!(
        machine.orders(),
        ["start haproxy.service", "restart keepalived.service"]
    );
}

/// Seen on a slow machine: the first attempt wrote the files and ended before keepalived's turn; the second found nothing
/// changed, and keepalived ran on its empty configuration for ever.
#[tokio::test]
async fn an_attempt_that_ended_between_writing_and_telling_is_made_up_for() {
    let machine = machine_with_balancer("active");
    machine.file(keepalived::CONFIG, "");
    assert!(run(&machine.cx).await.is_err(), "no haproxy answers yet");
    assert_eq!(machine.orders(), ["start haproxy.service"]);
    with_haproxy(&machine, async {
        assert!(needed(&machine.cx).await.unwrap());
        run(&machine.cx).await.unwrap();
        assert!(!needed(&machine.cx).await.unwrap());
    })
    .await;
    assert_eq!(machine.orders(), ["restart keepalived.service"]);
}

/// haproxy.path and keepalived's sysext start both at boot, with the files that an earlier boot wrote.
#[tokio::test]
async fn after_a_reboot_units_that_run_with_the_right_files_are_left_alone() {
    let machine = machine_with_balancer("active");
    machine.systemd.unit(haproxy::UNIT, "active");
    let wanted = WantedConfig::of(&machine.cx, &machine.cx.node.control_planes).unwrap();
    let runner = runner::runner_for(&machine.cx.node, &machine.cx.sys).unwrap();
    wanted.write(&machine.cx, &*runner).await.unwrap();
    with_haproxy(&machine, async {
        assert!(needed(&machine.cx).await.unwrap(), "nobody has looked yet");
        run(&machine.cx).await.unwrap();
        assert!(!needed(&machine.cx).await.unwrap());
    })
    .await;
    assert_eq!(machine.orders(), Vec::<String>::new());
}

/// A newer agent renders other files.
#[tokio::test]
async fn after_a_reboot_units_that_run_with_older_files_are_reloaded() {
    let machine = machine_with_balancer("active");
    machine.systemd.unit(haproxy::UNIT, "active");
    machine.file(haproxy::CONFIG, "global\n");
    machine.file(haproxy::CA, "-----BEGIN CERTIFICATE-----\n");
    machine.file(keepalived::CONFIG, "vrrp_instance api {\n}\n");
    // Whatever comes between writing and telling: the next attempt knows what is left to do.
    assert!(run(&machine.cx).await.is_err(), "no haproxy answers yet");
    assert_eq!(machine.orders(), ["reload-or-restart haproxy.service"]);
    with_haproxy(&machine, run(&machine.cx)).await.unwrap();
    assert_eq!(machine.orders(), ["reload-or-restart keepalived.service"]);
}

/// The copy beside haproxy is what its checks trust.
#[tokio::test]
async fn another_ca_of_the_cluster_is_copied_and_haproxy_reloaded() {
    let machine = machine_with_balancer("inactive");
    with_haproxy(&machine, async {
        run(&machine.cx).await.unwrap();
        machine.orders();
        machine.file(CLUSTER_CA, "-----BEGIN CERTIFICATE-----\nanother\n");
        assert!(needed(&machine.cx).await.unwrap());
        run(&machine.cx).await.unwrap();
        assert!(!needed(&machine.cx).await.unwrap());
    })
    .await;
    assert_eq!(machine.orders(), ["reload-or-restart haproxy.service"]);
    let copy = machine.cx.sys.files.read(haproxy::CA).unwrap();
    assert_eq!(copy, machine.cx.sys.files.read(CLUSTER_CA).unwrap());
}

/// `haproxy.path` waits for the copy: an attempt that ends before it leaves nothing half-written that would be started.
#[tokio::test]
async fn the_ca_s_copy_is_written_last() {
    let machine = machine_with_balancer("inactive");
    let wanted = WantedConfig::of(&machine.cx, &machine.cx.node.control_planes).unwrap();
    assert_eq!(wanted.files().last().unwrap().0, haproxy::CA);
    let upheld = include_str!("../../../../sysext/tree/usr/lib/systemd/system/haproxy.path");
    assert!(upheld.contains(&format!("PathExists={}\n", haproxy::CA)));
}

#[tokio::test]
async fn a_reload_that_failed_is_asked_for_again() {
    let machine = machine_with_balancer("inactive");
    let two = machine.cx.node.control_planes[..2].to_vec();
    with_haproxy(&machine, async {
        run(&machine.cx).await.unwrap();
        machine.orders();
        machine
            .systemd
            .broken
            .borrow_mut()
            .push(haproxy::UNIT.into());
        assert!(apply_backends(&machine.cx, &two).await.is_err());
        machine.systemd.broken.borrow_mut().clear();
        assert!(needed(&machine.cx).await.unwrap());
        apply_backends(&machine.cx, &two).await.unwrap();
    })
    .await;
    assert_eq!(machine.orders(), ["reload-or-restart haproxy.service"; 2]);
}

#[tokio::test]
async fn other_apiservers_reload_haproxy_alone_and_are_remembered() {
    let machine = machine_with_balancer("inactive");
    let two = machine.cx.node.control_planes[..2].to_vec();
    with_haproxy(&machine, async {
        run(&machine.cx).await.unwrap();
        machine.orders();
        apply_backends(&machine.cx, &two).await.unwrap();
        assert_eq!(machine.orders(), ["reload-or-restart haproxy.service"]);
        apply_backends(&machine.cx, &two).await.unwrap();
        run(&machine.cx).await.unwrap();
    })
    .await;
    assert_eq!(machine.orders(), Vec::<String>::new(), "nothing changed");
    assert_eq!(configured_backends(&machine.cx).unwrap(), two);
}

#[tokio::test]
async fn a_unit_that_systemd_does_not_know_needs_a_person() {
    let machine = machine_with_balancer("active");
    machine.systemd.forget_unit(haproxy::UNIT);
    let error = run(&machine.cx).await.unwrap_err();
    assert!(error.is::<NeedsAPerson>(), "{error:#}");
    assert!(error.to_string().contains("haproxy.service"));
}

#[tokio::test]
async fn a_failed_unit_is_forgiven_first() {
    let machine = machine_with_balancer("active");
    machine.systemd.unit(haproxy::UNIT, "failed");
    with_haproxy(&machine, run(&machine.cx)).await.unwrap();
    assert_eq!(
        machine.orders()[..2],
        ["reset-failed haproxy.service", "start haproxy.service"]
    );
}

#[tokio::test]
async fn a_haproxy_that_does_not_answer_is_an_error_that_says_where_to_look() {
    let machine = machine_with_balancer("active");
    let error = run(&machine.cx).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("journalctl -u haproxy"),
        "{error:#}"
    );
}

/// A control plane whose balancer comes from container images.
fn in_containers(mode: LbMode) -> FakeMachine {
    let mut node = testing::control_plane();
    node.load_balancer.mode = mode;
    node.load_balancer.images = Some(BalancerImages {
        keepalived: "registry.example.org/keepalived@sha256:1".into(),
        haproxy: "registry.example.org/haproxy@sha256:2".into(),
    });
    let machine = testing::fake_machine(node);
    machine.file(CLUSTER_CA, "-----BEGIN CERTIFICATE-----\n");
    machine
}

/// Nothing can run them before kubeadm has started the kubelet, which waits for the balancer.
#[tokio::test]
async fn static_pods_are_left_to_the_kubelet() {
    let machine = in_containers(LbMode::StaticPod);
    assert!(needed(&machine.cx).await.unwrap());
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    let files = &machine.cx.sys.files;
    for name in ["haproxy", "keepalived"] {
        assert!(files.exists(&format!("/etc/kubernetes/manifests/{name}.yaml")));
    }
    assert!(machine.orders().is_empty());
    let backends = configured_backends(&machine.cx).unwrap();
    let error = apply_backends(&machine.cx, &backends).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("kube-system_haproxy"), "{error}");
}

#[tokio::test]
async fn a_running_static_pod_is_told_new_backends_by_a_signal() {
    let machine = in_containers(LbMode::StaticPod);
    machine.file("/run/haproxy/haproxy.pid", "77\n");
    machine.file("/proc/77/comm", "haproxy\n");
    with_haproxy(&machine, async {
        machine.commands.succeed("kill");
        run(&machine.cx).await.unwrap();
        let one = &machine.cx.node.control_planes[..1];
        apply_backends(&machine.cx, one).await.unwrap();
        apply_backends(&machine.cx, one).await.unwrap();
    })
    .await;
    // It ran with what lay on the disk, which was nothing; then with three, then with one.
    assert_eq!(machine.orders(), ["run kill -USR2 77"; 2]);
}

#[tokio::test]
async fn quadlets_become_units_before_they_are_started() {
    let machine = in_containers(LbMode::Quadlet);
    machine.file("/run/haproxy/here", "");
    let error = run(&machine.cx).await.unwrap_err().to_string();
    assert!(error.contains("podman's generator"), "{error}");
    assert_eq!(machine.orders(), ["daemon-reload"]);
    machine
        .systemd
        .unit(haproxy::UNIT, "inactive")
        .unit(keepalived::UNIT, "inactive");
    with_haproxy(&machine, run(&machine.cx)).await.unwrap();
    let started = ["start haproxy.service", "start keepalived.service"];
    assert_eq!(machine.orders(), started);
}
