//! A control plane in its steady state, with the API behind the VIP, every control plane's own apiserver, and its own etcd.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ha_kube::Authority;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::phases::balancer;
use crate::render::{haproxy, keepalived};
use crate::testing::FakeMachine;

/// The second of three control planes, 127.NET.0.11 to .13; haproxy answers, both units run with our configuration.
pub struct BalancerFixture {
    pub machine: FakeMachine,
    pub api: Script,
    pub etcd: Script,
    ca: Authority,
    net: u8,
    apiservers: RefCell<BTreeMap<u8, Script>>,
}

/// A cluster's kube-system: uid, and when it was made.
type Shown = (&'static str, &'static str);

const OURS: Shown = ("ours", "2026-01-01T10:00:00Z");
const YOUNGER: Shown = ("another", "2026-03-01T10:00:00Z");
const OLDER: Shown = ("another", "2025-03-01T10:00:00Z");

const NODES: &str = "GET /api/v1/nodes?labelSelector=node-role.kubernetes.io%2Fcontrol-plane";
const KUBE_SYSTEM: &str = "GET /api/v1/namespaces/kube-system";
const RELOAD: &str = "reload-or-restart haproxy.service";
/// What haproxy is spared.
const DAMPED: Duration = Duration::from_secs(30);

impl BalancerFixture {
    /// What its servers remember of the agent's questions.
    pub fn forget_requests(&self) {
        let apiservers = self.apiservers.borrow();
        for server in [&self.api, &self.etcd]
            .into_iter()
            .chain(apiservers.values())
        {
            server.asked.take();
        }
    }

    pub async fn new(net: u8) -> Self {
        let mut node = testing::control_plane();
        for (host, peer) in (11..).zip(&mut node.control_planes) {
            peer.address = [127, net, 0, host].into();
        }
        node.address = [127, net, 0, 12].into();
        node.endpoint.vip = [127, net, 0, 30].into();
        node.kubernetes.service_cidr = format!("127.{net}.96.0/24").parse().unwrap();
        let (ca, etcd_ca) = (test_authority("kubernetes"), test_authority("etcd-ca"));
        let machine = testing::fake_machine(node);
        for (name, ca) in [("ca", &ca), ("etcd/ca", &etcd_ca)] {
            machine.file(&kube::pki_file(&format!("{name}.crt")), ca.cert());
            machine.file(&kube::pki_file(&format!("{name}.key")), ca.key().expose());
        }
        for unit in [haproxy::UNIT, keepalived::UNIT] {
            machine.systemd.unit(unit, "active");
        }
        serve_health(&machine);
        balancer::run(&machine.cx).await.unwrap();
        machine.orders();
        let (api, etcd) = (Script::default(), Script::default());
        api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
        etcd.serve_at(&etcd_ca, &format!("127.{net}.0.12:2379"))
            .await;
        let apiservers = RefCell::default();
        let fixture = Self {
            machine,
            api,
            etcd,
            ca,
            net,
            apiservers,
        };
        for host in 11..=13 {
            fixture.serve_identity(host, OURS).await;
        }
        fixture.cluster_is(&[11, 12, 13]);
        fixture
    }

    /// The control planes whose Nodes are in the cluster from now on.
    pub fn cluster_is(&self, hosts: &[u8]) {
        let nodes: Vec<(u8, u8)> = hosts.iter().map(|h| (h - 10, *h)).collect();
        self.nodes_say(&nodes);
    }

    /// The same by number and address.
    fn nodes_say(&self, nodes: &[(u8, u8)]) {
        let node = |(number, host): &(u8, u8)| {
            let address = format!("127.{}.0.{host}", self.net);
            json!({
                "metadata": {"name": format!("node{number}")},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            })
        };
        let nodes: Vec<Value> = nodes.iter().map(node).collect();
        self.api
            .from_now_on(NODES, 200, &json!({"items": nodes}).to_string());
    }

    /// The apiserver at this address is ready and belongs to this cluster from now on.
    async fn serve_identity(&self, host: u8, (uid, made): Shown) {
        if !self.apiservers.borrow().contains_key(&host) {
            let script = Script::default();
            let address = format!("127.{}.0.{host}:6443", self.net);
            script.serve_at(&self.ca, &address).await;
            self.apiservers.borrow_mut().insert(host, script);
        }
        let namespace = json!({"metadata": {"uid": uid, "creationTimestamp": made}});
        self.apiservers.borrow()[&host]
            .from_now_on(KUBE_SYSTEM, 200, &namespace.to_string())
            .from_now_on("GET /readyz", 200, "ok");
    }

    /// It answers, but has no etcd behind it.
    fn is_sick(&self, host: u8) {
        self.apiservers.borrow()[&host]
            .from_now_on(KUBE_SYSTEM, 500, "etcdserver: request timed out")
            .from_now_on("GET /readyz", 500, "[-]etcd failed");
    }

    /// The number of each backend's node and its address's last byte.
    fn configured_backends(&self) -> Vec<(u8, u8)> {
        let all = balancer::configured_backends(&self.machine.cx).unwrap();
        let last = |address: std::net::IpAddr| {
            let text = address.to_string();
            text.rsplit('.').next().unwrap().parse().unwrap()
        };
        all.into_iter()
            .map(|p| {
                (
                    p.name.trim_start_matches("node").parse().unwrap(),
                    last(p.address),
                )
            })
            .collect()
    }

    async fn let_pass(&self, time: Duration) {
        self.machine.cx.sys.clock.sleep(time).await;
    }
}

pub fn serve_health(machine: &FakeMachine) {
    machine.file("/run/haproxy/here", "");
    let socket = machine.cx.sys.files.path(haproxy::HEALTH_SOCKET);
    let listener = UnixListener::bind(socket).unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 100]).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
        }
    });
}

const AS_TOLD: [(u8, u8); 3] = [(1, 11), (2, 12), (3, 13)];

#[test]
fn a_newcomer_is_added_once_it_answers_as_this_cluster() {
    run_local(async {
        let fixture = BalancerFixture::new(163).await;
        fixture.cluster_is(&[11, 12, 13, 14]);
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        watch.follow().await.unwrap();
        assert_eq!(fixture.configured_backends(), AS_TOLD, "it does not answer");
        fixture.serve_identity(14, YOUNGER).await;
        watch.follow().await.unwrap();
        assert_eq!(
            fixture.configured_backends(),
            AS_TOLD,
            "it is of another cluster"
        );
        assert!(fixture.machine.orders().is_empty());
        fixture.serve_identity(14, OURS).await;
        watch.follow().await.unwrap();
        assert_eq!(
            fixture.configured_backends(),
            [&AS_TOLD[..], &[(4, 14)]].concat()
        );
        assert_eq!(fixture.machine.orders(), [RELOAD]);
        watch.follow().await.unwrap();
        assert!(fixture.machine.orders().is_empty(), "nothing changed");
    });
}

/// Shown by its agent beginning again in between: what it saw before is in no file.
#[test]
fn a_control_plane_that_left_while_no_agent_ran_leaves_and_comes_back_when_it_answers() {
    run_local(async {
        let fixture = BalancerFixture::new(164).await;
        fixture.cluster_is(&[11, 12]);
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        watch.follow().await.unwrap();
        fixture.is_sick(13);
        watch.follow().await.unwrap();
        assert_eq!(
            fixture.configured_backends(),
            AS_TOLD,
            "it may be yet to join"
        );
        fixture.let_pass(Duration::from_mins(10)).await;
        watch.follow().await.unwrap();
        assert_eq!(fixture.configured_backends(), AS_TOLD[..2], "it left");
        fixture.serve_identity(13, OURS).await;
        fixture.let_pass(DAMPED).await;
        watch.follow().await.unwrap();
        assert_eq!(
            fixture.configured_backends(),
            AS_TOLD,
            "it answers, whatever the API lists"
        );
    });
}

#[test]
fn who_patches_addresses_of_nodes_changes_nothing() {
    run_local(async {
        let fixture = BalancerFixture::new(165).await;
        // Nobody, this node's own elsewhere, another node's, the VIP.
        fixture.nodes_say(&[(1, 99), (2, 98), (3, 11)]);
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        watch.follow().await.unwrap();
        assert_eq!(fixture.configured_backends(), AS_TOLD);
        fixture.is_sick(13);
        for address in [11, 30, 98] {
            fixture.nodes_say(&[(1, 11), (2, 12), (3, address)]);
            watch.follow().await.unwrap();
            assert_eq!(fixture.configured_backends(), AS_TOLD, "{address}");
        }
        assert!(fixture.machine.orders().is_empty());
        fixture.serve_identity(97, OURS).await;
        fixture.nodes_say(&[(1, 11), (2, 12), (3, 97)]);
        watch.follow().await.unwrap();
        assert_eq!(
            fixture.configured_backends(),
            [(1, 11), (2, 12), (3, 97)],
            "it moved"
        );
        fixture.let_pass(DAMPED).await;
        fixture.cluster_is(&[11, 12, 13]);
        fixture.serve_identity(13, OURS).await;
        fixture.is_sick(97);
        watch.follow().await.unwrap();
        assert_eq!(fixture.configured_backends(), AS_TOLD, "it moved back");
    });
}

#[test]
fn a_stranger_leaves_the_load_balancer_and_is_named_until_it_is_none() {
    run_local(async {
        let fixture = BalancerFixture::new(166).await;
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        watch.follow().await.unwrap();
        fixture.serve_identity(11, OLDER).await;
        let fault = watch.follow().await.unwrap_err().to_string();
        assert!(fault.starts_with("node1's apiserver"), "{fault}");
        assert_eq!(fixture.configured_backends(), AS_TOLD[1..]);
        assert_eq!(fixture.machine.status().strangers, ["node1"]);
        fixture.is_sick(11);
        fixture.let_pass(DAMPED).await;
        assert!(watch.follow().await.is_err(), "not forgotten");
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        watch.follow().await.unwrap();
        assert_eq!(
            fixture.configured_backends(),
            AS_TOLD[1..],
            "silent: no proof of anything"
        );
        fixture.serve_identity(11, OURS).await;
        watch.follow().await.unwrap();
        assert_eq!(fixture.configured_backends(), [(2, 12), (3, 13), (1, 11)]);
        assert!(fixture.machine.status().strangers.is_empty());
    });
}

#[test]
fn one_that_is_outvoted_sends_its_own_clients_to_the_others() {
    run_local(async {
        let fixture = BalancerFixture::new(167).await;
        fixture.serve_identity(12, OLDER).await;
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        let fault = watch.follow().await.unwrap_err().to_string();
        assert!(fault.starts_with("this node's apiserver"), "{fault}");
        assert_eq!(fixture.configured_backends(), [(1, 11), (3, 13)]);
        assert_eq!(fixture.machine.status().strangers, ["node2"]);
        // Alone it proves nothing, also to an agent that begins.
        fixture.is_sick(11);
        fixture.is_sick(13);
        fixture.let_pass(DAMPED).await;
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        watch.follow().await.unwrap();
        assert_eq!(fixture.configured_backends(), [(1, 11), (3, 13)]);
        for host in 11..=13 {
            fixture.serve_identity(host, OURS).await;
        }
        watch.follow().await.unwrap();
        assert_eq!(fixture.configured_backends(), [(1, 11), (3, 13), (2, 12)]);
    });
}

/// Both sides see the same two answers and choose the same one.
#[test]
fn of_two_clusters_of_the_same_size_the_older_one_is_served() {
    run_local(async {
        for (net, other, served) in [(168, YOUNGER, (2, 12)), (169, OLDER, (1, 11))] {
            let fixture = BalancerFixture::new(net).await;
            fixture.is_sick(13);
            fixture.serve_identity(11, other).await;
            let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
            assert!(watch.follow().await.is_err());
            assert_eq!(
                fixture.configured_backends(),
                [&[served], &[(3, 13)][..]].concat()
            );
        }
    });
}

#[test]
fn haproxy_is_reloaded_at_once_and_then_at_most_every_thirty_seconds() {
    run_local(async {
        let fixture = BalancerFixture::new(170).await;
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        fixture.serve_identity(14, OURS).await;
        fixture.cluster_is(&[11, 12, 13, 14]);
        watch.follow().await.unwrap();
        assert_eq!(fixture.machine.orders(), [RELOAD]);
        fixture.serve_identity(15, OURS).await;
        fixture.cluster_is(&[11, 12, 13, 14, 15]);
        let mut orders = Vec::new();
        for _ in 0..6 {
            fixture.let_pass(EVERY).await;
            watch.follow().await.unwrap();
            orders.push(fixture.machine.orders().len());
        }
        assert_eq!(orders, [0, 0, 0, 0, 0, 1]);
        assert_eq!(fixture.configured_backends().len(), 5);
    });
}

#[test]
fn a_reload_that_failed_is_tried_again_and_a_fault_until_then() {
    run_local(async {
        let fixture = BalancerFixture::new(171).await;
        fixture.serve_identity(14, OURS).await;
        fixture.cluster_is(&[11, 12, 13, 14]);
        let broken = &fixture.machine.systemd.broken;
        broken.borrow_mut().push(haproxy::UNIT.into());
        let mut watch = ApiserverFollower::begin(&fixture.machine.cx);
        for _ in 0..3 {
            assert!(watch.follow().await.is_err());
            fixture.let_pass(EVERY).await;
        }
        assert_eq!(fixture.machine.orders(), [RELOAD], "once in thirty seconds");
        broken.borrow_mut().clear();
        fixture.let_pass(DAMPED).await;
        watch.follow().await.unwrap();
        assert_eq!(fixture.machine.orders(), [RELOAD]);
        assert!(!balancer::needed(&fixture.machine.cx).await.unwrap());
    });
}
