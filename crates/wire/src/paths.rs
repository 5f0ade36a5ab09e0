//! Files on a node that both programs know. All absolute; the agent puts its root before them in tests.

/// The node file: what this node is (0600).
pub const NODE_FILE: &str = "/etc/ha-agent/node.json";
/// Directory of the agent's own files (0700).
pub const AGENT_DIR: &str = "/etc/ha-agent";
/// The node's short-lived client certificate, PEM (wiped in phase finish).
pub const IDENTITY_CERT: &str = "/etc/ha-agent/identity.crt";
/// The key to [`IDENTITY_CERT`], PEM, 0600 (wiped in phase finish).
pub const IDENTITY_KEY: &str = "/etc/ha-agent/identity.key";
/// The kubeconfig that kubeadm joins with; written by the agent from the identity (wiped in phase finish).
pub const DISCOVERY: &str = "/etc/ha-agent/discovery.conf";
/// Manifests of `cni: {manifests: [...]}` as Ignition brings them, applied in the order of their names.
pub const MANIFESTS_DIR: &str = "/etc/ha-agent/manifests.d";
/// Cilium's values file, rendered by the agent from the node file.
pub const CILIUM_VALUES: &str = "/etc/ha-agent/cilium-values.yaml";
/// Cilium's chart, where the cluster file brings one.
pub const CILIUM_CHART: &str = "/etc/ha-agent/cilium-chart.tgz";
/// What haproxy's unit gets in its environment (0600): the password of its statistics page, which so is in no configuration.
pub const HAPROXY_ENV: &str = "/etc/ha-agent/haproxy.env";
/// The variable there.
pub const STATS_PASSWORD: &str = "HA_STATS_PASSWORD";
/// kubeadm's PKI directory. Control planes get the CAs from Ignition, workers `ca.crt` alone.
pub const PKI_DIR: &str = "/etc/kubernetes/pki";
/// Directory of what control planes ask an external etcd with (0700). Apart from what kubeadm makes: nobody renews or removes it.
pub const EXTERNAL_ETCD_DIR: &str = "/etc/kubernetes/pki/external-etcd";
/// The CA of an external etcd's members, PEM.
pub const EXTERNAL_ETCD_CA: &str = "/etc/kubernetes/pki/external-etcd/ca.crt";
/// The control planes' client certificate for it, PEM.
pub const EXTERNAL_ETCD_CERT: &str = "/etc/kubernetes/pki/external-etcd/client.crt";
/// The key to [`EXTERNAL_ETCD_CERT`], PEM, 0600.
pub const EXTERNAL_ETCD_KEY: &str = "/etc/kubernetes/pki/external-etcd/client.key";
/// What `ha-agent status` answers from (0644, no secret).
pub const STATUS_FILE: &str = "/run/ha-agent/status.json";
/// Where events go when nothing better is there: JSON lines (0644, no secret).
pub const EVENTS_FILE: &str = "/run/ha-agent/events.jsonl";
/// Written 0 or -255 by the agent, read by keepalived's `vrrp_track_file`.
pub const HEALTH_FILE: &str = "/run/ha-agent/vip-health";
/// Durable facts that the agent keeps over a reboot (0700).
pub const AGENT_STATE_DIR: &str = "/var/lib/ha-agent";
/// Where a virtual machine mounts the assets disk, read-only.
pub const ASSETS_DIR: &str = "/run/ha-assets";
/// Archives of container images on the assets disk, imported in the order of their names.
pub const ASSETS_IMAGES: &str = "/run/ha-assets/images";
/// Names the failpoint at which a test wants the agent to die; not there on any real node.
pub const CRASH_AT: &str = "/run/ha-agent/crash-at";
/// The certificate of the cluster's CA, on every node.
pub const CA_CERT: &str = "/etc/kubernetes/pki/ca.crt";
/// Where the kubelet of a node with settings of its own finds them.
pub const KUBELET_DROP_INS: &str = "/etc/kubernetes/kubelet.conf.d";
/// The kubelet's own kubeconfig.
pub const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
