use ha_wire::node::NodeFile;
use serde_json::{Map, json};

use super::*;
use crate::kube::pki_file;
use crate::kube::testing::{Script, node_identity, run_local, test_authority};
use crate::sys::CommandFailed;
use crate::testing::{self, FakeMachine};

const READY: &str = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
const NOT_READY: &str = r#"{"status":{"conditions":[{"type":"Ready","status":"False","message":"cni plugin not initialized"}]}}"#;
const SECRETS: &str = "GET /api/v1/namespaces/kube-system/secrets";
const INSTALL: &str = "cilium install --version 1.18.1 --values";
const UPGRADE: &str = "cilium upgrade --version 1.18.1 --values";
const STATUS: &str = "cilium status --wait --wait-duration 5m --interactive=false";

async fn stage(mut node: NodeFile, cni: Cni, net: u8) -> (FakeMachine, Script) {
    node.endpoint.vip = [127, net, 0, 30].into();
    node.cni = cni;
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(node);
    if matches!(machine.cx.node.cni, Cni::Cilium { .. }) {
        let cilium = &machine.commands;
        cilium.succeed(INSTALL).succeed(UPGRADE).succeed(STATUS);
    }
    machine.file(&pki_file("ca.crt"), ca.cert());
    machine.file(&pki_file("ca.key"), ca.key().expose());
    let me = node_identity(&ca, "n");
    machine.file(ha_wire::paths::IDENTITY_CERT, &me.cert);
    machine.file(ha_wire::paths::IDENTITY_KEY, me.key.expose());
    let api = Script::default();
    api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
    (machine, api)
}

fn cilium() -> Cni {
    Cni::Cilium {
        version: "1.18.1".into(),
        values: Map::new(),
    }
}

fn helm(status: &str) -> String {
    let labels = json!({"status": status, "name": "cilium"});
    json!({"items": [{"metadata": {"name": "sh.helm.release.v1.cilium.v1", "labels": labels}}]})
        .to_string()
}

fn programs(machine: &FakeMachine) -> Vec<String> {
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
        let (machine, api) = stage(testing::founder(), cilium(), 141).await;
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

#[test]
fn cilium_is_upgraded_when_a_release_exists() {
    run_local(async {
        let (machine, api) = stage(testing::founder(), cilium(), 142).await;
        api.on(SECRETS, 200, &helm("deployed"))
            .on("GET /api/v1/nodes/node1", 200, READY);
        assert!(!needed(&machine.cx).await.unwrap(), "Ready and deployed");
        super::run(&machine.cx).await.unwrap();
        assert_eq!(programs(&machine)[0], "cilium upgrade");
    });
}

#[test]
fn an_install_that_finds_a_release_becomes_an_upgrade_whatever_the_cli_says() {
    run_local(async {
        let (machine, api) = stage(testing::founder(), cilium(), 143).await;
        api.on(SECRETS, 200, r#"{"items":[]}"#)
            .on(SECRETS, 200, &helm("deployed"))
            .on("GET /api/v1/nodes/node1", 200, READY);
        // Helm 4's words; Helm 3 said "cannot re-use a name that is still in use".
        let tail = vec![
            "Error: release name check failed: cannot reuse a name that is still in use".into(),
        ];
        let failed = CommandFailed {
            command: "cilium install".into(),
            outcome: "exit code 1".into(),
            tail,
        };
        machine.commands.answer(INSTALL, Err(failed.into()));
        super::run(&machine.cx).await.unwrap();
        assert_eq!(
            programs(&machine)[..2],
            ["cilium install", "cilium upgrade"]
        );
    });
}

#[test]
fn an_installer_that_died_at_work_blocks_nobody() {
    run_local(async {
        let (machine, api) = stage(testing::founder(), cilium(), 144).await;
        api.on(SECRETS, 200, &helm("pending-install"))
            .on(SECRETS, 200, r#"{"items":[]}"#);
        api.on(
            "DELETE /api/v1/namespaces/kube-system/secrets/sh.helm.release.v1.cilium.v1",
            200,
            "{}",
        );
        api.on("GET /api/v1/nodes/node1", 200, READY);
        super::run(&machine.cx).await.unwrap();
        assert_eq!(api.asked("DELETE /api/v1").len(), 1);
        assert_eq!(programs(&machine)[0], "cilium install");
    });
}

#[test]
fn manifests_are_applied_in_order_until_they_are_there() {
    run_local(async {
        let sources = vec!["10-net.yaml".into(), "https://example.org/x.yaml".into()];
        let (machine, api) = stage(testing::founder(), Cni::Manifests { sources }, 145).await;
        api.on("GET /api/v1/nodes/node1", 200, READY);
        let failed = Err(anyhow::anyhow!("no matches for kind"));
        machine.commands.answer("kubectl apply", failed).succeed(
            "kubectl apply --server-side --force-conflicts --field-manager=ha-agent --filename",
        );
        super::run(&machine.cx).await.unwrap();
        let files: Vec<String> = machine
            .orders()
            .iter()
            .map(|o| o.rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!(files, ["10-net.yaml", "10-net.yaml", "x.yaml"]);
    });
}

#[test]
fn others_wait_and_install_only_if_the_founder_is_lost() {
    run_local(async {
        let (machine, api) = stage(testing::control_plane(), cilium(), 146).await;
        api.on(SECRETS, 200, r#"{"items":[]}"#);
        for _ in 0..250 {
            api.on("GET /api/v1/nodes/node2", 200, NOT_READY);
        }
        api.on("GET /api/v1/nodes/node2", 200, READY);
        super::run(&machine.cx).await.unwrap();
        assert_eq!(programs(&machine), ["cilium install"]);
    });
}

#[test]
fn a_worker_installs_nothing() {
    run_local(async {
        let (machine, api) = stage(testing::worker(), cilium(), 147).await;
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
        let (machine, _) = stage(testing::worker(), Cni::None, 148).await;
        assert!(!needed(&machine.cx).await.unwrap());
    });
}
