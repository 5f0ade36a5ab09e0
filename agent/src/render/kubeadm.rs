//! kubeadm's configuration, as JSON documents parted by `---` (JSON is YAML).

use ha_wire::kubernetes;
use ha_wire::node::NodeFile;
use ha_wire::paths;
use ha_wire::settings::KubeProxy;
use serde_json::{Map, Value, json};

use super::merge_settings;
use crate::kube::ETCD_DATA;

/// The token that kubeadm insists on ends after this, should the agent die before it removes it.
const TOKEN_LIFE: &str = "10m0s";
/// The gate was open just now: a discovery that takes longer fails and is tried again.
const DISCOVERY: &str = "1m0s";
/// How long an emulated machine may take for what kubeadm gives four or five minutes.
const EMULATED: &str = "15m0s";
/// A container's kubelet takes no pods when its host's disk has less than this left.
const LEAST_DISK: &str = "1Gi";
/// Changes to the static pods that kubeadm writes, in the agent's sysext: etcd outlives its apiserver's last requests, and the
/// apiserver lives until no load balancer sends it new ones (`orderly_shutdown`).
const PATCHES: &str = "/usr/share/ha-agent/kubeadm-patches";
/// On an orderly reboot the kubelet ends the pods: ordinary ones first, which have Kubernetes' own default grace, then those
/// that the node itself needs. Whatever ends earlier is not waited for.
const SHUTDOWN_GRACE: &str = "45s";
/// The part of it that critical pods have.
const SHUTDOWN_GRACE_CRITICAL: &str = "15s";
/// The kubelet's settings about that; it starts with no mixture of one's own and ours.
const SHUTDOWN_SETTINGS: [&str; 3] = [
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
    "shutdownGracePeriodByPodPriority",
];
/// The apiserver's own `--etcd-prefix`.
const REGISTRY: &str = "/registry";
/// The taint that kubeadm gives control planes; a list of one's own replaces it.
const CONTROL_PLANE_TAINT: &str = "node-role.kubernetes.io/control-plane";

/// What the machine, not the node file, decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MachineTraits {
    /// Whether it has cgroup v2 (then systemd owns the tree, and the container runtime drives it through systemd).
    pub cgroup_v2: bool,
    /// Whether the size of the connection table may be set; in a container it is the host's, and a kube-proxy that is
    /// not told so dies of it.
    pub owns_conntrack: bool,
    /// Whether its disk is its own; a container's is its host's, of which it may see only how full it is.
    pub owns_disk: bool,
    /// Whether the processor is QEMU's translator, some ten times slower than a real one.
    pub emulated: bool,
}

/// For `kubeadm init` and for its preflight. `skip` names phases; without a token kubeadm makes one up.
pub fn init_config(
    node: &NodeFile,
    machine: MachineTraits,
    token: Option<&str>,
    skip: &[&str],
) -> String {
    let mut first = json!({
        "apiVersion": kubernetes::KUBEADM_API,
        "kind": "InitConfiguration",
        "localAPIEndpoint": local_endpoint(node),
        "nodeRegistration": node_registration(node),
        "skipPhases": skip,
        "patches": {"directory": PATCHES},
    });
    let patience = with_timeouts(node, machine, json!({}));
    if patience != json!({}) {
        first["timeouts"] = patience;
    }
    if let Some(token) = token {
        first["bootstrapTokens"] =
            json!([{"token": token, "ttl": TOKEN_LIFE, "description": "made for kubeadm init"}]);
    }
    let mut all = vec![first, cluster_config(node), kubelet_config(node, machine)];
    all.extend(proxy_config(node, machine));
    join_documents(&all)
}

/// For `kubeadm join`. `skip` names phases.
pub fn join_config(node: &NodeFile, machine: MachineTraits, skip: &[&str]) -> String {
    let mut join = json!({
        "apiVersion": kubernetes::KUBEADM_API,
        "kind": "JoinConfiguration",
        "discovery": {"file": {"kubeConfigPath": paths::DISCOVERY}},
        "nodeRegistration": node_registration(node),
        "skipPhases": skip,
        "timeouts": with_timeouts(node, machine, json!({"discovery": DISCOVERY})),
    });
    if node.is_control_plane() {
        join["controlPlane"] = json!({"localAPIEndpoint": local_endpoint(node)});
        join["patches"] = json!({"directory": PATCHES});
        // kubeadm taints it only once etcd has joined; until then any pod could land on it.
        let taint = json!({"name": "register-with-taints", "value": format!("{CONTROL_PLANE_TAINT}:NoSchedule")});
        let args = join["nodeRegistration"]["kubeletExtraArgs"].as_array_mut();
        if let Some(args) = args.filter(|_| !node.untainted) {
            args.push(taint);
        }
    }
    join_documents(&[join])
}

/// For `kubeadm certs renew` and for the phases of `kubeadm init` that make one certificate. `known` is the cluster's own
/// ClusterConfiguration; without it the node file's.
pub fn renewal_config(node: &NodeFile, known: Option<&str>) -> String {
    let first = json!({
        "apiVersion": kubernetes::KUBEADM_API,
        "kind": "InitConfiguration",
        "localAPIEndpoint": local_endpoint(node),
        "nodeRegistration": node_registration(node),
    });
    let cluster = known.map_or_else(|| format!("{:#}\n", cluster_config(node)), str::to_owned);
    format!("{first:#}\n---\n{cluster}")
}

/// kubeadm's own four minutes are right for a real processor; the kubelet's startup probe follows this figure, and would
/// kill an emulated apiserver before its first answer. The user's word is last.
fn with_timeouts(node: &NodeFile, machine: MachineTraits, mut all: Value) -> Value {
    if machine.emulated {
        for key in [
            "controlPlaneComponentHealthCheck",
            "kubeletHealthCheck",
            "tlsBootstrap",
        ] {
            all[key] = EMULATED.into();
        }
    }
    merge_settings(&mut all, &Value::Object(node.kubernetes.timeouts.clone()));
    all
}

/// What kubeadm's configuration comes to, our settings and the user's taken together: read from what is rendered, so that
/// whoever asks here cannot be told anything else than kubeadm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSettings {
    /// The kubelet does not start while swap is on.
    pub fails_on_swap: bool,
    /// Where etcd keeps its data.
    pub etcd_data: String,
    /// What the keys of all that the apiserver keeps in etcd begin with.
    pub etcd_prefix: String,
    pub has_dns: bool,
}

impl EffectiveSettings {
    /// None of them depends on the machine.
    pub fn new(node: &NodeFile) -> Self {
        let cluster = cluster_config(node);
        let mut kubelet = kubelet_config(node, MachineTraits::default());
        merge_settings(&mut kubelet, &Value::Object(node.kubelet_config.clone()));
        let boolean = |value: Option<&Value>| value.and_then(Value::as_bool);
        let etcd_data = cluster.pointer("/etcd/local/dataDir");
        let arguments = cluster
            .pointer("/apiServer/extraArgs")
            .and_then(Value::as_array);
        let mut arguments = arguments.into_iter().flatten();
        // The last one counts, as for the apiserver.
        let prefix = arguments.rfind(|argument| argument["name"] == "etcd-prefix");
        let prefix = prefix.and_then(|argument| argument["value"].as_str());
        Self {
            // Without a word of ours or the user's, the kubelet's own default.
            fails_on_swap: boolean(kubelet.get("failSwapOn")).unwrap_or(true),
            etcd_data: etcd_data
                .and_then(Value::as_str)
                .unwrap_or(ETCD_DATA)
                .to_owned(),
            etcd_prefix: format!("/{}/", prefix.unwrap_or(REGISTRY).trim_matches('/')),
            has_dns: boolean(cluster.pointer("/dns/disabled")) != Some(true),
        }
    }
}

fn cluster_config(node: &NodeFile) -> Value {
    let kubernetes = &node.kubernetes;
    // Each apiserver's first address is kubeadm's own affair.
    let second = node.secondary.iter().flat_map(|s| &s.control_planes);
    let mut sans = node.endpoint.certificate_names();
    let further = second.map(ToString::to_string);
    for san in further.chain(kubernetes.cert_sans.iter().cloned()) {
        if !sans.contains(&san) {
            sans.push(san);
        }
    }
    let mut cluster = json!({
        "apiVersion": kubernetes::KUBEADM_API,
        "kind": "ClusterConfiguration",
        "clusterName": node.cluster,
        "kubernetesVersion": format!("v{}", kubernetes.version),
        "controlPlaneEndpoint": node.endpoint.authority(),
        "networking": {
            "podSubnet": join_with_commas(node.pod_cidrs()),
            "serviceSubnet": join_with_commas(node.service_cidrs()),
        },
        "apiServer": {"certSANs": sans},
        "encryptionAlgorithm": "ECDSA-P256",
        "proxy": {"disabled": kubernetes.proxy == KubeProxy::None},
    });
    if node.has_external_etcd() {
        cluster["etcd"] = json!({"external": {
            "endpoints": kubernetes.external_etcd,
            "caFile": paths::EXTERNAL_ETCD_CA,
            "certFile": paths::EXTERNAL_ETCD_CERT,
            "keyFile": paths::EXTERNAL_ETCD_KEY,
        }});
    }
    merge_settings(
        &mut cluster,
        &Value::Object(kubernetes.cluster_configuration.clone()),
    );
    cluster
}

fn kubelet_config(node: &NodeFile, machine: MachineTraits) -> Value {
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": if machine.cgroup_v2 { "systemd" } else { "cgroupfs" },
        "failSwapOn": false,
    });
    if !machine.cgroup_v2 {
        // From 1.35 on a kubelet refuses cgroup v1 unless told otherwise.
        kubelet["failCgroupV1"] = json!(false);
    }
    if !machine.owns_disk {
        // By default pods are refused at 15 % of free space and images removed at that: on somebody's large disk there may be
        // 100 GiB left by then. What is not named here (inodes) is not looked at.
        kubelet["evictionHard"] = json!({
            "memory.available": "100Mi",
            "nodefs.available": LEAST_DISK,
            "imagefs.available": LEAST_DISK,
        });
        kubelet["imageGCHighThresholdPercent"] = json!(100);
    }
    let users = &node.kubernetes.kubelet_config;
    if !SHUTDOWN_SETTINGS.iter().any(|key| users.contains_key(*key)) {
        kubelet["shutdownGracePeriod"] = json!(SHUTDOWN_GRACE);
        kubelet["shutdownGracePeriodCriticalPods"] = json!(SHUTDOWN_GRACE_CRITICAL);
    }
    merge_settings(&mut kubelet, &Value::Object(users.clone()));
    kubelet
}

fn proxy_config(node: &NodeFile, machine: MachineTraits) -> Option<Value> {
    let mode = match node.kubernetes.proxy {
        KubeProxy::None => return None,
        KubeProxy::Iptables => "iptables",
        KubeProxy::Ipvs => "ipvs",
        KubeProxy::Nftables => "nftables",
    };
    let mut proxy = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
    });
    if !machine.owns_conntrack {
        proxy["conntrack"] = json!({"maxPerCore": 0});
    }
    Some(proxy)
}

fn node_registration(node: &NodeFile) -> Value {
    let mut args = vec![json!({"name": "node-ip", "value": join_with_commas(node.addresses())})];
    let labels: Vec<String> = node
        .labels
        .iter()
        .filter(|(k, _)| kubernetes::kubelet_may_set(k))
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    if !labels.is_empty() {
        args.push(json!({"name": "node-labels", "value": labels.join(",")}));
    }
    // Not in kubeadm's document: the founder's would become the cluster's.
    if !node.kubelet_config.is_empty() {
        args.push(json!({"name": "config-dir", "value": paths::KUBELET_DROP_INS}));
    }
    let mut registration = Map::new();
    registration.insert("name".into(), json!(node.name));
    registration.insert("criSocket".into(), json!(node.kubernetes.cri.socket()));
    registration.insert("kubeletExtraArgs".into(), json!(args));
    // The agent's own preflight has looked; kubeadm's would refuse to resume what it began itself.
    registration.insert("ignorePreflightErrors".into(), json!(["all"]));
    registration.insert("imagePullPolicy".into(), json!("IfNotPresent"));
    registration.insert("imagePullSerial".into(), json!(false));
    if let Some(taints) = registration_taints(node) {
        registration.insert("taints".into(), taints);
    }
    Value::Object(registration)
}

/// None where kubeadm's own default is wanted; an empty list is the word against it.
fn registration_taints(node: &NodeFile) -> Option<Value> {
    if node.taints.is_empty() {
        return node.untainted.then(|| json!([]));
    }
    let mut all: Vec<Value> = Vec::new();
    if node.is_control_plane() {
        all.push(json!({"key": CONTROL_PLANE_TAINT, "effect": "NoSchedule"}));
    }
    all.extend(node.taints.iter().map(|t| json!(t)));
    Some(json!(all))
}

fn local_endpoint(node: &NodeFile) -> Value {
    json!({"advertiseAddress": node.address.to_string(), "bindPort": node.endpoint.apiserver_port})
}

/// As Kubernetes writes one value of each family: the first is the one that counts where there can be only one.
fn join_with_commas<T: ToString>(values: impl Iterator<Item = T>) -> String {
    let texts: Vec<String> = values.map(|value| value.to_string()).collect();
    texts.join(",")
}

fn join_documents(all: &[Value]) -> String {
    let texts: Vec<String> = all.iter().map(|d| format!("{d:#}\n")).collect();
    texts.join("---\n")
}

#[cfg(test)]
mod tests;
