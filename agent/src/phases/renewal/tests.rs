use std::rc::Rc;
use std::time::Duration;

use ha_kube::Identity;
use ha_test_support::PATIENCE;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::*;
use crate::kube::kubeconfig::render_embedded;
use crate::kube::testing::{Authority, Script, run_local, test_authority};
use crate::kube::{pki_file, pod_manifest};
use crate::testing::{self, FakeMachine};

mod looks;
mod restarts;
mod validity;

/// What the fake clock says at first.
const NOW_S: i64 = 1_700_000_000;
const DAY_MS: u64 = 24 * 3600 * 1000;
const YEAR: u32 = 365;
const CONFIG_MAP: &str = "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config";
const POD: &str = "GET /api/v1/namespaces/kube-system/pods";

/// The second of three control planes, 127.NET.0.11 to .13, all of them well; everything is a day old.
struct RenewalFixture {
    machine: FakeMachine,
    authority: Authority,
    api: Script,
    apiservers: Vec<Script>,
    etcd: Script,
}

impl RenewalFixture {
    /// One where nobody answers.
    fn silent(net: u8) -> Self {
        let mut node = testing::control_plane();
        for (host, peer) in (11..).zip(&mut node.control_planes) {
            peer.address = [127, net, 0, host].into();
        }
        node.address = [127, net, 0, 12].into();
        node.endpoint.vip = [127, net, 0, 30].into();
        let machine = testing::fake_machine(node);
        let authority = test_authority("kubernetes");
        for name in ["ca", "front-proxy-ca", "etcd/ca"] {
            machine.file(&pki_file(&format!("{name}.crt")), authority.cert());
            machine.file(&pki_file(&format!("{name}.key")), authority.key().expose());
        }
        let fixture = Self {
            machine,
            authority,
            api: Script::default(),
            apiservers: (0..3).map(|_| Script::default()).collect(),
            etcd: Script::default(),
        };
        for certificate in &RENEWABLE {
            fixture.write_certificate(certificate, &fixture.identity_for_days(YEAR - 1));
        }
        fixture.machine.cx.report.phase_started(Phase::Steady, 1);
        fixture
    }

    async fn new(net: u8) -> Self {
        let fixture = Self::silent(net);
        let ca = &fixture.authority;
        fixture
            .api
            .serve_at(ca, &format!("127.{net}.0.30:6444"))
            .await;
        for (host, apiserver) in (11..).zip(&fixture.apiservers) {
            let address = format!("127.{net}.0.{host}");
            apiserver.serve_at(ca, &format!("{address}:6443")).await;
            fixture.etcd.serve_at(ca, &format!("{address}:2379")).await;
        }
        for apiserver in &fixture.apiservers[..2] {
            apiserver.on("GET /readyz", 200, "ok");
        }
        let members = r#"{"members":[{"ID":"1","name":"node1"},{"ID":"2","name":"node2"},{"ID":"3","name":"node3"}]}"#;
        let status = r#"{"header":{"member_id":"2"},"leader":"1"}"#;
        fixture.etcd_says(members, status);
        let map = json!({"data": {"ClusterConfiguration": "kind: ClusterConfiguration\n"}});
        fixture.api.on(CONFIG_MAP, 200, &map.to_string());
        fixture
    }

    fn etcd_says(&self, members: &str, status: &str) {
        self.etcd
            .on("POST /v3/cluster/member/list", 200, members)
            .on("POST /v3/maintenance/status", 200, status);
    }

    fn all_ready(self) -> Self {
        self.apiservers[2].on("GET /readyz", 200, "ok");
        self
    }

    /// Of a year's life, with so many days left.
    fn identity_for_days(&self, days_left: u32) -> Identity {
        let now = OffsetDateTime::from_unix_timestamp(NOW_S).unwrap();
        let made = now - time::Duration::days(i64::from(YEAR) - i64::from(days_left));
        let life = time::Duration::days(YEAR.into());
        self.authority.sign_client("x", None, life, made).unwrap()
    }

    fn write_certificate(&self, certificate: &Renewable, me: &Identity) {
        match &certificate.files()[..] {
            [cert, key] => {
                self.machine.file(cert, &me.cert);
                self.machine.file(key, me.key.expose());
            }
            files => {
                let text = render_embedded("https://10.77.0.30:6444", self.authority.cert(), me);
                self.machine.file(&files[0], text.expose());
            }
        }
    }

    fn has_days_left(&self, name: &str, days: u32) -> &Self {
        self.write_certificate(renewable_named(name), &self.identity_for_days(days));
        self
    }

    /// The static pods run since then.
    fn pods_run_since(&self, since: &str) -> &Self {
        for component in ["kube-controller-manager", "kube-scheduler"] {
            let manifest = format!("kind: Pod\nmetadata:\n  name: {component}\n");
            self.machine.file(&pod_manifest(component), &manifest);
            let pod = pod_since(since).to_string();
            self.api.on(&format!("{POD}/{component}-node2"), 200, &pod);
        }
        self
    }

    /// kubeadm as it is: when its command runs, the certificate is another one.
    async fn kubeadm_makes(&self, command: &str, name: &str, end: Rc<Notify>) {
        let line = format!("run kubeadm {command}");
        let runs = || {
            self.machine
                .log
                .borrow()
                .iter()
                .any(|l| l.starts_with(&line))
        };
        while !runs() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.write_certificate(renewable_named(name), &self.identity_for_days(YEAR));
        end.notify_one();
    }

    /// One look during which kubeadm is called so, once.
    async fn observe_with(&self, command: &str, name: &str) -> Result<RenewalOutcome> {
        let end = self.machine.commands.lasts(&format!("kubeadm {command}"));
        self.machine.commands.succeed(&format!("kubeadm {command}"));
        let mut watch = RenewalWatch::new(&self.machine.cx);
        tokio::select! {
            (seen, ()) = async { tokio::join!(watch.observe(), self.kubeadm_makes(command, name, end)) } => seen,
            () = tokio::time::sleep(PATIENCE) => panic!("kubeadm {command} was not run: {:?}", self.machine.orders()),
        }
    }

    async fn observe(&self) -> Result<RenewalOutcome> {
        RenewalWatch::new(&self.machine.cx).observe().await
    }

    /// Commands so far, without the configuration's name.
    fn commands_run(&self) -> Vec<String> {
        let lines = self.machine.orders().into_iter();
        let shortened = lines.map(|l| l.split(" --config").next().unwrap().to_owned());
        shortened.collect()
    }
}

fn renewable_named(name: &str) -> &'static Renewable {
    RENEWABLE.iter().find(|c| c.name == name).unwrap()
}

fn pod_since(since: &str) -> Value {
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
    let running = json!({"state": {"running": {"startedAt": since}}});
    json!({"status": {"conditions": [ready], "containerStatuses": [running]}})
}

#[test]
fn beside_an_external_etcd_nothing_of_etcds_is_missing() {
    let missing = |endpoints: &[&str]| {
        let mut node = testing::control_plane();
        node.kubernetes.external_etcd = endpoints.iter().map(|url| (*url).to_owned()).collect();
        let machine = testing::fake_machine(node);
        let due = due_certificates(&machine.cx, true).unwrap();
        due.into_iter().map(|c| c.name).collect::<Vec<_>>()
    };
    let (stacked, external) = (missing(&[]), missing(&["https://10.77.0.41:2379"]));
    let of_etcd = [
        "etcd-server",
        "etcd-peer",
        "etcd-healthcheck-client",
        "apiserver-etcd-client",
    ];
    assert_eq!(stacked, [&of_etcd[..], &external].concat());
    assert!(external.contains(&"apiserver"));
}
