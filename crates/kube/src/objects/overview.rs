//! Objects that are looked at to see how a whole cluster does.

use serde::Deserialize;

use super::{DaemonSetStatus, Metadata};

/// `v1/Service`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub metadata: Metadata,
    /// The addresses that are asked for.
    pub spec: ServiceSpec,
    /// The addresses that were given.
    pub status: ServiceStatus,
}

/// What is wanted of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Addresses at which every node is to take what is for it.
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<String>,
}

/// A Service's status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// What a controller of load balancers says.
    pub load_balancer: LoadBalancerStatus,
}

/// What a controller of load balancers says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Where the Service is reached.
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One address of a load balancer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancerIngress {
    /// The address; empty: it has a name instead.
    pub ip: String,
}

impl Service {
    /// Whether nodes take what is for this address for the Service's.
    pub fn claims(&self, address: std::net::IpAddr) -> bool {
        let given = self.status.load_balancer.ingress.iter().map(|i| &i.ip);
        let mut all = self.spec.external_ips.iter().chain(given);
        all.any(|ip| ip.parse() == Ok(address))
    }
}

/// `certificates.k8s.io/v1/CertificateSigningRequest`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CertificateSigningRequest {
    /// Its name.
    pub metadata: Metadata,
    /// Whose it is.
    pub spec: SigningSpec,
    /// What became of it.
    pub status: SigningStatus,
}

/// Who asks for a certificate.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SigningSpec {
    /// E.g. `system:node:node1`.
    pub username: String,
}

/// What became of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SigningStatus {
    /// Verdicts; none: it is pending.
    pub conditions: Vec<SigningCondition>,
    /// The certificate, base64; empty: none yet.
    pub certificate: String,
}

/// A verdict on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "type")]
pub enum SigningCondition {
    /// Somebody allows it.
    Approved,
    /// Somebody refused it.
    Denied,
    /// The signer could not.
    Failed,
    /// A verdict of a later Kubernetes.
    #[serde(other)]
    Other,
}

impl CertificateSigningRequest {
    /// The node whose kubelet asks; none: somebody else does.
    pub fn node(&self) -> Option<&str> {
        self.spec.username.strip_prefix("system:node:")
    }

    /// Whether the certificate is there.
    pub fn is_signed(&self) -> bool {
        !self.status.certificate.is_empty()
    }

    /// What `kubectl get csr` calls it.
    pub fn state(&self) -> &'static str {
        let has = |c| self.status.conditions.contains(&c);
        match () {
            () if has(SigningCondition::Denied) => "Denied",
            () if has(SigningCondition::Failed) => "Failed",
            () if has(SigningCondition::Approved) => "Approved",
            () => "Pending",
        }
    }
}

/// `apps/v1/Deployment`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// Its name.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: DeploymentSpec,
}

/// What is wanted of a Deployment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeploymentSpec {
    /// So many pods.
    pub replicas: u32,
}

/// `apps/v1/DaemonSet` with what tells whether nodes depend on it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DaemonSetOverview {
    /// Its name.
    pub metadata: Metadata,
    /// Its pods.
    pub spec: DaemonSetSpec,
    /// How many of them run.
    pub status: DaemonSetStatus,
}

/// What is wanted of a DaemonSet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DaemonSetSpec {
    /// The form of its pods.
    pub template: PodTemplate,
}

/// The form of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// What is wanted of them.
    pub spec: TemplateSpec,
}

/// A container of a form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerTemplate {
    /// What it is called in its pod.
    pub name: String,
    /// Its environment's variables, without their values.
    pub env: Vec<EnvName>,
}

/// A variable of an environment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EnvName {
    /// What it is called.
    pub name: String,
}

/// What is wanted of pods of one form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateSpec {
    /// What runs in each.
    pub containers: Vec<ContainerTemplate>,
    /// E.g. `system-node-critical`.
    pub priority_class_name: String,
}

impl DaemonSetOverview {
    /// Whether a node can do nothing without its pod: pod networks and kube-proxy say so of themselves.
    pub fn is_node_critical(&self) -> bool {
        self.spec.template.spec.priority_class_name == "system-node-critical"
    }
}
