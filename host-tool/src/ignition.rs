//! One minimal Ignition config per node: what this node needs, and no other node's secret.

use std::fmt::Write;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node, ProviderOptions};
use ha_wire::kubernetes::restricted_labels;
use ha_wire::node::{self, Founder, NodeFile, NodeKubernetes, Peer, Secondary};
use ha_wire::paths;
use ha_wire::phase::Role;
use ha_wire::settings::{Cni, Hooks, LbMode, LoadBalancer};

use serde_json::{Map, Value};

mod build;
mod extras;
mod network;
mod proxy;
mod registries;
mod size;
mod stored;
mod sysexts;
mod updates;

use ha_wire::devices;

use crate::assets;
use crate::inputs::{OperatorFiles, REBOOT_MANAGER, environment_line};
use crate::pki::Pki;
use build::ConfigBuilder;
use ha_kube::Secret;
use ha_kube::signed_labels::SignedLabels;
pub use stored::{FetchedFile, OperatorTexts, operator_texts, with_fetched, without_founder};
pub use sysexts::download_path;

/// How long the permission to found lasts: far longer than any first boot, and over before anybody finds an old config.
pub const FOUNDER_SECONDS: u64 = 3600;
/// Where nodes tell what they do: virtio-serial in machines, a file of the host in containers.
const REPORT: [&str; 2] = [devices::EVENTS_PORT_DEVICE, devices::EVENTS_MOUNTED_FILE];

#[derive(Debug)]
pub struct NodeConfig {
    pub text: Secret,
    /// It is larger than is good for a machine's first boot.
    pub warning: Option<String>,
}

/// The agent's sysext starts the bakery's haproxy by it.
const HAPROXY_PATH: &str = "haproxy.path";

/// Makes configs, from everything that they are made from.
#[derive(Debug, Clone, Copy)]
pub struct ConfigRenderer<'a> {
    pub cluster: &'a Cluster,
    pub pki: &'a Pki,
    /// The operator's own files.
    pub files: &'a OperatorFiles,
    /// The permission for the first control plane; none once the cluster stands.
    pub founder: Option<Founder>,
}

impl ConfigRenderer<'_> {
    pub fn render(&self, node: &Node) -> Result<NodeConfig> {
        let mut build = ConfigBuilder::default();
        self.base(&mut build, node)?;
        self.agent(&mut build, node)?;
        proxy::write_proxy(&mut build, self.cluster, &self.node_file(node))?;
        registries::write_registries(&mut build, self.cluster, &self.files.registries)?;
        self.keys(&mut build, node)?;
        let sysexts = sysexts::of_node(self.cluster, node, &self.files.sysexts);
        sysexts::write_sysexts(&mut build, self.cluster, &sysexts);
        updates::write_updates(&mut build, self.cluster, node, &sysexts)?;
        // A merged config that says `mask: false` wins: Ignition takes each key of a unit from there if it has it.
        build.mask(REBOOT_MANAGER);
        let has_haproxy = match self.cluster.load_balancer.mode {
            LbMode::Native => true,
            mode => mode.is_by_sysexts() && mode.runs_on(node.role),
        };
        if !has_haproxy {
            // It would wait for a unit that no sysext brings, and be started for ever.
            build.mask(HAPROXY_PATH);
        }
        if !self.cluster.authorized_keys.is_empty() {
            build.authorized_keys(&self.cluster.authorized_keys);
        }
        for text in &self.files.merges {
            build.merge(text)?;
        }
        let largest = build.largest();
        let text = build.finish()?;
        let warning = match &self.cluster.provider {
            // The host reads it from disk itself.
            ProviderOptions::Nspawn(_) => None,
            _ => size::check_config_size(&node.name, text.expose().len(), largest)?,
        };
        Ok(NodeConfig { text, warning })
    }

    /// Every node's config, in the order of the nodes, on all processors.
    pub fn render_all(&self) -> Result<Vec<NodeConfig>> {
        let nodes = &self.cluster.nodes;
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let share = nodes.len().div_ceil(threads).max(1);
        let parts: Vec<Result<Vec<NodeConfig>>> = std::thread::scope(|scope| {
            let start = |part: &'_ [Node]| part.iter().map(|n| self.render(n)).collect();
            let handles: Vec<_> = nodes
                .chunks(share)
                .map(|part| scope.spawn(move || start(part)))
                .collect();
            let join = |h: std::thread::ScopedJoinHandle<'_, _>| {
                h.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
            };
            handles.into_iter().map(join).collect()
        });
        Ok(parts
            .into_iter()
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    fn base(&self, build: &mut ConfigBuilder, node: &Node) -> Result<()> {
        build.file("/etc/hostname", 0o644, &format!("{}\n", node.name))?;
        build.file("/etc/hosts", 0o644, &self.hosts(node))?;
        extras::write_extras(build, self.cluster, node)?;
        extras::write_trusted_cas(build, &self.files.trusted_cas)?;
        network::write_network(build, self.cluster, node)
    }

    /// Without its own name here, kubeadm waits ten seconds for name servers.
    fn hosts(&self, node: &Node) -> String {
        let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        let others = self
            .cluster
            .control_planes()
            .filter(|n| n.name != node.name);
        for n in std::iter::once(node).chain(others) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {}", n.address, n.name);
        }
        let endpoint = &self.cluster.endpoint;
        if let Some(name) = &endpoint.name {
            for address in endpoint.addresses() {
                let _ = writeln!(text, "{address} {name}");
            }
        }
        text
    }

    fn agent(&self, build: &mut ConfigBuilder, node: &Node) -> Result<()> {
        build.dir(paths::AGENT_DIR, 0o700);
        build.file(
            paths::NODE_FILE,
            0o600,
            &serde_json::to_string(&self.node_file(node))?,
        )?;
        if !node.kubelet_config.is_empty() {
            let path = format!("{}/10-ha-host.conf", paths::KUBELET_DROP_INS);
            build.file(&path, 0o644, &kubelet_drop_in(&node.kubelet_config))?;
        }
        if node.role.is_kubernetes_node() {
            let identity = self.pki.node_identity(&node.name)?;
            build.file(paths::IDENTITY_CERT, 0o600, &identity.cert)?;
            build.file(paths::IDENTITY_KEY, 0o600, identity.key.expose())?;
        }
        if let Some(chart) = self
            .files
            .chart
            .as_ref()
            .filter(|_| self.inlines_chart(node))
        {
            build.packed_file(paths::CILIUM_CHART, 0o600, chart);
        }
        let password = self.files.stats_password.as_ref();
        if let Some(password) = password.filter(|_| self.cluster.runs_balancer(node)) {
            let line = environment_line(paths::STATS_PASSWORD, password);
            build.file(paths::HAPROXY_ENV, 0o600, line.expose())?;
        }
        if node.role == Role::ControlPlane && !self.files.manifests.is_empty() {
            build.dir(paths::MANIFESTS_DIR, 0o700);
            for (name, text) in &self.files.manifests {
                build.file(&format!("{}/{name}", paths::MANIFESTS_DIR), 0o600, text)?;
            }
        }
        Ok(())
    }

    /// Control planes get the CAs, others the cluster CA's certificate alone.
    fn keys(&self, build: &mut ConfigBuilder, node: &Node) -> Result<()> {
        build.dir(paths::PKI_DIR, 0o700);
        let at = |name: &str| format!("{}/{name}", paths::PKI_DIR);
        if node.role != Role::ControlPlane {
            return build.file(&at("ca.crt"), 0o644, self.pki.cluster.cert());
        }
        let external = self.cluster.kubernetes.external_etcd().is_some();
        match external {
            true => self.external_etcd(build)?,
            false => build.dir(&at("etcd"), 0o700),
        }
        let of_ours = |name: &str| !external || !name.starts_with("etcd/");
        for (name, text) in self
            .pki
            .files()
            .into_iter()
            .filter(|(name, _)| of_ours(name))
        {
            let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
            build.file(&at(name), mode, text)?;
        }
        Ok(())
    }

    /// What the apiserver and the agent ask somebody else's etcd with.
    fn external_etcd(&self, build: &mut ConfigBuilder) -> Result<()> {
        build.dir(paths::EXTERNAL_ETCD_DIR, 0o700);
        let Some(client) = &self.files.etcd else {
            return Ok(());
        };
        build.file(paths::EXTERNAL_ETCD_CA, 0o644, &client.ca)?;
        build.file(paths::EXTERNAL_ETCD_CERT, 0o644, &client.cert)?;
        build.file(paths::EXTERNAL_ETCD_KEY, 0o600, client.key.expose())
    }

    fn node_file(&self, node: &Node) -> NodeFile {
        let cluster = self.cluster;
        let is_founder = cluster.founder().is_some_and(|f| f.name == node.name);
        let peer = |n: &Node| Peer {
            name: n.name.clone(),
            address: n.address,
        };
        NodeFile {
            version: node::VERSION,
            cluster: cluster.name.clone(),
            name: node.name.clone(),
            role: node.role,
            address: node.address,
            prefix: cluster.network.prefix,
            secondary: self.secondary(node),
            interface: node.interface_in(&cluster.network).to_owned(),
            founder: self.founder.filter(|_| is_founder),
            control_planes: cluster.control_planes().map(peer).collect(),
            balancers: cluster.balancer_machines().map(peer).collect(),
            endpoint: cluster.endpoint.clone(),
            load_balancer: self.load_balancer(),
            vrid: cluster.vrid(),
            kubernetes: self.kubernetes(),
            cni: self.cni(node),
            labels: node.labels.clone(),
            label_signature: self.label_signature(node),
            annotations: node.annotations.clone(),
            taints: node.taints.clone(),
            untainted: node.untainted,
            kubelet_config: node.kubelet_config.clone(),
            hooks: self.hooks(node),
            report: REPORT.map(str::to_owned).to_vec(),
        }
    }

    /// A machine that never joins runs none.
    fn hooks(&self, node: &Node) -> Hooks {
        let of_cluster = &self.cluster.hooks;
        if !node.role.is_kubernetes_node() {
            return Hooks::default();
        }
        Hooks {
            before_join: concat_hooks(&of_cluster.before_join, &node.hooks.before_join),
            after_ready: concat_hooks(&of_cluster.after_ready, &node.hooks.after_ready),
        }
    }

    fn secondary(&self, node: &Node) -> Option<Secondary> {
        let second = self.cluster.secondary.as_ref()?;
        let planes = self.cluster.control_planes();
        Some(Secondary {
            address: node.second_address?,
            prefix: second.prefix,
            pod_cidr: second.pod_cidr,
            service_cidr: second.service_cidr,
            control_planes: planes.filter_map(|n| n.second_address).collect(),
        })
    }

    /// For labels that NodeRestriction keeps from a worker: its word for them is good because it is the operator's.
    fn label_signature(&self, node: &Node) -> Option<String> {
        let labels = restricted_labels(&node.labels);
        let is_needed = node.role == Role::Worker && !labels.is_empty();
        let ca = self.pki.cluster.key();
        is_needed.then(|| SignedLabels::sign(ca, &self.cluster.name, &node.name, labels).signature)
    }

    /// Without what a node has elsewhere: the password in haproxy's environment, the router's id beside it.
    fn load_balancer(&self) -> LoadBalancer {
        let mut balancer = self.cluster.load_balancer.clone();
        if let Some(stats) = &mut balancer.stats {
            stats.password_file = None;
        }
        balancer.router_id = None;
        balancer
    }

    fn kubernetes(&self) -> NodeKubernetes {
        let k = &self.cluster.kubernetes;
        NodeKubernetes {
            version: k.version.clone(),
            pod_cidr: k.pod_cidr,
            service_cidr: k.service_cidr,
            cri: k.cri,
            proxy: k.proxy,
            external_etcd: k
                .external_etcd()
                .map(|etcd| etcd.endpoints.clone())
                .unwrap_or_default(),
            cert_sans: k.cert_sans.clone(),
            kubelet_config: k.kubelet_config.clone(),
            cluster_configuration: k.cluster_configuration.clone(),
            timeouts: k.timeouts.clone(),
        }
    }

    /// Whether the config itself holds Cilium's chart: control planes without the disk that has it.
    fn inlines_chart(&self, node: &Node) -> bool {
        node.role == Role::ControlPlane && !assets::has_disk(self.cluster, &self.files.sysexts)
    }

    fn cni(&self, node: &Node) -> Cni {
        match &self.cluster.kubernetes.cni {
            _ if !node.role.is_kubernetes_node() => Cni::None,
            Cni::Cilium {
                version,
                chart: Some(_),
                values,
            } => Cni::Cilium {
                version: version.clone(),
                chart: (node.role == Role::ControlPlane).then(|| match self.inlines_chart(node) {
                    true => paths::CILIUM_CHART.to_owned(),
                    false => assets::path_on_node(assets::CILIUM_CHART),
                }),
                values: values.clone(),
            },
            Cni::Manifests { .. } => Cni::Manifests {
                sources: self.files.sources.clone(),
            },
            other => other.clone(),
        }
    }
}

/// JSON is YAML; the kubelet wants a whole document of its kind.
fn kubelet_drop_in(settings: &Map<String, Value>) -> String {
    let mut document = settings.clone();
    document.insert("apiVersion".into(), "kubelet.config.k8s.io/v1beta1".into());
    document.insert("kind".into(), "KubeletConfiguration".into());
    format!("{:#}\n", Value::Object(document))
}

/// The cluster's hooks, then the node's.
fn concat_hooks(of_cluster: &[String], of_node: &[String]) -> Vec<String> {
    [of_cluster, of_node].concat()
}

/// The permission, beginning now.
pub fn founder_permission(now_ms: u64) -> Founder {
    Founder {
        until: now_ms / 1000 + FOUNDER_SECONDS,
    }
}

#[cfg(test)]
mod tests;
