use ha_wire::node::NodeFile;
use serde_json::{Map, json};

use super::*;
use crate::kube::testing::{Script, node_identity, run_local, test_authority};
use crate::kube::{self, pki_file};
use crate::sys::CommandFailed;
use crate::testing::{self, FakeMachine};

mod chart;
mod waits;

const READY: &str = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
const NOT_READY: &str = r#"{"status":{"conditions":[{"type":"Ready","status":"False","message":"cni plugin not initialized"}]}}"#;
const NODES: &str = "GET /api/v1/nodes";
const DAEMON_SET: &str = "GET /apis/apps/v1/namespaces/kube-system/daemonsets/cilium";
const SECRETS: &str = "GET /api/v1/namespaces/kube-system/secrets";
const INSTALL: &str = "cilium install --version 1.18.1 --values";
const LIST: &str = "cilium install --list-versions";

async fn network_fixture(mut node: NodeFile, cni: Cni, net: u8) -> (FakeMachine, Script) {
    node.endpoint.vip = [127, net, 0, 30].into();
    node.cni = cni;
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(node);
    if matches!(machine.cx.node.cni, Cni::Cilium { .. }) {
        let cilium = &machine.commands;
        cilium.succeed(INSTALL).succeed(LIST);
    }
    machine.file(&pki_file("ca.crt"), ca.cert());
    machine.file(&pki_file("ca.key"), ca.key().expose());
    let me = node_identity(&ca, "n");
    machine.file(ha_wire::paths::IDENTITY_CERT, &me.cert);
    machine.file(ha_wire::paths::IDENTITY_KEY, me.key.expose());
    let api = Script::default();
    api.on(NODES, 200, r#"{"items":[]}"#);
    api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
    (machine, api)
}

fn cilium_cni() -> Cni {
    Cni::Cilium {
        version: "1.18.1".into(),
        chart: None,
        values: Map::new(),
    }
}

fn helm_release(status: &str) -> String {
    helm_revision(1, status)
}

fn helm_revision(revision: u32, status: &str) -> String {
    let labels = json!({"status": status, "name": "cilium"});
    let name = format!("sh.helm.release.v1.cilium.v{revision}");
    json!({"items": [{"metadata": {"name": name, "labels": labels}}]}).to_string()
}

/// kubeadm's etcd of a founder, on this disk.
fn founded_here(machine: &FakeMachine) {
    let command = "    - --initial-cluster=node1=https://10.77.0.11:2380";
    machine.file(&kube::pod_manifest("etcd"), command);
    machine.file("/var/lib/etcd/member/wal/0.wal", "");
}

fn other_nodes_are_ready(api: &Script) {
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let node = |name: &str| json!({"metadata": {"name": name}, "status": ready});
    let nodes = json!({"items": [node("node1"), node("node3")]});
    api.on(NODES, 200, &nodes.to_string());
}

/// What was run but for looks.
fn changing_programs(machine: &FakeMachine) -> Vec<String> {
    let mut all = programs_run(machine);
    all.retain(|p| p != "kubectl get");
    all
}

fn programs_run(machine: &FakeMachine) -> Vec<String> {
    let short = |o: String| {
        o.split_whitespace()
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    machine.orders().into_iter().map(short).collect()
}

#[test]
fn cilium_is_installed_the_first_time() {
    run_local(async {
        let (machine, api) = network_fixture(testing::founder(), cilium_cni(), 141).await;
        api.on(SECRETS, 200, r#"{"items":[]}"#)
            .on("GET /api/v1/nodes/node1", 200, NOT_READY);
        api.on("GET /api/v1/nodes/node1", 200, READY);
        super::run(&machine.cx).await.unwrap();
        let orders = machine.orders();
        assert!(
            orders[0].starts_with("run cilium install --version 1.18.1 --values "),
            "{orders:?}"
        );
        assert!(!orders.iter().any(|o| o.contains("upgrade")));
        let values = machine
            .cx
            .sys
            .files
            .read(ha_wire::paths::CILIUM_VALUES)
            .unwrap()
            .unwrap();
        assert!(values.contains("127.141.0.30"));
    });
}

/// A founder's way through the phase with a cluster as `arrange` makes it; its node becomes Ready at the second look.
async fn founder_meets(
    net: u8,
    cni: Cni,
    arrange: impl FnOnce(&FakeMachine, &Script),
) -> (FakeMachine, Script) {
    let (machine, api) = network_fixture(testing::founder(), cni, net).await;
    api.on("GET /api/v1/nodes/node1", 200, NOT_READY)
        .on("GET /api/v1/nodes/node1", 200, READY);
    arrange(&machine, &api);
    super::run(&machine.cx).await.unwrap();
    (machine, api)
}

#[test]
fn a_pod_network_that_is_somebodys_is_left_as_it_is_and_named() {
    run_local(async {
        let releases = |text: String| move |api: &Script| _ = api.on(SECRETS, 200, &text);
        let none = r#"{"items":[]}"#.to_owned();
        type Arrange = Box<dyn Fn(&Script)>;
        let cases: [(&str, Arrange); 7] = [
            (
                "revision 4 of Helm's release is pending-upgrade",
                Box::new(releases(helm_revision(4, "pending-upgrade"))),
            ),
            (
                "revision 2 of Helm's release is failed",
                Box::new(releases(helm_revision(2, "failed"))),
            ),
            (
                "revision 1 of Helm's release is uninstalling",
                Box::new(releases(helm_revision(1, "uninstalling"))),
            ),
            (
                "revision 1 of Helm's release is pending-install",
                Box::new(releases(helm_release("pending-install"))),
            ),
            (
                "there is a DaemonSet cilium, and no release of Helm's",
                Box::new({
                    let none = none.clone();
                    move |api| _ = api.on(SECRETS, 200, &none).on(DAEMON_SET, 200, "{}")
                }),
            ),
            (
                "it was installed once, and is not there any more",
                Box::new({
                    let none = none.clone();
                    move |api| _ = api.on(SECRETS, 200, &none).held_lease(LEASE.name, "")
                }),
            ),
            (
                "another node is Ready without it",
                Box::new(move |api| {
                    api.on(SECRETS, 200, &none);
                    other_nodes_are_ready(api);
                }),
            ),
        ];
        for (net, (words, arrange)) in (150..).zip(cases) {
            let (machine, api) = founder_meets(net, cilium_cni(), |_, api| arrange(api)).await;
            assert_eq!(changing_programs(&machine), Vec::<String>::new(), "{words}");
            assert_eq!(api.asked("DELETE"), Vec::<String>::new(), "{words}");
            let told = machine.status().network;
            assert_eq!(told, format!("cilium is left as it is: {words}"));
        }
    });
}

#[test]
fn what_is_deployed_is_never_upgraded() {
    run_local(async {
        let (machine, _) = founder_meets(142, cilium_cni(), |_, api| {
            api.on(SECRETS, 200, &helm_revision(3, "deployed"));
        })
        .await;
        assert_eq!(changing_programs(&machine), Vec::<String>::new());
        assert!(!needed(&machine.cx).await.unwrap(), "Ready and deployed");
    });
}

#[test]
fn an_install_that_left_a_deployed_release_ended_well_whatever_the_cli_says() {
    run_local(async {
        let (machine, api) = founder_meets(143, cilium_cni(), |machine, api| {
            // One look before the Lease, one under it, one after the CLI's end.
            for text in [
                r#"{"items":[]}"#,
                r#"{"items":[]}"#,
                &helm_release("deployed"),
            ] {
                api.on(SECRETS, 200, text);
            }
            let failed = CommandFailed {
                command: "cilium install".into(),
                outcome: "exit code 1".into(),
                code: Some(1),
                tail: vec!["Error: timed out waiting for the condition".into()],
            };
            machine.commands.answer(INSTALL, Err(failed.into()));
        })
        .await;
        assert_eq!(changing_programs(&machine), ["cilium install"]);
        assert_eq!(installing_node(&api), "");
    });
}

fn installing_node(api: &Script) -> String {
    let lease = api.lease(LEASE.name).unwrap();
    lease.spec.holder_identity.unwrap_or_default()
}

/// The Lease that an earlier life of an agent never gave back says that the installation is ours, and did not end.
#[test]
fn an_installer_that_died_at_work_blocks_nobody() {
    run_local(async {
        for (net, status, ready) in [
            (144, "pending-install", false),
            (158, "failed", false),
            (159, "pending-install", true),
        ] {
            let (machine, api) = founder_meets(net, cilium_cni(), |machine, api| {
                api.held_lease(LEASE.name, "node1/an-earlier-boot");
                for _ in 0..2 {
                    api.on(SECRETS, 200, &helm_release(status));
                }
                api.on(
                    "DELETE /api/v1/namespaces/kube-system/secrets/sh.helm.release.v1.cilium.v1",
                    200,
                    "{}",
                );
                if ready {
                    founded_here(machine);
                    other_nodes_are_ready(api);
                }
            })
            .await;
            assert_eq!(api.asked("DELETE /api/v1").len(), 1, "{status}");
            assert_eq!(changing_programs(&machine), ["cilium install"], "{status}");
            assert_eq!(installing_node(&api), "", "it ended");
        }
    });
}

#[test]
fn an_install_that_failed_keeps_the_lease_so_that_the_next_attempt_knows_whose_it_was() {
    run_local(async {
        let (machine, api) = network_fixture(testing::founder(), cilium_cni(), 140).await;
        api.on(SECRETS, 200, r#"{"items":[]}"#);
        let failed = Err(anyhow::anyhow!("exit code 1"));
        machine.commands.answer(INSTALL, failed);
        assert!(super::run(&machine.cx).await.is_err());
        assert!(
            installing_node(&api).starts_with("node1/"),
            "{}",
            installing_node(&api)
        );
    });
}

#[test]
fn nothing_of_the_pod_network_concerns_a_settled_node() {
    run_local(async {
        for (net, node) in [(156, testing::founder()), (157, testing::control_plane())] {
            let (machine, api) = network_fixture(node, cilium_cni(), net).await;
            for name in ["node1", "node2"] {
                api.on(&format!("GET /api/v1/nodes/{name}"), 200, NOT_READY);
            }
            let files = &machine.cx.sys.files;
            let own = format!(
                "{}{}",
                files.read(ha_wire::paths::IDENTITY_CERT).unwrap().unwrap(),
                files.read(ha_wire::paths::IDENTITY_KEY).unwrap().unwrap()
            );
            machine.file(kube::KUBELET_PEM, &own);
            machine.file(kube::KUBELET_CONF, "{}");
            files.wipe(ha_wire::paths::IDENTITY_KEY).unwrap();
            assert!(!needed(&machine.cx).await.unwrap());
            assert!(api.asked("GET").is_empty());
        }
    });
}

#[test]
fn manifests_are_not_applied_to_a_cluster_that_has_a_pod_network() {
    run_local(async {
        let sources = || Cni::Manifests {
            sources: vec!["10-net.yaml".into()],
        };
        for (net, ended) in [(138, true), (139, false)] {
            let (machine, _) = founder_meets(net, sources(), |machine, api| {
                for _ in 0..2 {
                    let gone = Err(anyhow::anyhow!("NotFound"));
                    machine.commands.answer("kubectl get", gone);
                }
                if ended {
                    api.held_lease(LEASE.name, "");
                } else {
                    other_nodes_are_ready(api);
                }
            })
            .await;
            assert_eq!(changing_programs(&machine), Vec::<String>::new());
        }
    });
}

#[test]
fn manifests_are_applied_in_order_until_they_are_there() {
    run_local(async {
        let sources = vec!["10-net.yaml".into(), "https://example.org/x.yaml".into()];
        let (machine, api) =
            network_fixture(testing::founder(), Cni::Manifests { sources }, 145).await;
        api.on("GET /api/v1/nodes/node1", 200, READY);
        let failed = Err(anyhow::anyhow!("no matches for kind"));
        machine.commands.answer("kubectl apply", failed).succeed(
            "kubectl apply --server-side --force-conflicts --field-manager=ha-agent --filename",
        );
        // One look, under the Lease.
        let gone = Err(anyhow::anyhow!("NotFound"));
        machine.commands.answer("kubectl get", gone);
        super::run(&machine.cx).await.unwrap();
        let files: Vec<String> = machine
            .orders()
            .iter()
            .filter(|o| o.starts_with("run kubectl apply"))
            .map(|o| o.rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!(files, ["10-net.yaml", "10-net.yaml", "x.yaml"]);
    });
}

#[test]
fn others_wait_and_install_only_if_the_founder_is_lost() {
    run_local(async {
        let (machine, api) = network_fixture(testing::control_plane(), cilium_cni(), 146).await;
        api.on(SECRETS, 200, r#"{"items":[]}"#);
        for _ in 0..250 {
            api.on("GET /api/v1/nodes/node2", 200, NOT_READY);
        }
        api.on("GET /api/v1/nodes/node2", 200, READY);
        super::run(&machine.cx).await.unwrap();
        assert_eq!(programs_run(&machine), ["cilium install"]);
    });
}

#[test]
fn a_worker_installs_nothing() {
    run_local(async {
        let (machine, api) = network_fixture(testing::worker(), cilium_cni(), 147).await;
        api.on("GET /api/v1/nodes/node4", 200, NOT_READY)
            .on("GET /api/v1/nodes/node4", 200, READY);
        assert!(needed(&machine.cx).await.unwrap());
        super::run(&machine.cx).await.unwrap();
        assert_eq!(machine.orders(), Vec::<String>::new());
    });
}

#[test]
fn without_a_pod_network_nothing_is_awaited() {
    run_local(async {
        let (machine, _) = network_fixture(testing::worker(), Cni::None, 148).await;
        assert!(!needed(&machine.cx).await.unwrap());
    });
}

#[test]
fn the_lease_is_waited_for_with_its_own_words() {
    run_local(async {
        let (machine, api) = network_fixture(testing::founder(), cilium_cni(), 204).await;
        api.held_lease("ha-agent-network", "node3/b3");
        api.on(SECRETS, 200, r#"{"items":[]}"#)
            .on("GET /api/v1/nodes/node1", 200, READY);
        super::run(&machine.cx).await.unwrap();
        let waited = |e: &serde_json::Value| e["event"] == "waiting";
        let told: Vec<_> = machine.events().into_iter().filter(waited).collect();
        let what = "its turn to install the pod network: node3 does it now";
        assert_eq!(told[0]["what"], what);
    });
}
