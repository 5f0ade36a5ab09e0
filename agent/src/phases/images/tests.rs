use super::*;
use crate::sys::Output;
use crate::testing::{self, FakeMachine};

const NAMED: &str = "registry.k8s.io/kube-apiserver:v1.34.4\nregistry.k8s.io/kube-proxy:v1.34.4\n\
    registry.k8s.io/coredns/coredns:v1.12.1\nregistry.k8s.io/pause:3.10.1\nregistry.k8s.io/etcd:3.6.5-0\n";
const ETCD: &str = "registry.k8s.io/etcd:3.6.5-0";

#[test]
fn workers_pull_nothing_of_the_control_plane() {
    assert_eq!(
        worker_images(NAMED, KubeProxy::None),
        ["registry.k8s.io/pause:3.10.1"]
    );
    assert_eq!(
        worker_images(NAMED, KubeProxy::Nftables),
        [
            "registry.k8s.io/kube-proxy:v1.34.4",
            "registry.k8s.io/pause:3.10.1"
        ]
    );
}

fn says(machine: &FakeMachine, command: &str, stdout: &str) {
    let stdout = stdout.to_owned();
    machine.commands.answer(command, Ok(Output { stdout }));
}

/// kubeadm names what is needed; containerd has this.
fn has(machine: &FakeMachine, images: &str) {
    says(machine, "kubeadm config images list --config", NAMED);
    says(
        machine,
        "ctr --namespace k8s.io images list --quiet",
        images,
    );
}

fn told(machine: &FakeMachine) -> Option<String> {
    let event = machine.events().pop()?;
    Some(event["lastError"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_kubeadm_could_not_pull_is_named() {
    let machine = testing::fake_machine(testing::control_plane());
    machine
        .commands
        .succeed("kubeadm init phase preflight --config");
    has(&machine, "");
    has(&machine, &NAMED.replace(ETCD, "docker.io/library/etcd:1"));
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    assert_eq!(
        told(&machine).as_deref(),
        Some("not pulled: registry.k8s.io/etcd:3.6.5-0")
    );
    // With all of them there, nobody pulls.
    machine.orders();
    has(&machine, NAMED);
    run(&machine.cx).await.unwrap();
    assert_eq!(machine.orders().len(), 2);
}

#[tokio::test]
async fn a_worker_pulls_what_it_lacks_through_containerd() {
    let machine = testing::fake_machine(testing::worker());
    machine
        .commands
        .succeed("ctr --namespace k8s.io images pull");
    has(&machine, NAMED.split_once('\n').unwrap().0);
    run(&machine.cx).await.unwrap();
    let pulls: Vec<String> = machine.orders().split_off(2);
    assert_eq!(pulls.len(), 1, "{pulls:?}");
    assert!(
        pulls[0].ends_with(" registry.k8s.io/pause:3.10.1"),
        "{pulls:?}"
    );
}

#[tokio::test]
async fn a_node_without_its_programs_goes_on_all_the_same() {
    let machine = testing::fake_machine(testing::control_plane());
    let missing = Err(anyhow::anyhow!("cannot start kubeadm"));
    machine
        .commands
        .answer("kubeadm config images list", missing);
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    assert_eq!(told(&machine).as_deref(), Some("cannot start kubeadm"));
}
