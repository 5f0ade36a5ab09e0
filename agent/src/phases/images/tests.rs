use ha_wire::node::NodeFile;
use ha_wire::settings::Cri;

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

/// With a container runtime that answers.
fn machine_with_runtime(node: NodeFile) -> FakeMachine {
    let machine = testing::fake_machine(node);
    testing::serve_runtime(&machine, testing::RUNTIME_ANSWERS);
    machine
}

fn answer_command(machine: &FakeMachine, command: &str, stdout: &str) {
    let stdout = stdout.to_owned();
    machine.commands.answer(command, Ok(Output { stdout }));
}

/// kubeadm names what is needed; containerd has this.
fn runtime_has_images(machine: &FakeMachine, images: &str) {
    answer_command(machine, "kubeadm config images list --config", NAMED);
    answer_command(
        machine,
        "ctr --namespace k8s.io images list --quiet",
        images,
    );
}

fn last_event_error(machine: &FakeMachine) -> Option<String> {
    let event = machine.events().pop()?;
    Some(event["lastError"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_kubeadm_could_not_pull_is_named() {
    let machine = machine_with_runtime(testing::control_plane());
    machine
        .commands
        .succeed("kubeadm init phase preflight --config");
    runtime_has_images(&machine, "");
    runtime_has_images(&machine, &NAMED.replace(ETCD, "docker.io/library/etcd:1"));
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    assert_eq!(
        last_event_error(&machine).as_deref(),
        Some("not pulled: registry.k8s.io/etcd:3.6.5-0")
    );
    // With all of them there, nobody pulls.
    machine.orders();
    runtime_has_images(&machine, NAMED);
    run(&machine.cx).await.unwrap();
    assert_eq!(machine.orders().len(), 2);
}

#[tokio::test]
async fn a_worker_pulls_what_it_lacks_through_containerd() {
    let machine = machine_with_runtime(testing::worker());
    machine
        .commands
        .succeed("ctr --namespace k8s.io images pull");
    runtime_has_images(&machine, NAMED.split_once('\n').unwrap().0);
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
    let machine = machine_with_runtime(testing::control_plane());
    let missing = Err(anyhow::anyhow!("cannot start kubeadm"));
    machine
        .commands
        .answer("kubeadm config images list", missing);
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    assert_eq!(
        last_event_error(&machine).as_deref(),
        Some("cannot start kubeadm")
    );
}

/// A review's finding 2 of CRI-O, whose unit starts after the agent's: asked too early, it had nothing, and nothing was pulled.
#[tokio::test]
async fn nothing_is_asked_before_the_runtime_answers() {
    let machine = testing::fake_machine(testing::control_plane());
    runtime_has_images(&machine, NAMED);
    let comes_up = async {
        while machine.clock.0.get() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(machine.orders(), [""; 0]);
        testing::serve_runtime(&machine, testing::RUNTIME_ANSWERS);
    };
    let (ended, ()) = tokio::join!(run(&machine.cx), comes_up);
    assert_eq!(ended.unwrap(), Outcome::Done);
    assert_eq!(machine.orders().len(), 2);
    assert!(machine.events().is_empty());
}

#[tokio::test]
async fn a_runtime_that_never_answers_is_named() {
    let machine = testing::fake_machine(testing::worker());
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    let said = last_event_error(&machine).unwrap();
    assert!(said.contains("containerd.sock"), "{said}");
}

#[tokio::test]
async fn a_worker_pulls_through_crio_too() {
    let mut node = testing::worker();
    node.kubernetes.cri = Cri::Crio;
    let machine = machine_with_runtime(node);
    let crictl = "crictl --runtime-endpoint unix:///var/run/crio/crio.sock";
    answer_command(&machine, "kubeadm config images list --config", NAMED);
    let here = r#"{"images": [{"id": "a", "repoTags": ["registry.k8s.io/kube-proxy:v1.34.4"]}, {"id": "b", "repoTags": []}]}"#;
    answer_command(&machine, &format!("{crictl} --timeout 30s images"), here);
    machine
        .commands
        .succeed(&format!("{crictl} --timeout 600s pull"));
    run(&machine.cx).await.unwrap();
    let pulls = machine.orders().split_off(2);
    assert_eq!(
        pulls,
        [format!(
            "run {crictl} --timeout 600s pull registry.k8s.io/pause:3.10.1"
        )]
    );
}
