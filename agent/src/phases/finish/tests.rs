use ha_kube::Identity;

use super::*;
use crate::kube::testing::{Authority, Script, node_identity, run_local, test_authority};
use crate::kube::{KUBELET, KUBELET_CONF, KUBELET_PEM, kubeconfig, pki_file};
use crate::phases::hooks::tests::lines_that_ran;
use crate::testing::{self, FakeMachine};

/// A worker that has joined: its kubelet has a certificate of its own, and the cluster behind the VIP knows it.
async fn joined_worker(ca: &Authority, net: u8) -> (FakeMachine, Identity) {
    let mut node = testing::worker();
    node.endpoint.vip = [127, net, 0, 30].into();
    let machine = testing::fake_machine(node);
    let api = Script::default();
    api.on("GET /api/v1/nodes/node4", 200, "{}");
    api.serve_at(ca, &format!("127.{net}.0.30:6444")).await;
    machine.systemd.unit(KUBELET, "active");
    let first = node_identity(ca, "node4");
    machine.file(&pki_file("ca.crt"), ca.cert());
    machine.file(paths::IDENTITY_CERT, &first.cert);
    machine.file(paths::IDENTITY_KEY, first.key.expose());
    let conf = kubeconfig::render_embedded("https://10.77.0.30:6444", ca.cert(), &first);
    machine.file(KUBELET_CONF, conf.expose());
    machine.file(paths::DISCOVERY, conf.expose());
    machine.file("/run/ignition.json", "{}");
    let own = node_identity(ca, "node4");
    machine.file(KUBELET_PEM, own.joint_pem().expose());
    (machine, first)
}

#[test]
fn nothing_of_the_first_identity_is_left() {
    run_local(async {
        let (machine, _) = joined_worker(&test_authority("kubernetes"), 241).await;
        assert!(needed(&machine.cx).await.unwrap());
        super::run(&machine.cx).await.unwrap();
        for name in SECRETS {
            assert!(!machine.cx.sys.files.exists(name), "{name}");
        }
        let conf = machine.cx.sys.files.read(KUBELET_CONF).unwrap().unwrap();
        assert!(
            conf.contains(KUBELET_PEM) && conf.contains("https://127.241.0.30:6444"),
            "{conf}"
        );
        assert!(!conf.contains("client-key-data"));
        assert!(!needed(&machine.cx).await.unwrap());
        assert!(super::super::is_settled(&machine.cx));
    });
}

#[test]
fn the_first_identity_stays_until_the_kubelet_has_its_own() {
    run_local(async {
        let (machine, first) = joined_worker(&test_authority("kubernetes"), 242).await;
        machine.file(KUBELET_PEM, first.joint_pem().expose());
        let error = super::run(&machine.cx).await.unwrap_err();
        assert!(
            error.to_string().contains("no certificate of its own"),
            "{error}"
        );
        assert!(machine.cx.sys.files.exists(paths::IDENTITY_KEY));
        // The kubelet that took it for its own was started again, without it.
        assert_eq!(machine.orders(), ["restart kubelet.service"]);
        assert!(!machine.cx.sys.files.exists(KUBELET_PEM));
    });
}

#[test]
fn the_first_key_does_not_stay_in_the_kubelets_store() {
    run_local(async {
        let (machine, first) = joined_worker(&test_authority("kubernetes"), 243).await;
        let old = "/var/lib/kubelet/pki/kubelet-client-2023-11-14.pem";
        machine.file(old, first.joint_pem().expose());
        super::run(&machine.cx).await.unwrap();
        assert!(!machine.cx.sys.files.exists(old));
        assert!(machine.cx.sys.files.exists(KUBELET_PEM));
    });
}

#[test]
fn hooks_run_once_and_again_only_after_a_failure() {
    run_local(async {
        let (mut machine, _) = joined_worker(&test_authority("kubernetes"), 244).await;
        let mut node = (*machine.cx.node).clone();
        node.hooks.after_ready = vec!["true".into(), "echo x".into()];
        machine.cx.node = std::sync::Arc::new(node);
        let failed = Err(anyhow::anyhow!("exit code 1"));
        machine
            .commands
            .answer("systemd-run", Ok(<_>::default()))
            .answer("systemd-run", failed)
            .succeed("systemd-run")
            .succeed("systemctl stop");
        assert!(super::run(&machine.cx).await.is_err());
        for name in SECRETS {
            assert!(
                !machine.cx.sys.files.exists(name),
                "{name} is kept by a hook that fails"
            );
        }
        assert!(needed(&machine.cx).await.unwrap(), "the hook is still due");
        super::run(&machine.cx).await.unwrap();
        super::run(&machine.cx).await.unwrap();
        assert_eq!(lines_that_ran(&machine), ["true", "echo x", "echo x"]);
    });
}

#[test]
fn a_control_plane_keeps_to_its_own_apiserver() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let (mut machine, _) = joined_worker(&ca, 245).await;
        machine.cx.node = std::sync::Arc::new(testing::control_plane());
        kubelet_conf::settle_unless_kubeadm_did(&machine.cx, Phase::Finish)
            .await
            .unwrap();
        let conf = machine.cx.sys.files.read(KUBELET_CONF).unwrap().unwrap();
        assert!(conf.contains("https://10.77.0.12:6443"), "{conf}");
        let before = conf.clone();
        kubelet_conf::settle_unless_kubeadm_did(&machine.cx, Phase::Finish)
            .await
            .unwrap();
        assert_eq!(
            machine.cx.sys.files.read(KUBELET_CONF).unwrap().unwrap(),
            before,
            "settled once is settled"
        );
    });
}

/// Its key is the last thing that could join this node again: it goes only once another one does as well.
#[test]
fn the_first_identity_stays_until_the_cluster_takes_the_kubelets_own() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let (machine, _) = joined_worker(&ca, 246).await;
        let other = node_identity(&test_authority("another"), "node4");
        machine.file(KUBELET_PEM, other.joint_pem().expose());
        assert!(super::run(&machine.cx).await.is_err());
        assert!(machine.cx.sys.files.exists(paths::IDENTITY_KEY));
    });
}
