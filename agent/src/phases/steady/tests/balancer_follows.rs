//! A control plane in its steady state, with the API behind the VIP and its own etcd.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::render::{haproxy, keepalived};
use crate::testing::FakeMachine;

/// The second of three control planes, 127.NET.0.11 to .13; haproxy answers, both units run.
pub struct Stage {
    pub machine: FakeMachine,
    pub api: Script,
    pub etcd: Script,
    net: u8,
}

const NODES: &str = "GET /api/v1/nodes?labelSelector=node-role.kubernetes.io%2Fcontrol-plane";
const ENDPOINTS: &str = "GET /apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

impl Stage {
    pub async fn new(net: u8) -> Self {
        let mut node = testing::control_plane();
        for (host, peer) in (11..).zip(&mut node.control_planes) {
            peer.address = [127, net, 0, host].into();
        }
        node.address = [127, net, 0, 12].into();
        node.endpoint.vip = [127, net, 0, 30].into();
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
        let (api, etcd) = (Script::default(), Script::default());
        api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
        etcd.serve_at(&etcd_ca, &format!("127.{net}.0.12:2379"))
            .await;
        Self {
            machine,
            api,
            etcd,
            net,
        }
    }

    /// The control planes whose Nodes are in the cluster from the next look on; all of them answer.
    pub fn cluster_is(&self, hosts: &[u8]) {
        let node = |host: &u8| {
            let address = format!("127.{}.0.{host}", self.net);
            json!({
                "metadata": {"name": format!("node{}", host - 10)},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            })
        };
        let nodes: Vec<Value> = hosts.iter().map(node).collect();
        let addresses: Vec<String> = hosts
            .iter()
            .map(|h| format!("127.{}.0.{h}", self.net))
            .collect();
        let slice = json!({"endpoints": [{"addresses": addresses}]});
        self.api
            .on(NODES, 200, &json!({"items": nodes}).to_string())
            .on(ENDPOINTS, 200, &json!({"items": [slice]}).to_string());
    }

    fn backends(&self) -> Vec<String> {
        let all = balancer::configured_backends(&self.machine.cx).unwrap();
        all.into_iter()
            .map(|p| format!("{} {}", p.name, p.address))
            .collect()
    }
}

fn serve_health(machine: &FakeMachine) {
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

#[test]
fn an_apiserver_that_comes_is_added_and_one_that_leaves_is_taken_out() {
    run_local(async {
        let stage = Stage::new(163).await;
        for hosts in [&[11, 12, 13][..], &[11, 12, 13, 14], &[11, 12, 14]] {
            stage.cluster_is(hosts);
        }
        let mut watch = SteadyWatch::begin(&stage.machine.cx).unwrap();
        let [three, four] = [&["11", "12", "13"][..], &["11", "12", "13", "14"]];
        for (hosts, orders) in [
            (three, &[][..]),
            (
                four,
                &[
                    "reload-or-restart haproxy.service",
                    "restart keepalived.service",
                ],
            ),
            (&["11", "12", "14"], &["reload-or-restart haproxy.service"]),
        ] {
            watch.follow_apiservers().await.unwrap();
            let number = |h: &str| h.parse::<u8>().unwrap() - 10;
            let expected = hosts
                .iter()
                .map(|h| format!("node{} 127.163.0.{h}", number(h)));
            assert_eq!(stage.backends(), expected.collect::<Vec<_>>());
            assert_eq!(stage.machine.orders(), orders);
        }
        watch.follow_apiservers().await.unwrap();
        assert!(
            stage.machine.orders().is_empty(),
            "nothing changed, nothing is told"
        );
    });
}
