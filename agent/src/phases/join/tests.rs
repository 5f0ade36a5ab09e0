use ha_test_support::PATIENCE;
use ha_wire::node::NodeFile;
use ha_wire::paths;

use super::*;
use crate::kube::testing::{
    Authority, Script, kubeadm_files, kubelet_files, node_identity, run_local, test_authority,
};
use crate::kube::{KUBELET_CONF, kubeconfig, pki_file, pod_manifest};
use crate::testing::{self, FakeMachine};

mod external_etcd;
mod interrupted;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const LEASE: &str = "ha-agent-etcd-join";
const JOIN: &str = "kubeadm join --config";
pub(super) const LOCAL_IMAGES: &str = "ctr --namespace k8s.io images list --quiet";
const MARKED: &str = r#"{"metadata":{"name":"node2","labels":{"node-role.kubernetes.io/control-plane":""}},
    "status":{"nodeInfo":{"bootID":"this-boot"}}}"#;
/// Told by a kubelet of this boot, and by one of the boot before.
const REGISTERED: &str = r#"{"status":{"nodeInfo":{"bootID":"this-boot"}}}"#;
const OF_OLD: &str = r#"{"status":{"nodeInfo":{"bootID":"the-boot-before"},"conditions":[{"type":"Ready","status":"Unknown"}]}}"#;

/// A joining node with the cluster around it: the API behind the VIP, etcd on the first peer.
pub(super) struct JoinFixture {
    ca: Authority,
    pub machine: FakeMachine,
    pub api: Script,
    pub etcd: Script,
}

pub(super) async fn join_fixture(mut node: NodeFile, net: u8) -> JoinFixture {
    for (i, peer) in (11..).zip(&mut node.control_planes) {
        peer.address = [127, net, 0, i].into();
    }
    node.address = [127, net, 0, if node.is_control_plane() { 12 } else { 14 }].into();
    node.endpoint.vip = [127, net, 0, 30].into();
    let (ca, etcd_ca) = (test_authority("kubernetes"), test_authority("etcd-ca"));
    let machine = testing::fake_machine(node);
    for (name, ca) in [("ca", &ca), ("etcd/ca", &etcd_ca)] {
        machine.file(&pki_file(&format!("{name}.crt")), ca.cert());
        machine.file(&pki_file(&format!("{name}.key")), ca.key().expose());
    }
    let me = node_identity(&ca, "node2");
    machine.file(paths::IDENTITY_CERT, &me.cert);
    machine.file(paths::IDENTITY_KEY, me.key.expose());
    let (api, etcd) = (Script::default(), Script::default());
    etcd.on("POST /v3/maintenance/status", 200, r#"{"version":"3.7.0"}"#);
    api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
    etcd.serve_at(&etcd_ca, &format!("127.{net}.0.11:2379"))
        .await;
    machine.commands.succeed(JOIN);
    // The kubelet that kubeadm starts gets a certificate of its own.
    let own = node_identity(&ca, "node2").joint_pem();
    let pem = machine.cx.sys.files.path(KUBELET_PEM);
    machine.commands.leaves(JOIN, pem, own.expose());
    let stdout = "registry.k8s.io/etcd:3.6.5-0\n".to_owned();
    let images = Ok(crate::sys::Output { stdout });
    machine.commands.answer(LOCAL_IMAGES, images);
    machine.systemd.unit(KUBELET, "inactive");
    machine.file("/proc/sys/kernel/random/boot_id", "this-boot\n");
    JoinFixture {
        ca,
        machine,
        api,
        etcd,
    }
}

impl JoinFixture {
    pub(super) fn serve_members(&self, members: &[(&str, &str, u8, bool)]) -> &Self {
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
            let clients = if name.is_empty() {
                String::new()
            } else {
                format!(r#""https://127.{net}.0.{host}:2379""#)
            };
            format!(
                r#"{{"ID":"{id}","name":"{name}","peerURLs":["https://127.{net}.0.{host}:2380"],"clientURLs":[{clients}],"isLearner":{learner}}}"#
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

    pub(super) fn lease_holder(&self) -> Option<String> {
        self.api.lease(LEASE)?.spec.holder_identity
    }

    /// Who held the lease after each change of hands.
    pub(super) fn lease_story(&self) -> Vec<String> {
        let asked = self.api.asked.borrow();
        let changes = asked
            .iter()
            .filter(|r| r.starts_with("P") && r.contains(LEASES));
        let holder = |request: &String| -> Option<String> {
            let (_, body) = request.split_once(" {")?;
            let lease: serde_json::Value = serde_json::from_str(&format!("{{{body}")).ok()?;
            let holder = lease["spec"]["holderIdentity"].as_str()?;
            Some(holder.split('/').next()?.to_owned())
        };
        let mut story: Vec<String> = changes.filter_map(holder).collect();
        story.dedup();
        story
    }

    /// A kubelet and certificates as kubeadm leaves them.
    pub(super) fn write_prepared_files(&self) {
        self.write_kubelet_files();
        let of_kubelet = kubelet_files(&self.ca);
        for (name, text) in kubeadm_files(&self.ca) {
            if !of_kubelet.contains_key(&name) && !name.contains("/manifests/") {
                self.machine.file(&name, &text);
            }
        }
    }

    pub(super) fn write_kubelet_files(&self) {
        for (name, text) in kubelet_files(&self.ca) {
            self.machine.file(&name, &text);
        }
        let node = &self.machine.cx.node;
        let server = match node.is_control_plane() {
            true => format!("https://{}:6443", node.address),
            false => format!("https://{}:6444", node.endpoint.vip),
        };
        let conf = kubeconfig::render_with_file(&server, self.ca.cert(), KUBELET_PEM);
        self.machine.file(KUBELET_CONF, conf.expose());
        self.machine.systemd.unit(KUBELET, "active");
    }

    pub(super) fn etcd_here(&self) {
        self.machine.file("/var/lib/etcd/member/snap/db", "");
        for (name, text) in kubeadm_files(&self.ca) {
            if name.contains("/manifests/") {
                self.machine.file(&name, &text);
            }
        }
    }

    pub(super) fn kubeadm_runs(&self) -> usize {
        self.machine
            .orders()
            .iter()
            .filter(|o| o.starts_with("run kubeadm join --config"))
            .count()
    }
}

#[test]
fn a_blank_control_plane_joins_in_two_runs_under_the_lease() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 121).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        assert!(needed(&fixture.machine.cx).await.unwrap());
        let files = &fixture.machine.cx.sys.files;
        kubelet_conf::write_for_join(&fixture.machine.cx).unwrap();
        let discovery = files.read(paths::DISCOVERY).unwrap();
        assert_eq!(
            files.read(KUBELET_CONF).unwrap(),
            discovery,
            "the kubelet needs no bootstrap"
        );
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(fixture.kubeadm_runs(), 2);
        let read = fixture.machine.commands.configs.take();
        assert_eq!(read, config_files(&fixture.machine.cx));
        assert_eq!(fixture.lease_story(), ["node2", ""], "held, and let go");
        assert!(
            fixture
                .etcd
                .asked("POST /v3/cluster/member/remove")
                .is_empty()
        );
        assert_eq!(files.read(paths::DISCOVERY).unwrap(), discovery);
        let discovery = discovery.unwrap();
        assert!(
            discovery.contains("https://127.121.0.30:6444")
                && discovery.contains("client-key-data")
        );
    });
}

#[test]
fn a_made_anew_control_plane_removes_what_it_was_before() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 122).await;
        fixture.serve_members(&[
            ("1", "node1", 11, false),
            ("2", "node2", 12, false),
            ("3", "", 13, true),
        ]);
        fixture.etcd.on("POST /v3/cluster/member/remove", 200, "{}");
        fixture.api.on("GET /api/v1/nodes/node2", 200, MARKED).on(
            "DELETE /api/v1/nodes/node2",
            200,
            "{}",
        );
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(
            fixture.etcd.asked("POST /v3/cluster/member/remove"),
            [
                r#"POST /v3/cluster/member/remove {"ID":"2"}"#,
                r#"POST /v3/cluster/member/remove {"ID":"3"}"#
            ],
            "its own old member, and a learner that nobody is any more"
        );
        assert_eq!(fixture.api.asked("DELETE /api/v1/nodes/node2").len(), 1);
        assert_eq!(fixture.kubeadm_runs(), 2);
    });
}

#[test]
fn a_learner_that_never_started_is_removed_and_joins_anew() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 123).await;
        fixture.serve_members(&[("1", "node1", 11, false), ("2", "", 12, true)]);
        fixture.etcd.on("POST /v3/cluster/member/remove", 200, "{}");
        fixture.api.on("GET /api/v1/nodes/node2", 200, REGISTERED);
        fixture.write_prepared_files();
        fixture.etcd_here();
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(
            fixture.kubeadm_runs(),
            1,
            "certificates and kubelet are there"
        );
        assert_eq!(
            fixture.etcd.asked("POST /v3/cluster/member/remove").len(),
            1
        );
        assert!(
            !fixture.machine.cx.sys.files.exists("/var/lib/etcd/member"),
            "old data would not fit the new member"
        );
        assert!(
            fixture.api.asked("DELETE /api/v1/nodes").is_empty(),
            "its Node is its own"
        );
    });
}

#[test]
fn a_voter_goes_on_without_the_lease() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 124).await;
        fixture.serve_members(&[("1", "node1", 11, false), ("2", "node2", 12, false)]);
        fixture.api.on("GET /api/v1/nodes/node2", 200, MARKED);
        fixture.write_prepared_files();
        fixture.etcd_here();
        assert!(
            needed(&fixture.machine.cx).await.unwrap(),
            "its apiserver is not ready yet"
        );
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(fixture.kubeadm_runs(), 1);
        assert!(fixture.api.asked(&format!("PUT {LEASES}")).is_empty());
        assert!(
            fixture
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
        let fixture = join_fixture(testing::control_plane(), 125).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        let failed = crate::sys::CommandFailed {
            command: "kubeadm join".into(),
            outcome: "exit code 1".into(),
            code: Some(1),
            tail: vec!["etcd: no".into()],
        };
        fixture
            .machine
            .commands
            .answer(JOIN, Ok(crate::sys::Output::default()))
            .answer(JOIN, Err(failed.into()));
        let error = super::run(&fixture.machine.cx).await.unwrap_err();
        assert_eq!(error.to_string(), "kubeadm join: exit code 1: etcd: no");
        assert_eq!(fixture.lease_story(), ["node2", ""]);
        assert_eq!(fixture.lease_holder().as_deref(), Some(""));
    });
}

#[test]
fn an_old_member_that_cannot_be_removed_lets_the_lease_go_too() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 130).await;
        fixture.serve_members(&[("1", "node1", 11, false), ("2", "node2", 12, false)]);
        fixture.etcd.on("POST /v3/cluster/member/remove", 503, "{}");
        let error = super::run(&fixture.machine.cx).await.unwrap_err();
        assert!(
            error.to_string().contains("node2 cannot be removed"),
            "{error:#}"
        );
        assert_eq!(fixture.lease_story(), ["node2", ""]);
        assert_eq!(fixture.kubeadm_runs(), 1, "kubeadm never came to etcd");
    });
}

/// The next control plane's turn comes while this one's components start.
#[test]
fn the_lease_is_let_go_when_the_member_votes() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 129).await;
        let first = ("1", "node1", 11, false);
        // Three looks before the lease, three under it, three while kubeadm runs; the last answer is kept.
        for _ in 0..6 {
            fixture.serve_members(&[first]);
        }
        fixture.serve_members(&[first, ("2", "", 12, true)]);
        fixture.serve_members(&[first, ("2", "node2", 12, true)]);
        fixture.serve_members(&[first, ("2", "node2", 12, false)]);
        fixture.machine.commands.lasts(JOIN).notify_one();
        let components = fixture.machine.commands.lasts(JOIN);
        let let_go = async {
            while fixture.lease_story() != ["node2", ""] {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(fixture.lease_holder().as_deref(), Some(""));
            let looks = fixture.etcd.asked("POST /v3/cluster/member/list").len();
            assert!(looks >= 9, "a learner does not vote: {looks}");
            components.notify_one();
        };
        let both = async { tokio::join!(super::run(&fixture.machine.cx), let_go).0 };
        let ended = tokio::time::timeout(PATIENCE, both).await;
        ended
            .expect("the lease is held for as long as kubeadm runs")
            .unwrap();
        assert_eq!(fixture.kubeadm_runs(), 2);
    });
}

#[test]
fn a_worker_joins_once() {
    run_local(async {
        let fixture = join_fixture(testing::worker(), 126).await;
        assert!(needed(&fixture.machine.cx).await.unwrap());
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(fixture.kubeadm_runs(), 1);
        let read = fixture.machine.commands.configs.take();
        assert_eq!(read, config_files(&fixture.machine.cx));
        fixture.write_kubelet_files();
        assert!(
            needed(&fixture.machine.cx).await.unwrap(),
            "its node is not registered"
        );
        fixture.api.on("GET /api/v1/nodes/node4", 200, OF_OLD);
        fixture.api.on("GET /api/v1/nodes/node4", 200, REGISTERED);
        assert!(
            needed(&fixture.machine.cx).await.unwrap(),
            "its node is the one of before the cut"
        );
        assert!(!needed(&fixture.machine.cx).await.unwrap());
    });
}

#[test]
fn a_workers_kubelet_that_was_set_up_is_only_started() {
    run_local(async {
        let fixture = join_fixture(testing::worker(), 127).await;
        fixture.write_kubelet_files();
        fixture.machine.systemd.unit(KUBELET, "failed");
        fixture.api.on("GET /api/v1/nodes/node4", 200, REGISTERED);
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(
            fixture.machine.orders(),
            ["reset-failed kubelet.service", "start kubelet.service"]
        );
    });
}

#[test]
fn a_new_worker_waits_until_its_old_node_is_not_ready() {
    run_local(async {
        let fixture = join_fixture(testing::worker(), 128).await;
        let ready = |status: &str| {
            format!(r#"{{"status":{{"conditions":[{{"type":"Ready","status":"{status}"}}]}}}}"#)
        };
        for status in ["True", "True", "Unknown"] {
            fixture
                .api
                .on("GET /api/v1/nodes/node4", 200, &ready(status));
        }
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(fixture.api.asked("GET /api/v1/nodes/node4").len(), 3);
        assert_eq!(fixture.kubeadm_runs(), 1);
    });
}
