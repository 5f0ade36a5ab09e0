use ha_wire::settings::{Cri, Taint};
use serde_json::json;

use super::*;
use crate::render::testing::{assert_golden, of_both, of_ipv6};
use crate::render::validators::assert_kubeadm_accepts;
use crate::testing;

const V2: MachineTraits = MachineTraits {
    cgroup_v2: true,
    owns_conntrack: true,
    owns_disk: true,
    emulated: false,
};
const CONTAINER: MachineTraits = MachineTraits {
    cgroup_v2: false,
    owns_conntrack: false,
    owns_disk: false,
    emulated: false,
};
const EMULATED: MachineTraits = MachineTraits {
    emulated: true,
    ..V2
};
const TOKEN: &str = "abcdef.0123456789abcdef";

/// Every file that is compared and shown to the real kubeadm.
fn rendered_files() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (proxy, name) in [
        (KubeProxy::None, "none"),
        (KubeProxy::Iptables, "iptables"),
        (KubeProxy::Ipvs, "ipvs"),
        (KubeProxy::Nftables, "nftables"),
    ] {
        for cri in [Cri::Containerd, Cri::Crio] {
            let mut node = testing::founder();
            (node.kubernetes.proxy, node.kubernetes.cri) = (proxy, cri);
            let cri = if cri == Cri::Crio {
                "crio"
            } else {
                "containerd"
            };
            all.push((
                format!("init-{cri}-{name}"),
                init_config(&node, V2, Some(TOKEN), &["show-join-command"]),
            ));
        }
    }
    let mut contained = testing::founder();
    contained.kubernetes.proxy = KubeProxy::Nftables;
    all.push((
        "init-container".into(),
        init_config(&contained, CONTAINER, None, &[]),
    ));
    let both = of_both(contained.clone());
    all.push(("init-dual-stack".into(), init_config(&both, V2, None, &[])));
    all.push(("join-dual-stack".into(), join_config(&both, V2, &[])));
    let ipv6 = of_ipv6(contained);
    let both = of_both(ipv6.clone());
    all.push((
        "init-dual-stack-ipv6-first".into(),
        init_config(&both, V2, None, &[]),
    ));
    all.push(("init-ipv6".into(), init_config(&ipv6, V2, None, &[])));
    all.push(("join-ipv6".into(), join_config(&ipv6, V2, &[])));
    let mut external = testing::founder();
    external.kubernetes.external_etcd = ["41", "42", "43"]
        .map(|host| format!("https://10.77.0.{host}:2379"))
        .into();
    all.push((
        "init-external-etcd".into(),
        init_config(&external, V2, None, &[]),
    ));
    all.push((
        "init-users-own".into(),
        init_config(&users_own(), V2, Some(TOKEN), &[]),
    ));
    all.push((
        "join-control-plane".into(),
        join_config(&testing::control_plane(), V2, &["etcd-join"]),
    ));
    let (mut first, mut further) = (testing::founder(), testing::control_plane());
    (first.untainted, further.untainted) = (true, true);
    all.push(("init-untainted".into(), init_config(&first, V2, None, &[])));
    let further = join_config(&further, V2, &["etcd-join"]);
    all.push(("join-untainted".into(), further));
    let external = testing::behind_external(testing::founder());
    all.push((
        "init-external".into(),
        init_config(&external, V2, None, &[]),
    ));
    all.push((
        "init-emulated".into(),
        init_config(&testing::founder(), EMULATED, None, &[]),
    ));
    all.push((
        "join-emulated".into(),
        join_config(&testing::control_plane(), EMULATED, &[]),
    ));
    all.push((
        "join-worker".into(),
        join_config(&testing::worker(), V2, &[]),
    ));
    let mut worker = testing::worker();
    worker.kubernetes.cri = Cri::Crio;
    worker.labels.insert("disk".into(), "ssd".into());
    worker
        .labels
        .insert("node.kubernetes.io/pool".into(), "blue".into());
    worker
        .labels
        .insert("node-role.kubernetes.io/db".into(), String::new());
    worker.taints = vec![Taint {
        key: "db".into(),
        value: "only".into(),
        effect: "NoSchedule".into(),
    }];
    all.push(("join-worker-labels".into(), join_config(&worker, V2, &[])));
    all
}

fn users_own() -> NodeFile {
    let mut node = testing::founder();
    (node.endpoint.port, node.endpoint.apiserver_port) = (6443, 6444);
    node.kubernetes.cert_sans = vec!["k8s.example.org".into(), "10.77.0.30".into()];
    let own = json!({
        "apiServer": {"extraArgs": [{"name": "audit-log-maxage", "value": "7"}]},
        "networking": {"dnsDomain": "demo.local"},
        "encryptionAlgorithm": null,
    });
    node.kubernetes.cluster_configuration = own.as_object().unwrap().clone();
    node.kubernetes.kubelet_config =
        json!({"maxPods": 200, "evictionHard": {"memory.available": "5%"}})
            .as_object()
            .unwrap()
            .clone();
    let patience = json!({"controlPlaneComponentHealthCheck": "8m"});
    node.kubernetes.timeouts = patience.as_object().unwrap().clone();
    node.kubelet_config.insert("maxPods".into(), json!(60));
    node.taints = vec![Taint {
        key: "quiet".into(),
        value: String::new(),
        effect: "PreferNoSchedule".into(),
    }];
    node
}

#[test]
fn pods_have_their_grace_on_a_reboot_unless_the_user_says_otherwise() {
    let told = |own: Value| {
        let mut node = testing::founder();
        node.kubernetes.kubelet_config = own.as_object().unwrap().clone();
        let kubelet = kubelet_config(&node, V2);
        let told = SHUTDOWN_SETTINGS.iter();
        told.filter_map(|key| Some(((*key).to_owned(), kubelet.get(key)?.clone())))
            .collect::<Map<_, _>>()
    };
    let ours = json!({"shutdownGracePeriod": "45s", "shutdownGracePeriodCriticalPods": "15s"});
    assert_eq!(Value::Object(told(json!({"maxPods": 200}))), ours);
    // The kubelet starts with no critical part that is longer than the whole, and with no two of the ways at once.
    for own in [
        json!({"shutdownGracePeriod": "10s"}),
        json!({"shutdownGracePeriod": "2m", "shutdownGracePeriodCriticalPods": "20s"}),
        json!({"shutdownGracePeriodByPodPriority": [{"priority": 0, "shutdownGracePeriodSeconds": 60}]}),
    ] {
        assert_eq!(Value::Object(told(own.clone())), own);
    }
    assert!(told(json!({"shutdownGracePeriod": null})).is_empty());
}

#[test]
fn golden_files() {
    for (name, text) in rendered_files() {
        assert_golden(&format!("kubeadm/{name}.yaml"), &text);
    }
}

#[test]
fn the_real_kubeadm_accepts_them() {
    assert_kubeadm_accepts(&rendered_files().into_iter().collect());
}

#[test]
fn the_users_settings_and_ours_come_to_one() {
    let settings = |cluster: Value, kubelet: Value| {
        let mut node = testing::founder();
        node.kubernetes.cluster_configuration = cluster.as_object().unwrap().clone();
        node.kubernetes.kubelet_config = kubelet.as_object().unwrap().clone();
        EffectiveSettings::new(&node)
    };
    let ours = EffectiveSettings {
        etcd_prefix: "/registry/".into(),
        fails_on_swap: false,
        etcd_data: "/var/lib/etcd".into(),
        has_dns: true,
    };
    assert_eq!(settings(json!({}), json!({})), ours);
    let users = settings(
        json!({"etcd": {"local": {"dataDir": "/data/etcd"}}, "dns": {"disabled": true}}),
        json!({"failSwapOn": true}),
    );
    let wanted = EffectiveSettings {
        etcd_prefix: "/registry/".into(),
        fails_on_swap: true,
        etcd_data: "/data/etcd".into(),
        has_dns: false,
    };
    assert_eq!(users, wanted);
    let without_ours = settings(json!({"dns": {}}), json!({"failSwapOn": null}));
    assert!(without_ours.fails_on_swap && without_ours.has_dns);
}

#[test]
fn the_prefix_of_the_apiservers_keys_is_its_own_or_the_users() {
    let prefix = |arguments: Value| {
        let mut node = testing::founder();
        let of_apiserver = json!({"extraArgs": arguments});
        node.kubernetes
            .cluster_configuration
            .insert("apiServer".into(), of_apiserver);
        EffectiveSettings::new(&node).etcd_prefix
    };
    assert_eq!(prefix(json!([])), "/registry/");
    let users = json!([{"name": "etcd-prefix", "value": "/a"}, {"name": "etcd-prefix", "value": "b/"}, {"name": "v", "value": "2"}]);
    assert_eq!(prefix(users), "/b/");
}
