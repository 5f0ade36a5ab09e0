//! The few Kubernetes objects that are read or written here, with the few fields that are needed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

mod overview;
mod pod;

pub use overview::{
    CertificateSigningRequest, DaemonSetOverview, Deployment, Service, SigningCondition,
};
pub use pod::{ContainerStatus, ContainerStopped, Pod};

/// What every object has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace; empty for nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Guards updates against a lost race.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Another one: it was deleted and made anew.
    #[serde(skip_serializing)]
    pub uid: String,
    /// When it was made, RFC 3339 in UTC.
    #[serde(skip_serializing)]
    pub creation_timestamp: String,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(skip_serializing)]
    pub annotations: BTreeMap<String, String>,
    /// Set once it is being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// Who changed it, and when by the clock of the apiserver that took the change.
    #[serde(skip_serializing)]
    pub managed_fields: Vec<ManagedFields>,
}

/// One writer's last change of an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ManagedFields {
    /// When, RFC 3339 in UTC.
    pub time: String,
}

/// A list of objects.
#[derive(Debug, Clone, Deserialize)]
pub struct List<T> {
    /// The objects.
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

/// An object of which only the name is of interest.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Name and labels.
    pub metadata: Metadata,
}

/// `v1/ConfigMap`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    /// Its data.
    pub data: BTreeMap<String, String>,
}

/// `v1/Node`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Name and labels.
    pub metadata: Metadata,
    /// Taints.
    pub spec: NodeSpec,
    /// Conditions.
    pub status: NodeStatus,
}

/// What is wanted of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Its taints; Kubernetes adds some of its own, e.g. while it is cordoned.
    pub taints: Vec<Taint>,
}

/// A taint.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A node's status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// The machine below it.
    pub node_info: NodeInfo,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Its addresses.
    pub addresses: Vec<NodeAddress>,
}

/// What a kubelet tells of its machine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeInfo {
    /// systemd's machine id.
    #[serde(rename = "machineID")]
    pub machine_id: String,
    /// The kernel's boot id: it differs with each boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
}

/// An address of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// E.g. `InternalIP`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

/// A condition.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// E.g. `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// In words.
    pub message: String,
    /// Since when it has this status, RFC 3339.
    pub last_transition_time: String,
}

impl Condition {
    /// Since when it has this status, in milliseconds since 1970.
    pub fn changed_ms(&self) -> Option<u64> {
        parse_rfc3339_ms(&self.last_transition_time)
    }

    /// Since when it is `True`, in milliseconds since 1970.
    fn true_since_ms(&self) -> Option<u64> {
        let ms = parse_rfc3339_ms(&self.last_transition_time)?;
        (self.status == "True").then_some(ms)
    }
}

/// In whole seconds, as Kubernetes writes it.
fn parse_rfc3339_ms(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(u64::try_from(at.unix_timestamp()).ok()? * 1000)
}

/// The label that kubeadm gives control planes, so that no load balancer of services sends anything there.
pub const EXCLUDED_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The label that kubeadm gives control planes, and the key of their taint.
pub const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";

impl Node {
    /// Whether the kubelet reports readiness.
    pub fn is_ready(&self) -> bool {
        self.ready_condition().is_some_and(|c| c.status == "True")
    }

    /// Whether a kubelet of this boot of its machine has reported. A Node object outlives its kubelet, and for 40 s it is Ready
    /// without one. Where a boot has no id, readiness must do.
    pub fn is_reported_by(&self, boot_id: &str) -> bool {
        let told = &self.status.node_info.boot_id;
        if told.is_empty() || boot_id.is_empty() {
            return self.is_ready();
        }
        told == boot_id
    }

    /// Whether its kubelet has said something lately, good or bad: the cluster calls the readiness of a node `Unknown` whose
    /// Lease stood still for its grace period (40 or 50 s, by version).
    pub fn is_heard_of(&self) -> bool {
        self.ready_condition()
            .is_some_and(|c| c.status != "Unknown")
    }

    /// Why it is not ready, in the kubelet's words; empty when it is.
    pub fn why_not_ready(&self) -> String {
        match self.ready_condition() {
            Some(c) if c.status == "True" => String::new(),
            Some(c) => c.message.clone(),
            None => "the kubelet has not reported yet".into(),
        }
    }

    /// Whether kubeadm has marked it as a control plane.
    pub fn is_control_plane(&self) -> bool {
        self.metadata.labels.contains_key(CONTROL_PLANE_LABEL)
    }

    /// The address that its kubelet registered.
    pub fn internal_ip(&self) -> Option<std::net::IpAddr> {
        self.status
            .addresses
            .iter()
            .find(|a| a.kind == "InternalIP")
            .and_then(|a| a.address.parse().ok())
    }

    /// Since when it is Ready and free of taints that keep cluster addons away; none while it is not.
    pub fn schedulable_since_ms(&self) -> Option<u64> {
        let tolerated = |t: &Taint| t.key == CONTROL_PLANE_LABEL || t.effect == "PreferNoSchedule";
        self.ready_condition()?
            .true_since_ms()
            .filter(|_| self.spec.taints.iter().all(tolerated))
    }

    /// What its kubelet says that it runs short of: `DiskPressure`, ...
    pub fn pressures(&self) -> Vec<String> {
        let conditions = self.status.conditions.iter();
        let pressed = conditions.filter(|c| c.kind.ends_with("Pressure") && c.status == "True");
        pressed.map(|c| c.kind.clone()).collect()
    }

    /// The condition of readiness, once its kubelet has reported.
    pub fn ready_condition(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|c| c.kind == "Ready")
    }
}

/// `apps/v1/DaemonSet`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    /// What is wanted.
    pub spec: overview::DaemonSetSpec,
    /// Its status.
    pub status: DaemonSetStatus,
}

/// How many of its pods run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetStatus {
    /// On so many nodes it should run.
    pub desired_number_scheduled: u32,
    /// On so many it does.
    pub number_ready: u32,
}

/// `coordination.k8s.io/v1/Lease`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lease {
    /// `coordination.k8s.io/v1`.
    pub api_version: String,
    /// `Lease`.
    pub kind: String,
    /// Name, namespace, version.
    pub metadata: Metadata,
    /// Who holds it.
    pub spec: LeaseSpec,
}

/// Who holds a lease, and until when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// Empty or absent: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_identity: Option<String>,
    /// How long the holder's word counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<u32>,
    /// When it was taken, RFC 3339 with microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<String>,
    /// When the holder last said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_time: Option<String>,
    /// How often it changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_transitions: Option<u32>,
}

impl Lease {
    /// When it was last renewed, in milliseconds since 1970: by the clock of the apiserver that took it, or, where that is not
    /// told, by its holder's own.
    pub fn renewed_ms(&self) -> Option<u64> {
        let taken = self.metadata.managed_fields.iter();
        let taken = taken.filter_map(|m| parse_rfc3339_ms(&m.time)).max();
        taken.or_else(|| parse_rfc3339_ms(self.spec.renew_time.as_ref()?))
    }
}

impl Metadata {
    /// When the object was made, in milliseconds since 1970.
    pub fn made_ms(&self) -> Option<u64> {
        parse_rfc3339_ms(&self.creation_timestamp)
    }
}

#[cfg(test)]
mod tests;
