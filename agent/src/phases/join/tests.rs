use ha_wire::node::NodeFile;

use super::*;
use crate::kube::testing::{Script, node_identity, run_local, test_authority};
use crate::kube::{ADMIN_CONF, manifest, pki};
use crate::sys::Output;
use crate::testing::{self, FakeMachine};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const FREE: &str = r#"{"metadata":{"name":"ha-agent-etcd-join","resourceVersion":"1"},"spec":{"holderIdentity":""}}"#;
const MARKED: &str =
    r#"{"metadata":{"name":"node2","labels":{"node-role.kubernetes.io/control-plane":""}}}"#;

/// A joining node with the cluster around it: the API behind the VIP, etcd on the first peer.
struct Stage {
    machine: FakeMachine,
    api: Script,
    etcd: Script,
}

async fn stage(mut node: NodeFile, net: u8) -> Stage {
    for (i, peer) in (11..).zip(&mut node.control_planes) {
        peer.address = [127, net, 0, i].into();
    }
    node.address = [127, net, 0, if node.is_control_plane() { 12 } else { 14 }].into();
    node.endpoint.vip = [127, net, 0, 30].into();
    let (ca, etcd_ca) = (test_authority("kubernetes"), test_authority("etcd-ca"));
    let machine = testing::fake_machine(node);
    for (name, ca) in [("ca", &ca), ("etcd/ca", &etcd_ca)] {
        machine.file(&pki(&format!("{name}.crt")), ca.cert());
        machine.file(&pki(&format!("{name}.key")), ca.key().expose());
    }
    let me = node_identity(&ca, "node2");
    machine.file(paths::IDENTITY_CERT, &me.cert);
    machine.file(paths::IDENTITY_KEY, me.key.expose());
    let (api, etcd) = (Script::default(), Script::default());
    api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
    etcd.serve_at(&etcd_ca, &format!("127.{net}.0.11:2379"))
        .await;
    Stage { machine, api, etcd }
}

impl Stage {
    fn members(&self, members: &[(&str, &str, u8, bool)]) -> &Self {
        let net = self
            .machine
            .cx
            .node
            .address
            .to_string()
            .split('.')
            .nth(1)
            .unwrap()
            .to_owned();
        let member = |(id, name, host, learner): &(&str, &str, u8, bool)| {
            format!(
                r#"{{"ID":"{id}","name":"{name}","peerURLs":["https://127.{net}.0.{host}:2380"],"isLearner":{learner}}}"#
            )
        };
        let all: Vec<String> = members.iter().map(member).collect();
        self.etcd.on(
            "POST /v3/cluster/member/list",
            200,
            &format!(r#"{{"members":[{}]}}"#, all.join(",")),
        );
        self
    }

    fn free_lease(&self) {
        self.api
            .on(&format!("GET {LEASES}"), 200, FREE)
            .on(&format!("PUT {LEASES}"), 200, FREE);
    }

    /// A kubelet and certificates as kubeadm leaves them.
    fn prepared(&self) {
        self.kubelet();
        let names = [
            "apiserver",
            "front-proxy-client",
            "etcd/server",
            "etcd/peer",
            "apiserver-etcd-client",
        ];
        names
            .iter()
            .for_each(|n| self.machine.file(&pki(&format!("{n}.crt")), ""));
        [
            ADMIN_CONF,
            "/etc/kubernetes/controller-manager.conf",
            "/etc/kubernetes/scheduler.conf",
        ]
        .iter()
        .for_each(|n| self.machine.file(n, ""));
    }

    fn kubelet(&self) {
        [KUBELET_CONFIG, KUBELET_CONF, KUBELET_PEM]
            .iter()
            .for_each(|n| self.machine.file(n, ""));
        self.machine
            .systemd
            .units
            .borrow_mut()
            .insert(KUBELET.into(), "active".into());
    }

    fn etcd_here(&self) {
        self.machine.file("/var/lib/etcd/member/snap/db", "");
        [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ]
        .iter()
        .for_each(|n| self.machine.file(&manifest(n), ""));
    }

    fn kubeadm_runs(&self) -> usize {
        self.machine
            .orders()
            .iter()
            .filter(|o| o.starts_with("run kubeadm join --config"))
            .count()
    }
}

fn promoted() -> Result<Output> {
    let stdout =
        "[etcd] Waiting for the new etcd member to join the cluster. This can take up to 40s\n"
            .into();
    Ok(Output { stdout })
}

#[test]
fn a_blank_control_plane_joins_in_two_runs_under_the_lease() {
    run_local(async {
        let stage = stage(testing::control_plane(), 121).await;
        stage.members(&[("1", "node1", 11, false)]).free_lease();
        assert!(needed(&stage.machine.cx).await.unwrap());
        stage
            .machine
            .commands
            .answers
            .borrow_mut()
            .push_back(("kubeadm join".into(), Ok(Output::default())));
        stage
            .machine
            .commands
            .answers
            .borrow_mut()
            .push_back(("kubeadm join".into(), promoted()));
        super::run(&stage.machine.cx).await.unwrap();
        assert_eq!(stage.kubeadm_runs(), 2);
        let read = stage.machine.commands.configs.take();
        assert_eq!(read, config_files(&stage.machine.cx));
        let puts = stage.api.asked(&format!("PUT {LEASES}"));
        assert!(puts[0].contains(r#""holderIdentity":"node2/"#), "{puts:?}");
        assert!(
            stage
                .etcd
                .asked("POST /v3/cluster/member/remove")
                .is_empty()
        );
        let files = &stage.machine.cx.sys.files;
        let discovery = files.read(paths::DISCOVERY).unwrap().unwrap();
        assert!(
            discovery.contains("https://127.121.0.30:6444")
                && discovery.contains("client-key-data")
        );
        assert_eq!(
            files.read(KUBELET_CONF).unwrap().unwrap(),
            discovery,
            "the kubelet needs no bootstrap"
        );
    });
}

#[test]
fn a_made_anew_control_plane_removes_what_it_was_before() {
    run_local(async {
        let stage = stage(testing::control_plane(), 122).await;
        stage
            .members(&[
                ("1", "node1", 11, false),
                ("2", "node2", 12, false),
                ("3", "", 13, true),
            ])
            .free_lease();
        stage.etcd.on("POST /v3/cluster/member/remove", 200, "{}");
        stage.api.on("GET /api/v1/nodes/node2", 200, MARKED).on(
            "DELETE /api/v1/nodes/node2",
            200,
            "{}",
        );
        super::run(&stage.machine.cx).await.unwrap();
        assert_eq!(
            stage.etcd.asked("POST /v3/cluster/member/remove"),
            [
                r#"POST /v3/cluster/member/remove {"ID":"2"}"#,
                r#"POST /v3/cluster/member/remove {"ID":"3"}"#
            ],
            "its own old member, and a learner that nobody is any more"
        );
        assert_eq!(stage.api.asked("DELETE /api/v1/nodes/node2").len(), 1);
        assert_eq!(stage.kubeadm_runs(), 2);
    });
}

#[test]
fn a_learner_that_never_started_is_removed_and_joins_anew() {
    run_local(async {
        let stage = stage(testing::control_plane(), 123).await;
        stage
            .members(&[("1", "node1", 11, false), ("2", "", 12, true)])
            .free_lease();
        stage.etcd.on("POST /v3/cluster/member/remove", 200, "{}");
        stage.api.on(
            "GET /api/v1/nodes/node2",
            200,
            r#"{"metadata":{"name":"node2"}}"#,
        );
        stage.prepared();
        stage.etcd_here();
        super::run(&stage.machine.cx).await.unwrap();
        assert_eq!(
            stage.kubeadm_runs(),
            1,
            "certificates and kubelet are there"
        );
        assert_eq!(stage.etcd.asked("POST /v3/cluster/member/remove").len(), 1);
        assert!(
            !stage.machine.cx.sys.files.exists("/var/lib/etcd/member"),
            "old data would not fit the new member"
        );
        assert!(
            stage.api.asked("DELETE /api/v1/nodes").is_empty(),
            "its Node is its own"
        );
    });
}

#[test]
fn a_voter_goes_on_without_the_lease() {
    run_local(async {
        let stage = stage(testing::control_plane(), 124).await;
        stage.members(&[("1", "node1", 11, false), ("2", "node2", 12, false)]);
        stage.api.on("GET /api/v1/nodes/node2", 200, MARKED);
        stage.prepared();
        stage.etcd_here();
        assert!(
            needed(&stage.machine.cx).await.unwrap(),
            "its apiserver is not ready yet"
        );
        super::run(&stage.machine.cx).await.unwrap();
        assert_eq!(stage.kubeadm_runs(), 1);
        assert!(stage.api.asked(&format!("PUT {LEASES}")).is_empty());
        assert!(
            stage
                .machine
                .cx
                .sys
                .files
                .exists("/var/lib/etcd/member/snap/db"),
            "a voter's data are never touched"
        );
    });
}

#[test]
fn a_failed_join_lets_the_lease_go() {
    run_local(async {
        let stage = stage(testing::control_plane(), 125).await;
        stage.members(&[("1", "node1", 11, false)]).free_lease();
        stage
            .machine
            .commands
            .answers
            .borrow_mut()
            .push_back(("kubeadm join".into(), Ok(Output::default())));
        let failed = crate::sys::CommandFailed {
            command: "kubeadm join".into(),
            outcome: "exit code 1".into(),
            tail: vec!["etcd: no".into()],
        };
        stage
            .machine
            .commands
            .answers
            .borrow_mut()
            .push_back(("kubeadm join".into(), Err(failed.into())));
        let error = super::run(&stage.machine.cx).await.unwrap_err();
        assert_eq!(error.to_string(), "kubeadm join: exit code 1: etcd: no");
        assert!(
            stage.api.asked(&format!("GET {LEASES}")).len() >= 2,
            "looked once to take it and once to let it go"
        );
    });
}

#[test]
fn a_worker_joins_once() {
    run_local(async {
        let stage = stage(testing::worker(), 126).await;
        assert!(needed(&stage.machine.cx).await.unwrap());
        super::run(&stage.machine.cx).await.unwrap();
        assert_eq!(stage.kubeadm_runs(), 1);
        let read = stage.machine.commands.configs.take();
        assert_eq!(read, config_files(&stage.machine.cx));
        stage.kubelet();
        assert!(
            needed(&stage.machine.cx).await.unwrap(),
            "its node is not registered"
        );
        stage.api.on("GET /api/v1/nodes/node4", 200, "{}");
        assert!(!needed(&stage.machine.cx).await.unwrap());
    });
}

#[test]
fn a_workers_kubelet_that_was_set_up_is_only_started() {
    run_local(async {
        let stage = stage(testing::worker(), 127).await;
        stage.kubelet();
        stage
            .machine
            .systemd
            .units
            .borrow_mut()
            .insert(KUBELET.into(), "failed".into());
        stage.api.on("GET /api/v1/nodes/node4", 200, "{}");
        super::run(&stage.machine.cx).await.unwrap();
        assert_eq!(
            stage.machine.orders(),
            ["reset-failed kubelet.service", "start kubelet.service"]
        );
    });
}

#[test]
fn a_new_worker_waits_until_its_old_node_is_not_ready() {
    run_local(async {
        let stage = stage(testing::worker(), 128).await;
        let ready = |status: &str| {
            format!(r#"{{"status":{{"conditions":[{{"type":"Ready","status":"{status}"}}]}}}}"#)
        };
        for status in ["True", "True", "Unknown"] {
            stage.api.on("GET /api/v1/nodes/node4", 200, &ready(status));
        }
        super::run(&stage.machine.cx).await.unwrap();
        assert_eq!(stage.api.asked("GET /api/v1/nodes/node4").len(), 3);
        assert_eq!(stage.kubeadm_runs(), 1);
    });
}
