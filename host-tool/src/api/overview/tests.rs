use std::sync::Arc;

use ha_health::Part;
use ha_test_support::demo_cluster;

use super::*;
use crate::api::{all_findings, describe_missing};
use crate::pki::Pki;
use crate::state::StateRoot;
use crate::testing::{AnsweringAt, AnsweringCluster, DATE_MS, Forwarding};

const COORDINATION: &str = "GET /apis/coordination.k8s.io/v1/namespaces";
const POD_LOG: &str = "GET /api/v1/namespaces/kube-system/pods/coredns-1/log";

/// Renewed at this second of the servers' minute; a day ahead by the holder's own clock.
fn lease_json(name: &str, second: u8) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","managedFields":[{{"time":"2026-11-21T15:00:{second:02}Z"}}]}},
            "spec":{{"renewTime":"2026-11-22T15:00:{second:02}.000000Z"}}}}"#
    )
}

fn list_json(items: &[String]) -> String {
    format!(r#"{{"items":[{}]}}"#, items.join(","))
}

fn node_json(name: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","labels":{{"node-role.kubernetes.io/control-plane":""}}}},
            "spec":{{"taints":[{{"key":"node-role.kubernetes.io/control-plane","effect":"NoSchedule"}}]}},
            "status":{{"conditions":[{{"type":"DiskPressure","status":"True"}},
                {{"type":"Ready","status":"True","lastTransitionTime":"2026-11-21T15:00:00Z"}}]}}}}"#
    )
}

/// Everything that a cluster with its troubles answers.
fn troubled_answers() -> Vec<(String, String)> {
    let pod = r#"{"metadata":{"name":"coredns-1"},"spec":{"nodeName":"node1"},
        "status":{"conditions":[{"type":"PodScheduled","status":"True","lastTransitionTime":"2026-11-21T14:00:00Z"}],
            "containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{}}}]}}"#;
    let csr = |name: &str, time: &str, rest: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}","creationTimestamp":"2026-11-21T{time}Z"}},
                "spec":{{"username":"system:node:node1"}}{rest}}}"#
        )
    };
    let signed = r#","status":{"certificate":"LS0t"}"#;
    let daemon = |name: &str, class: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"kube-system"}},
                "spec":{{"template":{{"spec":{{"priorityClassName":"{class}"}}}}}},
                "status":{{"desiredNumberScheduled":5,"numberReady":4}}}}"#
        )
    };
    let etcd_member = r#"{"ID":"7","name":"node1","peerURLs":["https://10.77.0.11:2380"]}"#;
    let all = [
        ("GET /readyz".to_owned(), "ok".to_owned()),
        ("GET /api/v1/nodes".to_owned(), list_json(&[node_json("node1")])),
        (format!("{COORDINATION}/kube-system/leases/kube-scheduler"), lease_json("kube-scheduler", 40)),
        (format!("{COORDINATION}/kube-node-lease/leases"), list_json(&[lease_json("node1", 33)])),
        (
            "GET /apis/certificates.k8s.io/v1/certificatesigningrequests".to_owned(),
            // The kubelet asked again after its first request was signed.
            list_json(&[csr("csr-new", "14:58:42", ""), csr("csr-old", "14:50:00", signed)]),
        ),
        (
            "GET /apis/apps/v1/namespaces/kube-system/deployments/coredns".to_owned(),
            r#"{"spec":{"replicas":2}}"#.to_owned(),
        ),
        ("GET /api/v1/namespaces/kube-system/pods".to_owned(), list_json(&[pod.to_owned()])),
        (POD_LOG.to_owned(), "plugin/forward: no nameservers found\n".to_owned()),
        (
            "GET /apis/apps/v1/daemonsets".to_owned(),
            list_json(&[daemon("cilium", "system-node-critical"), daemon("exporter", "")]),
        ),
        (
            "GET /api/v1/services".to_owned(),
            list_json(&[
                r#"{"metadata":{"name":"kubernetes","namespace":"default"}}"#.to_owned(),
                r#"{"metadata":{"name":"grabber","namespace":"web"},"spec":{"externalIPs":["10.77.0.30"]}}"#.to_owned(),
            ]),
        ),
        (
            "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config".to_owned(),
            r#"{"data":{"ClusterConfiguration":"kubernetesVersion: v1.37.2\n"}}"#.to_owned(),
        ),
        ("POST /v3/cluster/member/list".to_owned(), format!(r#"{{"members":[{etcd_member}]}}"#)),
        (
            "POST /v3/maintenance/status".to_owned(),
            r#"{"header":{"member_id":"7"},"leader":"7","dbSize":"1000","dbSizeQuota":"4000"}"#.to_owned(),
        ),
        (
            "POST /v3/maintenance/alarm".to_owned(),
            r#"{"alarms":[{"memberID":"7","alarm":"NOSPACE"}]}"#.to_owned(),
        ),
    ];
    all.into()
}

/// One look at everything in a cluster that answers like this, seen at these places.
fn view_troubled_cluster(see: fn(AnsweringAt) -> AnsweringAt) -> ClusterView {
    let dir = tempfile::tempdir().unwrap();
    let root = StateRoot::new(Some(dir.path())).unwrap();
    let store = root.dir("demo").lock().unwrap();
    let pki = || store.ensure_pki().unwrap().0;
    let mut answers: Vec<(String, u16, String)> = troubled_answers()
        .into_iter()
        .map(|(request, body)| (request, 200, body))
        .collect();
    let write = "POST /api/v1/namespaces/kube-system/configmaps?dryRun=All";
    let refusal = r#"{"message":"failed calling webhook"}"#;
    answers.push((write.to_owned(), 500, refusal.to_owned()));
    let answers: Vec<(&str, u16, &str)> = answers
        .iter()
        .map(|(request, code, body)| (request.as_str(), *code, body.as_str()))
        .collect();
    let cluster = AnsweringCluster::start(pki(), &answers);
    let provider = Arc::new(Forwarding(see(cluster.at)));
    let api = Api::new(&demo_cluster(), &pki(), provider).unwrap();
    ha_host_base::block_on(api.observe_all()).unwrap()
}

#[test]
fn what_api_and_etcd_answer_becomes_facts() {
    let view = view_troubled_cluster(|at| at);
    let api = view.api.clone().unwrap();
    assert_eq!(api.now_ms, Some(DATE_MS));
    assert_eq!(
        api.write,
        Some(Err("HTTP 500: failed calling webhook".to_owned()))
    );
    assert_eq!(api.services_on_vip, [], "not asked while the VIP answers");
    assert_eq!(api.kubernetes_version.as_deref(), Some("1.37.2"));
    let leases = [
        ("kube-controller-manager".to_owned(), None),
        ("kube-scheduler".to_owned(), Some(DATE_MS - 2000)),
    ];
    assert_eq!(api.leases, leases.into());
    assert_eq!(
        api.kubelet_leases,
        [("node1".to_owned(), DATE_MS - 9000)].into()
    );
    let waiting = ServingCertificate {
        node: "node1".to_owned(),
        request: "csr-new".to_owned(),
        made_ms: DATE_MS - 120_000,
        state: "Pending",
    };
    assert_eq!(api.serving_certificates, [waiting]);
    let cilium = DaemonSetView {
        namespace: "kube-system".to_owned(),
        name: "cilium".to_owned(),
        wanted: 5,
        ready: 4,
    };
    assert_eq!(
        api.node_daemons,
        Some(vec![cilium]),
        "what nodes can do without is left out"
    );
    let node1 = &view.nodes["node1"];
    assert_eq!(
        (node1.changed_ms, &node1.pressures[..]),
        (Some(DATE_MS - 42_000), &["DiskPressure".to_owned()][..])
    );
    assert!(node1.is_labelled && node1.is_tainted && !node1.is_excluded);
    let etcd = view.etcd_facts.unwrap();
    let sizes = |m: &EtcdMemberFacts| (m.database_bytes, m.quota_bytes);
    assert_eq!(sizes(&etcd.members["node1"]), (Some(1000), Some(4000)));
}

#[test]
fn a_pod_of_coredns_that_crashes_is_asked_for_its_last_words() {
    let dns = view_troubled_cluster(|at| at).api.unwrap().dns.unwrap();
    assert_eq!((dns.wanted, dns.pods.len()), (2, 1));
    assert_eq!(
        (dns.pods[0].ready, dns.pods[0].trouble.as_str()),
        (
            false,
            "CrashLoopBackOff: plugin/forward: no nameservers found"
        )
    );
}

#[test]
fn behind_a_vip_that_refuses_everything_else_is_still_looked_at() {
    let view = view_troubled_cluster(AnsweringAt::without_vip);
    let findings = all_findings(&demo_cluster(), &view);
    let first = &findings[0];
    assert_eq!(first.part, Part::Api);
    assert!(
        first
            .what
            .contains("Connection refused; Service web/grabber claims that address"),
        "{first:?}"
    );
    assert_eq!(
        first.next,
        "kubectl --server https://10.77.0.11:6443 -n web edit service grabber"
    );
    let parts: Vec<&Part> = findings.iter().map(|f| &f.part).collect();
    for part in [
        Part::Etcd,
        Part::Leases,
        Part::Dns,
        Part::Logs,
        Part::Node("node5".to_owned()),
    ] {
        assert!(parts.contains(&&part), "{part:?} is not in {findings:#?}");
    }
    assert_eq!(view.api.unwrap().write, None, "there is no way for it");
}

#[test]
fn a_cluster_of_which_nothing_answers_is_only_that() {
    let provider = Arc::new(Forwarding(AnsweringAt::nobody()));
    let api = Api::new(&demo_cluster(), &Pki::create().unwrap(), provider).unwrap();
    let view = ha_host_base::block_on(api.observe_all()).unwrap();
    assert_eq!(view.api, None);
    assert_eq!(
        describe_missing(&demo_cluster(), &view),
        ["the API at 10.77.0.30:6444: Connection refused"]
    );
}
