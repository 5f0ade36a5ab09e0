use super::*;
use crate::kube::testing::{Authority, Script, run};
use crate::kube::{KUBELET_CONF, KUBELET_PEM, pki};
use crate::testing::{self, Machine};

const OWN_ETCD: &str = "- --initial-cluster=node1=https://10.77.0.11:2380\n";

/// A founder whose three control planes are 127.NET.0.11 to .13 and whose VIP is 127.NET.0.30.
fn founder(net: u8, ca: &Authority) -> Machine {
    let mut node = testing::founder();
    for (i, peer) in (11..).zip(&mut node.control_planes) {
        peer.address = [127, net, 0, i].into();
    }
    node.address = node.control_planes[0].address;
    node.endpoint.vip = [127, net, 0, 30].into();
    let machine = testing::machine(node);
    machine.file(&pki("ca.crt"), &ca.cert);
    machine.file(&pki("ca.key"), &ca.key);
    machine
}

fn ran_kubeadm(machine: &Machine) -> bool {
    machine
        .orders()
        .iter()
        .any(|o| o.starts_with("run kubeadm init --skip-token-print"))
}

async fn serve(script: &Script, ca: &Authority, address: &str) {
    script.serve_at(ca, address).await;
}

#[test]
fn nobody_answers_so_it_founds() {
    run(async {
        let machine = founder(101, &Authority::new("kubernetes"));
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
        run(async {
            let ca = Authority::new("kubernetes");
            let machine = founder(net, &ca);
            let script = Script::default();
            serve(script.on("GET /readyz", status, ""), &ca, at).await;
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
    run(async {
        let machine = founder(105, &Authority::new("kubernetes"));
        serve(
            Script::default().on("GET /readyz", 200, ""),
            &Authority::new("other"),
            "127.105.0.30:6444",
        )
        .await;
        let error = super::run(&machine.cx).await.unwrap_err().to_string();
        assert!(error.contains("another cluster answers"), "{error}");
        assert!(!ran_kubeadm(&machine));
    });
}

#[test]
fn a_permission_ends() {
    run(async {
        let machine = founder(106, &Authority::new("kubernetes"));
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
    run(async {
        let ca = Authority::new("kubernetes");
        let machine = founder(107, &ca);
        machine.clock.0.set(4_000_000_001_000);
        serve(
            Script::default().on("GET /readyz", 200, ""),
            &ca,
            "127.107.0.30:6444",
        )
        .await;
        machine.file(&manifest("etcd"), OWN_ETCD);
        assert!(
            needed(&machine.cx).await.unwrap(),
            "its apiserver does not answer"
        );
        assert_eq!(super::run(&machine.cx).await.unwrap(), Outcome::Done);
        assert!(ran_kubeadm(&machine));
    });
}

#[test]
fn a_join_that_was_interrupted_is_no_init() {
    run(async {
        let ca = Authority::new("kubernetes");
        let machine = founder(108, &ca);
        serve(
            Script::default().on("GET /readyz", 200, ""),
            &ca,
            "127.108.0.30:6444",
        )
        .await;
        machine.file(
            &manifest("etcd"),
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
    run(async {
        let ca = Authority::new("kubernetes");
        let machine = founder(109, &ca);
        machine.file(&manifest("etcd"), OWN_ETCD);
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
        serve(&script, &ca, "127.109.0.11:6443").await;
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
    run(async {
        let machine = founder(110, &Authority::new("kubernetes"));
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
fn answers_are_judged() {
    let url = || String::from("u");
    let stands = |e| judge(Err(e)).ok();
    assert_eq!(judge(Ok(())).ok(), Some(true));
    assert_eq!(
        stands(ApiError::Status {
            url: url(),
            code: 503,
            message: String::new()
        }),
        Some(true)
    );
    assert_eq!(
        stands(ApiError::Unreachable {
            url: url(),
            cause: String::new()
        }),
        Some(false)
    );
    assert_eq!(
        stands(ApiError::Tls {
            url: url(),
            cause: String::new()
        }),
        Some(false)
    );
    assert_eq!(
        stands(ApiError::Deadline {
            url: url(),
            seconds: 2.0
        }),
        Some(false)
    );
    assert_eq!(
        stands(ApiError::UnknownAuthority {
            url: url(),
            issuer: None
        }),
        None
    );
}
