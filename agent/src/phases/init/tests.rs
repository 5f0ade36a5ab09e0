use super::*;
use crate::kube::testing::{Authority, Script, run_local, test_authority};
use crate::kube::{KUBELET_CONF, KUBELET_PEM, pki_file, pod_manifest};
use crate::testing::{self, FakeMachine};
use ha_wire::node::NodeFile;

mod claim;
mod disk;
mod doubt;
mod permission;
mod way;

const WAL: &str = "/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal";
const OWN_ETCD: &str = "- --initial-cluster=node1=https://10.77.0.11:2380\n";

/// A founder whose three control planes are 127.NET.0.11 to .13 and whose VIP is 127.NET.0.30.
fn founder_machine(net: u8, ca: &Authority) -> FakeMachine {
    founder_machine_with(net, ca, |_| ())
}

/// The same with something else in its node file.
fn founder_machine_with(
    net: u8,
    ca: &Authority,
    change: impl FnOnce(&mut NodeFile),
) -> FakeMachine {
    let mut node = testing::founder();
    for (i, peer) in (11..).zip(&mut node.control_planes) {
        peer.address = [127, net, 0, i].into();
    }
    node.address = node.control_planes[0].address;
    node.endpoint.vip = [127, net, 0, 30].into();
    change(&mut node);
    let machine = testing::fake_machine(node);
    machine.file(&pki_file("ca.crt"), ca.cert());
    machine.file(&pki_file("etcd/ca.crt"), ca.cert());
    machine.file(&pki_file("ca.key"), ca.key().expose());
    machine
        .commands
        .succeed("kubeadm init --skip-token-print --config");
    machine
}

fn ran_kubeadm(machine: &FakeMachine) -> bool {
    machine
        .orders()
        .iter()
        .any(|o| o.starts_with("run kubeadm init --skip-token-print"))
}

async fn serve_api(script: &Script, ca: &Authority, address: &str) {
    script.serve_at(ca, address).await;
}

#[test]
fn nobody_answers_so_it_founds() {
    run_local(async {
        let machine = founder_machine(101, &test_authority("kubernetes"));
        assert!(needed(&machine.cx).await.unwrap());
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        let orders = machine.orders();
        assert_eq!(
            orders[0], "reset-failed kubelet.service",
            "the kubelet may be crash-looping"
        );
        assert!(
            orders[1].starts_with("run kubeadm init --skip-token-print --config "),
            "{orders:?}"
        );
        let read = machine.commands.configs.take().remove(0);
        let json: serde_json::Value = read.text.split("---\n").next().unwrap().parse().unwrap();
        let token = json["bootstrapTokens"][0]["token"].as_str().unwrap();
        assert_eq!(
            ConfigFile::new(&read.name, read.text.replace(token, PLACEHOLDER_TOKEN)),
            config_files(&machine.cx).remove(0)
        );
        assert!(!machine.cx.sys.files.exists(&read.name), "it holds a token");
    });
}

#[test]
fn any_answer_under_our_ca_means_that_a_cluster_stands() {
    for (net, at, status) in [
        (102, "127.102.0.30:6444", 200),
        (103, "127.103.0.13:6443", 500),
        (104, "127.104.0.12:6443", 401),
    ] {
        run_local(async {
            let ca = test_authority("kubernetes");
            let machine = founder_machine(net, &ca);
            let script = Script::default();
            serve_api(script.on("GET /readyz", status, ""), &ca, at).await;
            assert_eq!(
                super::run(&machine.cx).await.unwrap(),
                Outcome::ClusterStands,
                "{at} {status}"
            );
            assert!(!ran_kubeadm(&machine));
        });
    }
}

#[test]
fn nothing_is_founded_beside_somebody_elses_cluster() {
    run_local(async {
        let machine = founder_machine(105, &test_authority("kubernetes"));
        serve_api(
            Script::default().on("GET /readyz", 200, ""),
            &test_authority("other"),
            "127.105.0.30:6444",
        )
        .await;
        let error = super::run(&machine.cx).await.unwrap_err().to_string();
        assert!(error.contains("another cluster answers"), "{error}");
        assert!(!ran_kubeadm(&machine));
    });
}

#[test]
fn a_peer_that_connects_and_is_silent_is_not_taken_for_absent() {
    run_local(async {
        let machine = founder_machine(111, &test_authority("kubernetes"));
        let silent = tokio::net::TcpListener::bind("127.111.0.12:6443").await;
        let error = super::run(&machine.cx).await.unwrap_err().to_string();
        assert!(error.contains("node2 (127.111.0.12:6443)"), "{error}");
        assert!(!ran_kubeadm(&machine));
        drop(silent);
    });
}

#[test]
fn a_permission_ends() {
    run_local(async {
        let machine = founder_machine(106, &test_authority("kubernetes"));
        machine.clock.0.set(4_000_000_001_000);
        assert_eq!(
            super::run(&machine.cx).await.unwrap(),
            Outcome::ClusterStands
        );
        assert!(!ran_kubeadm(&machine));
    });
}

#[test]
fn an_init_of_its_own_is_resumed_whoever_answers() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(107, &ca);
        machine.clock.0.set(4_000_000_001_000);
        serve_api(
            Script::default().on("GET /readyz", 200, ""),
            &ca,
            "127.107.0.30:6444",
        )
        .await;
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        machine.file(WAL, "");
        assert!(
            needed(&machine.cx).await.unwrap(),
            "its apiserver does not answer"
        );
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(ran_kubeadm(&machine));
    });
}

#[test]
fn the_token_that_kubeadm_insists_on_is_deleted() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(113, &ca);
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        machine.file(WAL, "");
        let api = Script::default();
        serve_api(&api, &ca, "127.113.0.30:6444").await;
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        let config = machine.commands.configs.take().remove(0).text;
        let json: serde_json::Value = config.split("---\n").next().unwrap().parse().unwrap();
        let token = json["bootstrapTokens"][0]["token"].as_str().unwrap();
        let secret = format!("bootstrap-token-{}", token.split('.').next().unwrap());
        assert_eq!(
            api.asked("DELETE"),
            [format!(
                "DELETE /api/v1/namespaces/kube-system/secrets/{secret}"
            )]
        );
    });
}

#[test]
fn a_join_that_was_interrupted_is_no_init() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(108, &ca);
        serve_api(
            Script::default().on("GET /readyz", 200, ""),
            &ca,
            "127.108.0.30:6444",
        )
        .await;
        machine.file(
            &pod_manifest("etcd"),
            "- --initial-cluster=a=b,c=d\n- --initial-cluster-state=existing\n",
        );
        assert_eq!(
            super::run(&machine.cx).await.unwrap(),
            Outcome::ClusterStands
        );
    });
}

#[test]
fn it_is_complete_with_its_last_addon() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let machine = founder_machine(109, &ca);
        machine.file(&pod_manifest("etcd"), OWN_ETCD);
        machine.file(WAL, "");
        let script = Script::default();
        let marked = r#"{"metadata":{"name":"node1","labels":{"node-role.kubernetes.io/control-plane":""}}}"#;
        let coredns = "GET /apis/apps/v1/namespaces/kube-system/deployments/coredns";
        script
            .on(
                "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config",
                404,
                "{}",
            )
            .on(
                "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config",
                200,
                "{}",
            )
            .on(
                "GET /api/v1/nodes/node1",
                200,
                r#"{"metadata":{"name":"node1"}}"#,
            )
            .on("GET /api/v1/nodes/node1", 200, marked)
            .on(coredns, 404, "{}")
            .on(coredns, 200, "{}");
        serve_api(&script, &ca, "127.109.0.11:6443").await;
        let mut looks = Vec::new();
        for _ in 0..4 {
            looks.push(needed(&machine.cx).await.unwrap());
        }
        assert_eq!(
            looks,
            [true, true, true, false],
            "no ConfigMap, no mark, no addon, all there"
        );
    });
}

#[test]
fn a_settled_node_never_founds() {
    run_local(async {
        let machine = founder_machine(110, &test_authority("kubernetes"));
        machine.file(KUBELET_CONF, "");
        machine.file(KUBELET_PEM, "");
        assert!(!needed(&machine.cx).await.unwrap());
        machine.file(ha_wire::paths::IDENTITY_KEY, "");
        assert!(
            needed(&machine.cx).await.unwrap(),
            "its first boot has not ended"
        );
    });
}

#[test]
fn a_silent_peer_is_asked_again_until_it_answers_or_refuses() {
    for answers in [true, false] {
        run_local(async {
            let ca = test_authority("kubernetes");
            let machine = founder_machine(112, &ca);
            let at = "127.112.0.13:6443";
            let silent = tokio::net::TcpListener::bind(at).await.unwrap();
            let changed = async {
                let first = silent.accept().await.unwrap();
                drop(silent);
                if answers {
                    serve_api(Script::default().on("GET /readyz", 503, ""), &ca, at).await;
                }
                // The first probe stays without an answer: whoever answers comes after it.
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(first);
            };
            let (outcome, ()) = tokio::join!(super::run(&machine.cx), changed);
            let expected = if answers {
                Outcome::ClusterStands
            } else {
                Outcome::Done
            };
            assert_eq!(outcome.unwrap(), expected);
            assert_eq!(ran_kubeadm(&machine), !answers);
        });
    }
}
